//! WebAssembly exceptions: caught in the guest, never offered to the host.

use std::rc::Rc;

use rust_wasm::{Code, Options};

use crate::support::{Guest, failure, says};

const THROWING: &str = r#"(module
  (import "env" "host" (func $host (result i32)))
  (tag $number (param i32))
  (tag $other)
  (func $throw (param i32) (throw $number (local.get 0)))
  (func $deep (param $depth i32) (param $value i32)
    (if (i32.eqz (local.get $depth)) (then (throw $number (local.get $value))))
    (call $deep (i32.sub (local.get $depth) (i32.const 1)) (local.get $value)))
  (func (export "caught") (param i32) (result i32)
    (block $handler (result i32)
      (try_table (catch $number $handler) (call $throw (local.get 0)))
      (i32.const -1)))
  (func (export "caught_deep") (param i32) (result i32)
    (block $handler (result i32)
      (try_table (catch $number $handler) (call $deep (local.get 0) (i32.const 77)))
      (i32.const -1)))
  (func (export "wrong_tag") (param i32) (result i32)
    (block $handler
      (try_table (catch $other $handler) (call $throw (local.get 0))))
    (i32.const -1))
  (func (export "uncaught") (param i32) (result i32)
    (call $throw (local.get 0)) (i32.const -1))
  (func (export "catches_all_of_host") (result i32)
    (block $handler
      (try_table (catch_all $handler) (return (call $host))))
    (i32.const -2))
  (func (export "trap_under_catch_all") (result i32)
    (block $handler
      (try_table (catch_all $handler) (unreachable)))
    (i32.const -2)))"#;

fn throwing() -> Guest {
    Guest::unlinked(THROWING).host("host", || 0_u32).link()
}

#[test]
fn an_exception_is_caught_with_its_payload() {
    let guest = throwing();
    for value in [0, 1, u32::MAX] {
        assert_eq!(guest.i32("caught", &vals![value]), value);
    }
    assert_eq!(
        guest.i32("caught_deep", &vals![1000_u32]),
        77,
        "across many frames"
    );
}

#[test]
fn an_uncaught_exception_is_a_trap() {
    let guest = throwing();
    for name in ["uncaught", "wrong_tag"] {
        for _ in 0..10 {
            let error = guest.fails(Code::Trap, name, &vals![1_u32]);
            says(&error, "exception");
            assert_eq!(guest.i32("caught", &vals![4_u32]), 4, "the VM works on");
        }
    }
}

#[test]
fn no_handler_of_an_outer_guest_catches_it() {
    let inner = Rc::new(throwing());
    let callee = inner.clone();
    let outer = Guest::unlinked(THROWING)
        .host("host", move || {
            let error = failure(Code::Trap, callee.try_call("uncaught", &vals![1_u32]));
            says(&error, "exception");
            5_u32
        })
        .link();
    assert_eq!(outer.i32("catches_all_of_host", &[]), 5);
    assert_eq!(inner.i32("caught", &vals![4_u32]), 4);
}

#[test]
fn no_handler_of_the_same_vm_catches_it_across_the_host() {
    let guest = Guest::unlinked(THROWING);
    let me = guest.pointer();
    let guest = guest
        .host("host", move || {
            failure(Code::Trap, me.try_call("uncaught", &vals![1_u32]));
            assert_eq!(me.i32("caught", &vals![8_u32]).expect("returns"), 8);
            6_u32
        })
        .link();
    for _ in 0..10 {
        assert_eq!(guest.i32("catches_all_of_host", &[]), 6);
    }
}

#[test]
fn traps_and_host_traps_are_not_exceptions() {
    let guest = Guest::unlinked(THROWING);
    let me = guest.pointer();
    let guest = guest
        .host("host", move || {
            me.vm().trap("stop");
            0_u32
        })
        .link();
    guest.fails(Code::Trap, "trap_under_catch_all", &[]);
    let error = guest.fails(Code::HostTrap, "catches_all_of_host", &[]);
    assert_eq!(error.message(), "stop");
}

