//! Loading, linking, cloning, serialising, and what each refuses.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use adaptor_tests::*;

#[test]
fn names_itself_as_the_factory_does() {
    let vm = ffi::new_vm(&Limits::default());
    assert_eq!(vm.engine_name(), "rust");
    assert!(vm.precompiled_section_name().contains("precompiled_"));
}

#[test]
fn loads_links_and_calls() {
    let vm = run("add");
    assert_eq!(vm.value("add", &[2, 3]), 5);
    assert!(!vm.failed());
}

#[test]
fn links_without_callbacks() {
    let vm = ffi::new_vm(&Limits::default());
    assert!(vm.load(&wat("add"), &[]));
    assert!(vm.link(""));
    assert_eq!(vm.value("add", &[2, 3]), 5);
}

#[test]
fn callbacks_may_come_before_the_module() {
    let vm = ffi::new_vm(&Limits::default());
    register(&vm);
    assert!(vm.load(&wat("reenter"), &[]));
    assert!(vm.link("test"), "{:?}", vm.errors());
    assert_eq!(vm.value("outer", &[4]), 41);
}

#[test]
fn a_malformed_module_is_refused_with_a_reason() {
    let good = wat("add");
    for bad in [
        &b""[..],
        b"\0asm",
        b"not wasm at all",
        &good[..good.len() - 1],
    ] {
        let vm = ffi::new_vm(&Limits::default());
        assert!(!vm.load(bad, &[]), "{bad:?}");
        assert!(vm.error().starts_with(INITIALIZE), "{}", vm.error());
        assert!(vm.failed());
    }
}

#[test]
fn using_a_vm_that_is_not_loaded_fails_without_a_crash() {
    let vm = ffi::new_vm(&Limits::default());
    assert_eq!(vm.memory_size(), 0);
    assert!(!vm.has_memory(0, 1));
    assert!(vm.serialize(&[]).is_empty());
    assert!(!vm.call_void("any", &[]));
    assert!(!vm.link("test"));
    assert!(vm.failed());
}

#[test]
fn an_import_that_the_host_lacks_is_named() {
    let vm = loaded(&wat("missing_import"), &Limits::default());
    assert!(!vm.link("test"));
    let error = vm.error();
    assert!(error.starts_with(INITIALIZE), "{error}");
    assert!(
        error.contains("env") && error.contains("no_such_function"),
        "{error}"
    );
}

#[test]
fn an_import_of_another_type_is_named() {
    let vm = loaded(&wat("wrong_import_type"), &Limits::default());
    assert!(!vm.link("test"));
    assert!(vm.error().contains("sum"), "{}", vm.error());
}

