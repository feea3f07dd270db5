//! Threads: VMs that move, threads that end, many VMs of one module at once.

use std::cell::RefCell;
use std::sync::Barrier;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use rust_wasm::{Code, Error, Options};

use crate::support::{Guest, module, says};

const COUNTER: &str = r#"(module
  (import "env" "host" (func $host (param i32) (result i32)))
  (memory (export "memory") 1)
  (global $count (mut i32) (i32.const 0))
  (func (export "count") (result i32)
    (global.set $count (i32.add (global.get $count) (i32.const 1)))
    (global.get $count))
  (func (export "host") (param i32) (result i32) (call $host (local.get 0)))
  (func (export "trap") (unreachable))
  (func $deep (export "overflow") (call $deep) (call $deep)))"#;

fn counter(options: &Options) -> Guest {
    Guest::of(&module(COUNTER), options)
        .host("host", |n: u32| n + 1)
        .link()
}

#[test]
fn a_vm_moves_between_threads() {
    let mut guest = counter(&Options::default());
    assert_eq!(guest.i32("count", &[]), 1);
    for round in 2..20_u32 {
        guest = thread::spawn(move || {
            assert_eq!(guest.i32("count", &[]), round);
            guest.fails(Code::Trap, "trap", &[]);
            assert_eq!(guest.i32("host", &vals![5_u32]), 6);
            guest
        })
        .join()
        .expect("no panic");
    }
    assert_eq!(guest.i32("count", &[]), 20);
}

#[test]
fn a_vm_is_dropped_on_another_thread() {
    for _ in 0..10 {
        let guest = counter(&Options::default());
        assert_eq!(guest.i32("count", &[]), 1);
        thread::spawn(move || drop(guest)).join().expect("no panic");
    }
}

#[test]
fn eight_threads_make_and_call_vms_of_one_module() {
    let module = module(COUNTER);
    let barrier = Barrier::new(8);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                barrier.wait();
                for _ in 0..50 {
                    let guest = Guest::of(&module, &Options::default())
                        .host("host", |n: u32| n + 1)
                        .link();
                    for round in 1..=20_u32 {
                        assert_eq!(guest.i32("count", &[]), round);
                        assert_eq!(guest.i32("host", &vals![round]), round + 1);
                    }
                    guest.fails(Code::Trap, "trap", &[]);
                    guest.fails(Code::Trap, "overflow", &[]);
                    assert_eq!(guest.i32("count", &[]), 21);
                }
            });
        }
    });
}

#[test]
fn threads_compile_and_drop_modules_while_others_trap() {
    thread::scope(|scope| {
        for seed in 0..4_u32 {
            scope.spawn(move || {
                for round in 0..20_u32 {
                    let value = seed * 1000 + round;
                    let guest = Guest::new(&format!(
                        r#"(module
                          (func (export "value") (result i32) (i32.const {value}))
                          (func (export "trap") (unreachable)))"#
                    ));
                    assert_eq!(guest.i32("value", &[]), value);
                    let error = guest.fails(Code::Trap, "trap", &[]);
                    assert!(!error.backtrace().is_empty());
                }
            });
        }
    });
}

#[test]
fn many_threads_end_after_their_calls() {
    let module = module(COUNTER);
    for round in 0..100 {
        thread::scope(|scope| {
            scope.spawn(|| {
                let guest = Guest::of(&module, &Options::default())
                    .host("host", |n: u32| n + 1)
                    .link();
                assert_eq!(guest.i32("count", &[]), 1);
                if round % 2 == 0 {
                    // Ends with no coroutine parked.
                    guest.fails(Code::Trap, "trap", &[]);
                }
            });
        });
    }
}

#[test]
fn the_stack_overflows_again_and_again_on_many_threads() {
    let module = module(COUNTER);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let guest = Guest::of(&module, &Options::default())
                    .host("host", |n: u32| n + 1)
                    .link();
                for _ in 0..50 {
                    guest.fails(Code::Trap, "overflow", &[]);
                }
                assert_eq!(guest.i32("count", &[]), 1);
            });
        }
    });
}

