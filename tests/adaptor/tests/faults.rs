//! Traps, limits in time and stack, restricted callbacks, and the texts that report them.

use adaptor_tests::*;
use std::time::{Duration, Instant};

#[test]
fn each_cause_of_a_trap_is_told_in_the_words_of_the_specification() {
    let causes = [
        ("unreachable", "unreachable"),
        ("divide_by_zero", "integer divide by zero"),
        ("remainder_by_zero", "integer divide by zero"),
        ("integer_overflow", "integer overflow"),
        ("bad_conversion", "invalid conversion to integer"),
        ("memory_read", "out of bounds memory access"),
        ("memory_read_far", "out of bounds memory access"),
        ("memory_write_across_end", "out of bounds memory access"),
        ("memory_fill", "out of bounds memory access"),
        ("memory_copy", "out of bounds memory access"),
        ("table_get", "out of bounds table access"),
        ("indirect_out_of_bounds", "undefined element"),
        ("indirect_null", "uninitialized element"),
        ("indirect_wrong_type", "indirect call type mismatch"),
    ];
    let base = run("traps");
    for (export, cause) in causes {
        let vm = base.clone_vm();
        assert!(vm.link("test"));
        // An export has a result or none, so one of the two look-ups is of the wrong type.
        if !vm.call_void(export, &[]) {
            assert_eq!(vm.value(export, &[]), 0, "{export}");
        }
        let error = vm.errors().pop().unwrap_or_default();
        assert!(
            error.starts_with(&format!("{RUNTIME}Function: {export} failed: ")),
            "{error}"
        );
        assert!(error.contains(cause), "{export}: {error}");
        assert!(vm.failed());
    }
}

#[test]
fn the_backtrace_names_and_numbers_its_frames() {
    let vm = run("backtrace");
    assert!(vm.call_void("one", &[]));
    let error = vm.error();
    let (_, backtrace) = error
        .split_once("Proxy-Wasm plugin in-VM backtrace:\n")
        .unwrap_or_else(|| panic!("no backtrace: {error}"));
    let frames: Vec<_> = backtrace.lines().collect();
    assert_eq!(frames.len(), 3, "{backtrace}");
    for (i, (frame, name)) in frames
        .iter()
        .zip(["plugin::three", "two", "one"])
        .enumerate()
    {
        assert!(
            frame.trim_start().starts_with(&format!("{i}:  0x")),
            "{frame}"
        );
        assert!(frame.ends_with(&format!(" - {name}")), "{frame}");
    }
}

#[test]
fn the_hosts_function_names_go_before_the_name_section() {
    let vm = ffi::new_vm(&Limits::default());
    assert!(vm.load_named(&wat("backtrace"), 1, "a better name"));
    assert!(vm.link("test"));
    assert!(vm.call_void("one", &[]));
    assert!(vm.error().contains(" - a better name"), "{}", vm.error());
}

#[test]
fn a_stack_overflow_is_a_trap_and_the_stack_is_good_again() {
    for (export, args) in [("small", &[][..]), ("large", &[1])] {
        let vm = run("stack_overflow");
        for calls in 1..4 {
            assert_eq!(vm.value(export, args), 0);
            assert_eq!(vm.errors().len(), calls);
            assert!(
                vm.errors()[calls - 1].contains("call stack exhausted"),
                "{:?}",
                vm.errors()
            );
        }
    }
}

#[test]
fn recursion_through_the_host_ends_before_the_hosts_stack_does() {
    let vm = run("stack_overflow");
    assert!(vm.call_void("through_host", &[]));
    assert!(vm.failed());
    assert!(vm.errors()[0].starts_with(RUNTIME), "{}", vm.errors()[0]);
}

#[test]
fn a_smaller_guest_stack_ends_recursion_sooner() {
    let limits = Limits {
        stack_bytes: 64 << 10,
        ..Limits::default()
    };
    let vm = linked(&wat("stack_overflow"), &limits);
    vm.value("small", &[]);
    assert!(
        vm.error().contains("call stack exhausted"),
        "{}",
        vm.error()
    );
}

#[test]
fn simd_runs() {
    assert_eq!(run("simd").value("sum", &[10]), 50);
}

#[test]
fn the_deadline_ends_loops_and_calls() {
    let limits = Limits {
        deadline_ms: 50,
        ..Limits::default()
    };
    for (module, export, args) in [
        ("infinite_loop", "spin", &[][..]),
        ("infinite_calls", "double", &[0]),
    ] {
        let vm = linked(&wat(module), &limits);
        let start = Instant::now();
        assert!(vm.call_void(export, args));
        let elapsed = start.elapsed();
        assert!(
            elapsed >= Duration::from_millis(40),
            "{export}: {elapsed:?}"
        );
        assert!(elapsed < Duration::from_secs(5), "{export}: {elapsed:?}");
        assert!(
            vm.error().contains(&format!("Function: {export} failed: ")),
            "{}",
            vm.error()
        );
    }
}

#[test]
fn the_deadline_ends_a_start_function() {
    let limits = Limits {
        deadline_ms: 50,
        ..Limits::default()
    };
    let vm = loaded(&wat("start_spins"), &limits);
    assert!(!vm.link("test"));
    assert!(vm.failed());
}

#[test]
fn calls_within_the_deadline_are_not_disturbed() {
    let limits = Limits {
        deadline_ms: 1000,
        ..Limits::default()
    };
    let vm = linked(&wat("add"), &limits);
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(1500) {
        assert_eq!(vm.value("add", &[1, 1]), 2);
    }
}

#[test]
fn restricted_callbacks_trap() {
    let vm = run("restricted_malloc");
    vm.restrict(true, vec!["env.proxy_log".into()]);
    assert_eq!(vm.value("malloc", &[8]), 0);
    let error = vm.error();
    assert!(error.starts_with("7: Function: malloc failed: "), "{error}");
    assert!(error.contains("restricted_callback"), "{error}");
    assert!(
        vm.host_calls().is_empty(),
        "the host function must not have run"
    );
}

#[test]
fn restricted_callbacks_that_are_allowed_run() {
    let vm = run("restricted_malloc");
    vm.restrict(true, vec!["env.proxy_set_property".into()]);
    vm.value("malloc", &[8]);
    vm.restrict(false, vec![]);
    vm.value("malloc", &[8]);
    assert_eq!(vm.host_calls().len(), 2);
    assert!(!vm.failed());
}

#[test]
fn a_hook_of_the_wrong_arity_is_a_failure_and_not_a_missing_hook() {
    let vm = run("proxy_wrong_arity");
    assert!(!vm.call_word("proxy_on_request_headers", &[1, 2, 3]).found);
    assert!(vm.failed());
    assert!(
        vm.error().contains("proxy_on_request_headers"),
        "{}",
        vm.error()
    );
}
