//! Crossings in both directions: types, order of arguments, contexts, re-entrance, traces.

use adaptor_tests::*;

#[test]
fn every_type_the_host_can_call() {
    let vm = run("host_types");
    assert!(vm.call_void("void5", &[1, 2, 3, 4, 5]));
    assert_eq!(vm.host_calls(), ["void4(1, 2, 3, 9)"]);
    assert_eq!(vm.value("word3", &[9, 4, 3]), 2);
    assert_eq!(
        vm.call_wwlfd("WWlfd", 1, 20, 300.5, 4000.5),
        Found {
            found: true,
            value: 4321
        }
    );
    assert_eq!(vm.call_lf("lf", -3.0), (-3_i64).cast_unsigned());
    assert_eq!(vm.call_fff("fff", 5.0, 1.5), 3.5);
    assert_eq!(vm.call_dfff("dfff", 5.0, 1.5, 1.0), 2.5);
    assert!(vm.errors().is_empty(), "{:?}", vm.errors());
}

#[test]
fn every_type_the_guest_can_call() {
    let vm = run("host_types");
    assert!(vm.call_void("to_void0", &[]));
    assert!(vm.call_void("to_void4", &[]));
    assert_eq!(vm.value("to_word0", &[]), 0xffff_ffff, "a word has 32 bits");
    assert_eq!(vm.value("to_word12", &[]), 12);
    assert_eq!(vm.value("to_WWl", &[]), 1);
    assert_eq!(vm.value("to_WWm", &[]), 2);
    assert_eq!(vm.value("to_WWWWWWllWW", &[]), 9);
    assert_eq!(vm.value("to_dd", &[]), 3);
    assert_eq!(
        vm.host_calls(),
        [
            "void0()",
            "void4(1, 2, 3, 4294967295)",
            "word12(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 4294967295)",
            "WWl(1, -2)",
            "WWm(1, 18446744073709551614)",
            "WWWWWWllWW(1, 2, 3, 4, 5, -6, 30064771072, 8, 9)",
            "dd(1.5)",
        ]
    );
}

#[test]
fn words_are_cut_to_32_bits() {
    let vm = run("add");
    assert_eq!(vm.value("add", &[0xffff_ffff, 2]), 1);
    assert_eq!(vm.value("add", &[0x1_0000_0001, 2]), 3);
}

#[test]
fn the_guest_re_enters_through_the_host() {
    let vm = run("reenter");
    assert_eq!(vm.value("outer", &[4]), 41);
    assert_eq!(vm.host_calls(), ["reenter(same context)"]);
}

#[test]
fn memory_grown_by_a_nested_call_is_seen_at_once() {
    let vm = run("reenter");
    vm.set_reentry("inner_grow");
    assert_eq!(vm.value("outer", &[2]), 2, "one page, plus one");
    assert_eq!(vm.memory_size(), 3 << 16);
}

#[test]
fn a_trap_in_a_nested_call_is_reported() {
    let vm = run("reenter");
    vm.set_reentry("inner_trap");
    vm.value("outer", &[1]);
    assert!(vm.failed());
    assert!(
        vm.errors()[0].starts_with("7: Function: inner_trap failed: "),
        "{:?}",
        vm.errors()
    );
}

#[test]
fn an_import_that_is_exported_can_be_called() {
    let vm = run("reexport");
    assert_eq!(vm.value("sum", &[2, 3]), 5);
}

#[test]
fn many_crossings() {
    let vm = run("crossings");
    assert_eq!(vm.value("repeat", &[100_000]), 100_000);
}

#[test]
fn traces_at_trace_level_only() {
    let vm = run("reenter");
    vm.value("outer", &[4]);
    assert!(vm.traces().is_empty());
    vm.set_log_level(TRACE);
    vm.value("outer", &[4]);
    assert_eq!(
        vm.traces(),
        [
            "[host->vm] outer(4)",
            "[vm->host] env.reenter(4)",
            "[host->vm] inner(4)",
            "[host<-vm] inner return: 40",
            "[vm<-host] env.reenter return: 40",
            "[host<-vm] outer return: 41",
        ]
    );
}

#[test]
fn traces_print_void_and_unsigned() {
    let vm = run("host_types");
    vm.set_log_level(TRACE);
    assert!(vm.call_void("to_void4", &[]));
    assert_eq!(vm.value("to_WWl", &[]), 1);
    assert_eq!(
        vm.traces(),
        [
            "[host->vm] to_void4()",
            "[vm->host] env.void4(1, 2, 3, 4294967295)",
            "[vm<-host] env.void4 return: void",
            "[host<-vm] to_void4 return: void",
            "[host->vm] to_WWl()",
            "[vm->host] env.WWl(1, 18446744073709551614)",
            "[vm<-host] env.WWl return: 1",
            "[host<-vm] to_WWl return: 1",
        ]
    );
}

#[test]
fn nothing_is_traced_after_a_trap() {
    let vm = run("traps");
    vm.set_log_level(TRACE);
    assert!(vm.call_void("unreachable", &[]));
    assert_eq!(vm.traces(), ["[host->vm] unreachable()"]);
}