#[test]
fn of_many_imports_of_another_type_an_error_names_some() {
    let names = [
        "none",
        "started",
        "sum",
        "void0",
        "void4",
        "word0",
        "word12",
        "WWl",
        "WWm",
        "dd",
        "proxy_log",
        "proxy_done",
        "proxy_set_property",
        "proxy_get_property",
        "proxy_get_buffer_bytes",
        "proxy_set_buffer_bytes",
        "proxy_get_header_map_pairs",
        "proxy_get_header_map_value",
        "proxy_add_header_map_value",
    ];
    let types = "f64 ".repeat(16);
    let imports = names.map(|it| format!(r#"(import "env" "{it}" (func (param {types})))"#));
    let bytecode = wat::parse_str(format!("(module {})", imports.concat())).expect("valid");
    let vm = loaded(&bytecode, &Limits::default());
    assert!(!vm.link("test"));
    let error = vm.error();
    assert!(error.len() < 8192, "{} bytes", error.len());
    let (shown, more) = error.split_once(": … and ").expect("it says so");
    let (more, _) = more.split_once(" more").expect("a number");
    let more: usize = more.parse().expect("a number");
    assert_eq!(
        shown.matches("host function env.").count() + more,
        names.len()
    );
}

#[test]
fn imports_other_than_functions_are_refused() {
    for name in ["memory_imported", "imported_global"] {
        let vm = ffi::new_vm(&Limits::default());
        assert!(!(vm.load(&wat(name), &[]) && vm.link("test")), "{name}");
        assert!(vm.error().starts_with(INITIALIZE), "{}", vm.error());
    }
}

#[test]
fn proposals_that_the_runtime_does_not_accept_are_refused() {
    for name in ["threads", "memory64", "two_memories", "tail_call"] {
        let vm = ffi::new_vm(&Limits::default());
        assert!(!vm.load(&wat(name), &[]), "{name}");
        assert!(vm.error().starts_with(INITIALIZE), "{}", vm.error());
    }
}

#[test]
fn the_start_function_runs_and_may_call_the_host() {
    let vm = loaded(&wat("start"), &Limits::default());
    assert!(!vm.started());
    assert!(vm.link_in_context("test"), "{:?}", vm.errors());
    assert!(vm.started());
}

/// The host's functions would follow a null pointer.
#[test]
fn a_start_function_without_a_context_may_not_call_the_host() {
    let vm = loaded(&wat("start"), &Limits::default());
    assert!(!vm.link("test"));
    assert!(!vm.started());
    let error = vm.error();
    assert!(
        error.contains("start function: env.started: called before there is a context"),
        "{error}"
    );
}

#[test]
fn a_start_function_that_traps_fails_the_link_with_the_cause() {
    let vm = loaded(&wat("start_traps"), &Limits::default());
    assert!(!vm.link("test"));
    assert!(vm.error().contains("unreachable"), "{}", vm.error());
}

#[test]
fn a_missing_export_is_a_null_function_and_no_failure() {
    let vm = run("add");
    assert!(!vm.call_void("no_such_export", &[]));
    assert!(!vm.call_word("no_such_export", &[1]).found);
    assert!(!vm.failed());
}

#[test]
fn an_export_of_another_type_is_null_and_a_failure() {
    for wrong in [1, 3] {
        let vm = run("add");
        assert!(!vm.call_word("add", &vec![0; wrong]).found);
        assert!(
            vm.error().contains("Bad function signature for: add"),
            "{}",
            vm.error()
        );
        assert!(vm.failed());
    }
    let vm = run("add");
    assert!(!vm.call_void("add", &[0, 0]), "a result that nobody takes");
    assert!(vm.failed());
}

#[test]
fn an_export_that_is_no_function_counts_as_missing() {
    let vm = run("exports");
    assert!(!vm.call_word("global", &[]).found);
    assert!(!vm.call_void("memory", &[]));
    assert!(!vm.failed());
}

#[test]
fn exports_have_any_name_and_several() {
    let vm = run("exports");
    assert_eq!(vm.value("first", &[]), 1);
    assert_eq!(vm.value("second", &[]), 1);
    assert_eq!(vm.value("", &[]), 2);
    assert_eq!(vm.value("naïve name", &[]), 3);
}

#[test]
fn clones_share_no_state() {
    let base = run("globals");
    assert_eq!(base.value("count", &[]), 1);
    assert_eq!(base.value("count_in_memory", &[]), 1);
    let clone = base.clone_vm();
    register(&clone);
    assert!(clone.link("clone"), "{:?}", clone.errors());
    assert_eq!(clone.value("count", &[]), 1);
    assert_eq!(clone.value("count_in_memory", &[]), 1);
    assert_eq!(base.value("count", &[]), 2);
    assert_eq!(base.value("count_in_memory", &[]), 2);
}

#[test]
fn a_clone_can_be_cloned_and_outlives_its_origin() {
    let base = run("add");
    let first = base.clone_vm();
    drop(base);
    let second = first.clone_vm();
    drop(first);
    assert!(second.link("second"));
    assert_eq!(second.value("add", &[20, 22]), 42);
}

#[test]
fn a_clone_starts_sound_after_its_origin_failed() {
    let base = run("traps");
    assert!(base.call_void("unreachable", &[]));
    assert!(base.failed());
    let clone = base.clone_vm();
    assert!(clone.link("clone"));
    assert!(!clone.failed());
    assert_eq!(clone.value("ok", &[]), 42);
}

#[test]
fn clones_in_great_number() {
    let base = loaded(&wat("memory"), &Limits::default());
    let clones: Vec<_> = (0..1000)
        .map(|i| {
            let clone = base.clone_vm();
            assert!(!clone.is_null(), "clone {i}");
            assert!(clone.link("clone"), "clone {i}: {:?}", clone.errors());
            clone
        })
        .collect();
    assert!(clones.iter().all(|vm| vm.read(16, 5) == b"hello"));
}

#[test]
fn a_serialised_module_loads_precompiled_or_not() {
    let bytecode = wat("traps");
    let vm = run("traps");
    let module = vm.serialize(&bytecode);
    let section = custom_section(&module, &vm.precompiled_section_name());
    assert!(!section.is_empty());
    for precompiled in [&section[..], &[]] {
        let vm = ffi::new_vm(&Limits::default());
        assert!(vm.load(&module, precompiled), "{:?}", vm.errors());
        assert!(vm.link("test"));
        assert_eq!(vm.value("ok", &[]), 42);
    }
}

#[test]
fn a_damaged_precompiled_section_is_not_run() {
    let bytecode = wat("traps");
    let vm = run("traps");
    let module = vm.serialize(&bytecode);
    let good = custom_section(&module, &vm.precompiled_section_name());
    let flipped = |at: usize| {
        let mut bad = good.clone();
        bad[at] ^= 1;
        bad
    };
    let damaged = [
        good[..good.len() - 1].to_vec(),
        flipped(0),
        flipped(good.len() / 2),
    ];
    for bad in damaged {
        let vm = ffi::new_vm(&Limits::default());
        vm.set_log_level(TRACE);
        assert!(vm.load(&bytecode, &bad), "{:?}", vm.errors());
        assert!(vm.link("test"));
        assert_eq!(vm.value("ok", &[]), 42);
        assert!(
            vm.traces()
                .iter()
                .any(|line| line.starts_with("Wasm module: precompiled code not used"))
        );
    }
}

#[test]
fn a_code_cache_that_others_may_write_to_is_not_used_and_traced() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("code-cache");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).expect("created");
    let limits = Limits {
        code_cache_dir: folder.to_str().expect("UTF-8").to_owned(),
        ..Limits::default()
    };
    let traced = |mode: u32| {
        fs::set_permissions(&folder, Permissions::from_mode(mode)).expect("its owner's");
        let vm = ffi::new_vm(&limits);
        vm.set_log_level(TRACE);
        assert!(vm.load(&wat("add"), &[]), "{:?}", vm.errors());
        assert!(vm.link("test"));
        assert_eq!(vm.value("add", &[2, 3]), 5);
        let mut traces = vm.traces();
        traces.retain(|it| it.starts_with("Wasm module: "));
        let files = fs::read_dir(&folder).expect("readable").count();
        (traces, files)
    };
    for _ in 0..2 {
        let (traces, files) = traced(0o777);
        assert_eq!((traces.len(), files), (1, 0), "{traces:?}");
        assert!(
            traces[0].contains("code cache") && traces[0].contains("writable by nobody else"),
            "{traces:?}"
        );
    }
    for _ in 0..2 {
        assert_eq!(traced(0o700), (Vec::new(), 1));
    }
}

#[test]
fn warming_again_costs_nothing() {
    let vm = ffi::new_vm(&Limits::default());
    vm.warm();
    let start = std::time::Instant::now();
    vm.warm();
    assert!(start.elapsed().as_micros() < 1000);
    assert!(!vm.failed());
}