#[test]
fn stack_sizes_alternate_on_one_thread() {
    let sizes = [64 << 10, 2 << 20, 1 << 20, 100_000, 64 << 20];
    let guests: Vec<Guest> = sizes
        .iter()
        .map(|&guest_stack_bytes| {
            counter(&Options {
                guest_stack_bytes,
                ..Options::default()
            })
        })
        .collect();
    for round in 1..=10_u32 {
        for guest in &guests {
            assert_eq!(guest.i32("count", &[]), round);
            assert_eq!(guest.i32("host", &vals![round]), round + 1);
            if round % 3 == 0 {
                guest.fails(Code::Trap, "overflow", &[]);
            }
        }
    }
}

#[test]
fn a_larger_stack_allows_deeper_recursion() {
    let depth = |guest_stack_bytes: usize| {
        let guest = Guest::with(
            r#"(module
              (global $depth (mut i32) (i32.const 0))
              (func $deep (export "overflow")
                (global.set $depth (i32.add (global.get $depth) (i32.const 1)))
                (call $deep) (call $deep))
              (func (export "depth") (result i32) (global.get $depth)))"#,
            &Options {
                guest_stack_bytes,
                ..Options::default()
            },
        );
        guest.fails(Code::Trap, "overflow", &[]);
        guest.i32("depth", &[])
    };
    let (small, large) = (depth(64 << 10), depth(4 << 20));
    assert!(small > 100, "{small}");
    assert!(small > 1_000 && large > 30_000, "{large} and {small}");
}

/// Calls its guest when its thread ends, and tells how that went.
struct LastCall(Guest, Sender<Result<(), Error>>);

impl Drop for LastCall {
    fn drop(&mut self) {
        let calls = || {
            for name in ["count", "trap", "count"] {
                let outcome = self.0.try_call(name, &[]);
                if let Err(error) = outcome
                    && error.code() != Code::Trap
                {
                    return Err(error);
                }
            }
            Ok(())
        };
        self.1.send(calls()).expect("the test waits");
    }
}

thread_local! {
    static LAST: RefCell<Option<LastCall>> = const { RefCell::new(None) };
}

/// How calls go from the destructor of a thread-local that is registered before or after
/// the runtime's own.
fn call_at_the_end_of_a_thread(registered_before: bool) -> Result<(), Error> {
    let (tell, outcome) = channel();
    thread::spawn(move || {
        if registered_before {
            LAST.with(|last| assert!(last.borrow().is_none()));
        }
        let guest = counter(&Options::default());
        assert_eq!(guest.i32("count", &[]), 1);
        LAST.with(|last| *last.borrow_mut() = Some(LastCall(guest, tell)));
    })
    .join()
    .expect("no panic");
    outcome.recv().expect("told")
}

#[test]
fn destructors_that_run_before_the_runtimes_may_call_guests() {
    call_at_the_end_of_a_thread(false).expect("returns");
}

#[test]
fn destructors_that_run_after_the_runtimes_get_an_error() {
    let error = call_at_the_end_of_a_thread(true).expect_err("too late");
    assert_eq!(error.code(), Code::Resource, "{error}");
    says(&error, "or is ending");
}

#[test]
fn warming_a_thread_is_idempotent() {
    thread::spawn(|| {
        for _ in 0..3 {
            rust_wasm::warm().expect("warms");
        }
        let guest = counter(&Options::default());
        rust_wasm::warm().expect("warms");
        assert_eq!(guest.i32("count", &[]), 1);
        guest.fails(Code::Trap, "trap", &[]);
        rust_wasm::warm().expect("warms");
        assert_eq!(guest.i32("count", &[]), 2);
    })
    .join()
    .expect("no panic");
}

#[test]
fn warming_within_a_call_changes_nothing() {
    let guest = Guest::of(
        &module(COUNTER),
        &Options {
            guest_stack_bytes: 2 << 20,
            ..Options::default()
        },
    )
    .host("host", |n: u32| {
        rust_wasm::warm().expect("warms");
        n
    })
    .link();
    assert_eq!(guest.i32("host", &vals![5_u32]), 5);
}