#[test]
fn exceptions_on_several_threads() {
    let threads: Vec<_> = (0..4)
        .map(|_| {
            std::thread::spawn(|| {
                let guest = throwing();
                for round in 0..500_u32 {
                    assert_eq!(guest.i32("caught", &vals![round]), round);
                    guest.fails(Code::Trap, "uncaught", &vals![round]);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("no panic");
    }
}

/// `many` catches as many exceptions as it is told, below `depth` frames.
const MANY: &str = r#"(module
  (tag $tag (param i32))
  GLOBAL
  (func $many (export "many") (param $count i32) (param $depth i32) (result i32)
    (if (result i32) (local.get $depth)
      (then (i32.add (i32.const 0)
        (call $many (local.get $count) (i32.sub (local.get $depth) (i32.const 1)))))
      (else
        (loop $again
          (if (local.get $count) (then
            (block $h (result i32) (try_table (catch $tag $h) (throw $tag (i32.const 1))) (unreachable))
            (drop)
            (local.set $count (i32.sub (local.get $count) (i32.const 1)))
            (br $again))))
        (i32.const 7)))))"#;

#[test]
fn exceptions_have_a_budget_per_call_which_deep_ones_use_up_sooner() {
    let guest = Guest::new(&MANY.replace("GLOBAL", ""));
    for _ in 0..3 {
        assert_eq!(guest.i32("many", &vals![9000_u32, 0_u32]), 7);
        let error = guest.fails(Code::Trap, "many", &vals![11_000_u32, 0_u32]);
        says(
            &error,
            "too many exceptions: more than 104857600 bytes in one call",
        );
        // Some 160 KiB of stack or more.
        let error = guest.fails(Code::Trap, "many", &vals![300_u32, 10_000_u32]);
        says(
            &error,
            "too many exceptions: more than 104857600 bytes in one call",
        );
        assert_eq!(guest.i32("many", &vals![20_u32, 10_000_u32]), 7);
    }
}

#[test]
fn a_guest_that_may_keep_exceptions_has_one_budget_for_its_life() {
    let guest = Guest::new(&MANY.replace("GLOBAL", "(global (mut exnref) (ref.null exn))"));
    assert_eq!(guest.i32("many", &vals![6000_u32, 0_u32]), 7);
    for _ in 0..3 {
        let error = guest.fails(Code::Trap, "many", &vals![6000_u32, 0_u32]);
        says(
            &error,
            "more than 104857600 bytes since the VM was made: it may keep them",
        );
    }
}

#[test]
fn the_budget_is_an_option() {
    let guest = |max_exception_bytes| {
        let options = Options {
            max_exception_bytes,
            ..Options::default()
        };
        Guest::with(&MANY.replace("GLOBAL", ""), &options)
    };
    let small = guest(50_000);
    assert_eq!(small.i32("many", &vals![3_u32, 0_u32]), 7);
    let error = small.fails(Code::Trap, "many", &vals![5_u32, 0_u32]);
    says(
        &error,
        "too many exceptions: more than 50000 bytes in one call",
    );
    let error = guest(0).fails(Code::Trap, "many", &vals![1_u32, 0_u32]);
    says(&error, "more than 0 bytes");
    assert_eq!(guest(1 << 30).i32("many", &vals![20_000_u32, 0_u32]), 7);
}

#[test]
fn another_vms_call_does_not_renew_the_budget() {
    let text = MANY.replace("GLOBAL", "").replace(
        "(loop $again",
        "(loop $again (if (i32.eqz (i32.rem_u (local.get $count) (i32.const 100))) (then (call $host)))",
    );
    let text = text.replacen(
        "(module",
        r#"(module (import "env" "host" (func $host))"#,
        1,
    );
    let inner = Guest::new(&MANY.replace("GLOBAL", ""));
    let outer = Guest::unlinked(&text)
        .host("host", move || {
            inner.i32("many", &vals![1_u32, 0_u32]);
        })
        .link();
    let error = outer.fails(Code::Trap, "many", &vals![11_000_u32, 0_u32]);
    says(
        &error,
        "too many exceptions: more than 104857600 bytes in one call",
    );
    assert_eq!(outer.i32("many", &vals![9000_u32, 0_u32]), 7);
}

#[test]
fn a_panic_of_the_host_on_the_same_thread_still_unwinds() {
    let guest = throwing();
    guest.fails(Code::Trap, "uncaught", &vals![1_u32]);
    let caught = std::panic::catch_unwind(|| std::panic::resume_unwind(Box::new(5_u32)));
    assert_eq!(caught.expect_err("panicked").downcast_ref(), Some(&5_u32));
    guest.fails(Code::Trap, "uncaught", &vals![1_u32]);
}

#[test]
fn an_exception_kept_for_a_later_call_is_still_one() {
    for (declared, store, load) in [
        (
            "(table $t 1 exnref)",
            "(local.set $e) (table.set $t (i32.const 0) (local.get $e))",
            "(table.get $t (i32.const 0))",
        ),
        (
            "(global $g (mut exnref) (ref.null exn))",
            "(global.set $g)",
            "(global.get $g)",
        ),
    ] {
        let text = format!(
            r#"(module
              (tag $number (param i32))
              {declared}
              (func (export "keep") (param i32) (local $e exnref)
                (block $h (result exnref)
                  (try_table (catch_all_ref $h) (throw $number (local.get 0)))
                  (unreachable))
                {store})
              (func (export "again") (result i32)
                (block $h (result i32)
                  (try_table (catch $number $h) {load} (throw_ref))
                  (unreachable))))"#
        );
        let guest = Guest::unlinked(&text);
        if guest.try_link().is_err() {
            // wasmer has no such tables.
            continue;
        }
        guest.fails(Code::Trap, "again", &[]);
        for value in 0..10_u32 {
            guest.results("keep", &vals![value]);
            assert_eq!(guest.i32("again", &[]), value, "{declared}");
            assert_eq!(guest.i32("again", &[]), value, "{declared}");
        }
    }
}
