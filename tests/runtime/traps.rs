//! Traps: the specification's words, a VM that works on, traps asked for by the host.

use rust_wasm::{Code, Options};

use crate::support::{Guest, Val, failure, module, says};

#[test]
fn every_trap_is_named_in_the_specifications_words() {
    let guest = Guest::new(
        r#"(module
          (memory 1)
          (table $t 2 funcref)
          (elem (i32.const 0) $nothing)
          (type $other (func (param i64)))
          (func $nothing)
          (func (export "unreachable") (unreachable))
          (func (export "divide by zero") (drop (i32.div_s (i32.const 1) (i32.const 0))))
          (func (export "divide overflow")
            (drop (i64.div_s (i64.const 0x8000000000000000) (i64.const -1))))
          (func (export "remainder") (drop (i64.rem_u (i64.const 1) (i64.const 0))))
          (func (export "convert") (drop (i32.trunc_f64_s (f64.const nan))))
          (func (export "convert overflow") (drop (i32.trunc_f32_u (f32.const 1e20))))
          (func (export "load") (drop (i64.load (i32.const 65529))))
          (func (export "far load") (drop (i32.load8_u offset=0xffffffff (i32.const -1))))
          (func (export "store") (i32.store (i32.const -1) (i32.const 0)))
          (func (export "fill") (memory.fill (i32.const 1) (i32.const 0) (i32.const 65536)))
          (func (export "copy") (memory.copy (i32.const 0) (i32.const -1) (i32.const 2)))
          (func (export "undefined") (call_indirect (i32.const 2)))
          (func (export "uninitialized") (call_indirect (i32.const 1)))
          (func (export "mismatch")
            (call_indirect (type $other) (i64.const 0) (i32.const 0)))
          (func (export "table get") (drop (table.get $t (i32.const 2))))
          (func $deep (export "exhausted") (call $deep) (call $nothing)))"#,
    );
    for (function, words) in [
        ("unreachable", "unreachable"),
        ("divide by zero", "integer divide by zero"),
        ("divide overflow", "integer overflow"),
        ("remainder", "integer divide by zero"),
        ("convert", "invalid conversion to integer"),
        ("convert overflow", "integer overflow"),
        ("load", "out of bounds memory access"),
        ("far load", "out of bounds memory access"),
        ("store", "out of bounds memory access"),
        ("fill", "out of bounds memory access"),
        ("copy", "out of bounds memory access"),
        ("undefined", "undefined element"),
        ("uninitialized", "uninitialized element"),
        ("mismatch", "indirect call type mismatch"),
        ("table get", "out of bounds table access"),
        ("exhausted", "call stack exhausted"),
    ] {
        let error = guest.fails(Code::Trap, function, &[]);
        assert!(error.message().starts_with("wasm trap: "), "{error}");
        says(&error, words);
        assert!(!guest.vm().is_running(), "{function}");
    }
}

#[test]
fn a_trap_ends_the_call_and_not_the_vm() {
    let guest = Guest::new(
        r#"(module
          (global $count (mut i32) (i32.const 0))
          (func (export "count_and_trap")
            (global.set $count (i32.add (global.get $count) (i32.const 1)))
            (unreachable))
          (func (export "count") (result i32) (global.get $count)))"#,
    );
    for round in 1..=1000 {
        guest.fails(Code::Trap, "count_and_trap", &[]);
        assert_eq!(guest.i32("count", &[]), round, "its effects stay");
    }
}

#[test]
fn a_load_at_the_last_byte_is_fine_and_one_beyond_traps() {
    let guest = Guest::new(
        r#"(module (memory 1)
          (func (export "load") (param i32) (result i32) (i32.load8_u (local.get 0)))
          (func (export "load8") (param i32) (result i64) (i64.load (local.get 0))))"#,
    );
    assert_eq!(guest.i32("load", &vals![65535_u32]), 0);
    assert_eq!(guest.call("load8", &vals![65528_u32]), Val::I64(0));
    for address in [65536, 65537, 1 << 31, u32::MAX] {
        guest.fails(Code::Trap, "load", &vals![address]);
    }
    for address in 65529..65537_u32 {
        guest.fails(Code::Trap, "load8", &vals![address]);
    }
}

/// `run` calls `env.trap` and returns 5; `nested` calls `env.nested`.
const ASKING: &str = r#"(module
  (import "env" "trap" (func $trap (param i32) (result i32)))
  (import "env" "nested" (func $nested (result i32)))
  (func (export "run") (result i32) (drop (call $trap (i32.const 1))) (i32.const 5))
  (func (export "calm") (result i32) (call $trap (i32.const 0)))
  (func (export "plain") (result i32) (i32.const 6))
  (func (export "nested") (result i32) (call $nested)))"#;

fn asking(nested: impl Fn(crate::support::GuestPointer) -> u32 + 'static) -> Guest {
    let guest = Guest::unlinked(ASKING);
    let me = guest.pointer();
    guest
        .host("trap", move |ask: u32| {
            if ask == 1 {
                me.vm().trap("the host says no");
            }
            9_u32
        })
        .host("nested", move || nested(me))
        .link()
}

#[test]
fn a_host_function_can_make_the_guest_trap() {
    let guest = asking(|_| 0);
    for _ in 0..3 {
        let error = guest.fails(Code::HostTrap, "run", &[]);
        assert_eq!(error.message(), "the host says no");
        assert!(error.backtrace().contains("0x"), "{:?}", error.backtrace());
        assert_eq!(guest.i32("calm", &[]), 9, "the request is not left over");
    }
}

#[test]
fn a_trap_asked_for_in_a_nested_call_ends_that_call() {
    let guest = asking(|me| {
        let error = failure(Code::HostTrap, me.try_call("run", &[]));
        assert_eq!(error.message(), "the host says no");
        77
    });
    assert_eq!(guest.i32("nested", &[]), 77);
}

#[test]
fn a_trap_asked_for_after_a_nested_call_ends_the_outer_one() {
    let guest = asking(|me| {
        failure(Code::HostTrap, me.try_call("run", &[]));
        me.vm().trap("outer");
        1
    });
    let error = guest.fails(Code::HostTrap, "nested", &[]);
    assert_eq!(error.message(), "outer");
}

#[test]
fn a_trap_asked_for_before_a_nested_call_ends_the_outer_one() {
    let guest = asking(|me| {
        me.vm().trap("outer");
        assert_eq!(me.i32("plain", &[]).expect("not affected"), 6);
        assert_eq!(me.i32("calm", &[]).expect("not affected"), 9);
        1
    });
    let error = guest.fails(Code::HostTrap, "nested", &[]);
    assert_eq!(error.message(), "outer");
    assert_eq!(guest.i32("calm", &[]), 9);
}

#[test]
fn a_nested_calls_request_does_not_replace_the_outer_one() {
    let guest = asking(|me| {
        me.vm().trap("outer");
        let error = failure(Code::HostTrap, me.try_call("run", &[]));
        assert_eq!(error.message(), "the host says no");
        1
    });
    let error = guest.fails(Code::HostTrap, "nested", &[]);
    assert_eq!(error.message(), "outer");
    assert!(!error.backtrace().is_empty());
    assert_eq!(guest.i32("calm", &[]), 9);
}

#[test]
fn the_last_request_and_only_one_vm() {
    let other = std::rc::Rc::new(asking(|_| 3));
    let inner = other.clone();
    let guest = asking(move |me| {
        me.vm().trap("first");
        me.vm().trap("second");
        inner.i32("nested", &[])
    });
    let error = guest.fails(Code::HostTrap, "nested", &[]);
    assert_eq!(error.message(), "second");
    assert_eq!(other.i32("calm", &[]), 9);
}

#[test]
fn asking_for_a_trap_outside_a_call_does_nothing() {
    let guest = asking(|_| 0);
    guest.vm().trap("nobody is running");
    assert_eq!(guest.i32("calm", &[]), 9);
}

#[test]
fn a_hosts_message_is_one_line() {
    let guest = asking(|me| {
        me.vm().trap("one\ntwo\r\nthree");
        0
    });
    let error = guest.fails(Code::HostTrap, "nested", &[]);
    assert_eq!(error.message(), "one two  three");
}

#[test]
fn a_host_trap_from_an_import_called_directly() {
    let guest = Guest::unlinked(
        r#"(module (import "env" "trap" (func $trap)) (export "trap" (func $trap)))"#,
    );
    let me = guest.pointer();
    let guest = guest.host("trap", move || me.vm().trap("direct")).link();
    for _ in 0..2 {
        let error = guest.fails(Code::HostTrap, "trap", &[]);
        assert_eq!(error.message(), "direct");
    }
}

#[test]
fn a_trapping_start_function_fails_the_vm_with_its_reason() {
    let module = module(r#"(module (func $start (unreachable)) (start $start))"#);
    let guest = Guest::of(&module, &Options::default());
    let error = failure(Code::Trap, guest.try_link());
    says(&error, "start function: wasm trap: unreachable");
    assert!(
        error.backtrace().contains("start"),
        "{:?}",
        error.backtrace()
    );
    // Another VM of the same module fares no better, and nothing is left behind.
    failure(
        Code::Trap,
        Guest::of(&module, &Options::default()).try_link(),
    );
}

#[test]
fn a_host_trap_in_the_start_function() {
    let guest = Guest::unlinked(
        r#"(module (import "env" "no" (func $no)) (func $start (call $no)) (start $start))"#,
    );
    let me = guest.pointer();
    let guest = guest.host("no", move || me.vm().trap("not allowed"));
    let error = failure(Code::HostTrap, guest.try_link());
    says(&error, "start function: not allowed");
}
