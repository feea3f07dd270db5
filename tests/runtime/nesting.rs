//! Guest → host → guest: on one VM, across VMs, to the limit, with failures in between.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use rust_wasm::{Code, Error, Options, Result};

use crate::support::{Guest, failure, says};

/// Calls the host with its argument and adds one to what that returns.
const PING: &str = r#"(module
  (import "env" "host" (func $host (param i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "ping") (param i32) (result i32)
    (i32.add (call $host (local.get 0)) (i32.const 1)))
  (func (export "trap") (param i32) (result i32) (unreachable))
  (func (export "ping_then_trap") (param i32) (result i32)
    (drop (call $host (local.get 0))) (unreachable))
  (func (export "library_trap") (param i32) (result i32)
    (memory.copy (i32.const 65536) (i32.const 0) (i32.const 1)) (i32.const 0))
  (func (export "load_trap") (param i32) (result i32) (i32.load (i32.const 65536)))
  (func (export "divide_trap") (param i32) (result i32)
    (i32.div_u (local.get 0) (i32.const 0)))
  (func $deeper (export "overflow") (param i32) (result i32)
    (i32.add (call $deeper (local.get 0)) (i32.const 1)))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))"#;

/// The guest nests itself `depth` deep and counts its levels.
fn nest(depth: u32) -> (Guest, Result<u32>) {
    let guest = Guest::unlinked(PING);
    let me = guest.pointer();
    let failed: Rc<RefCell<Option<Error>>> = Rc::default();
    let first = failed.clone();
    let guest = guest
        .host("host", move |left: u32| {
            if left == 0 {
                return 0;
            }
            me.i32("ping", &vals![left - 1]).unwrap_or_else(|error| {
                first.borrow_mut().get_or_insert(error);
                0
            })
        })
        .link();
    let levels = guest.i32("ping", &vals![depth - 1]);
    let result = failed.borrow_mut().take().map_or(Ok(levels), Err);
    (guest, result)
}

#[test]
fn a_vm_calls_itself_through_the_host() {
    for depth in [1, 2, 3, 10, 65] {
        let (guest, levels) = nest(depth);
        assert_eq!(levels.expect("within the limit"), depth);
        assert!(!guest.vm().is_running());
    }
}

#[test]
fn nesting_too_deep_is_refused_and_everything_unwinds() {
    for depth in [66, 67, 1000] {
        let (guest, result) = nest(depth);
        let error = failure(Code::Resource, result);
        says(&error, "calls nest more than 64 deep");
        assert!(!guest.vm().is_running());
        // The VM and the thread are as good as before.
        assert_eq!(guest.i32("ping", &vals![0_u32]), 1);
        assert_eq!(guest.i32("ping", &vals![64_u32]), 65);
    }
}

#[test]
fn traps_at_the_deepest_level_unwind_one_level_only() {
    for kind in [
        "trap",
        "library_trap",
        "load_trap",
        "divide_trap",
        "overflow",
    ] {
        let guest = Guest::unlinked(PING);
        let me = guest.pointer();
        let guest = guest
            .host("host", move |left: u32| {
                if left > 0 {
                    return me
                        .i32("ping", &vals![left - 1])
                        .expect("the inner trap is handled");
                }
                failure(Code::Trap, me.try_call(kind, &vals![1_u32]));
                1000
            })
            .link();
        for _ in 0..3 {
            assert_eq!(guest.i32("ping", &vals![63_u32]), 1064, "{kind}");
        }
    }
}

/// `sum` calls the host below that many frames, and then needs what is in each of them.
#[test]
fn frames_survive_a_trap_of_a_call_below_them_on_their_stack() {
    let guest = Guest::unlinked(
        r#"(module
          (import "env" "host" (func $host (param i32) (result i32)))
          (func $sum (export "sum") (param $depth i32) (param $nest i32) (result i32)
            (local $mine i32)
            (local.set $mine (i32.mul (local.get $depth) (i32.const 3)))
            (if (result i32) (local.get $depth)
              (then (i32.add (local.get $mine)
                (call $sum (i32.sub (local.get $depth) (i32.const 1)) (local.get $nest))))
              (else (call $host (local.get $nest)))))
          (func (export "trap") (unreachable))
          (func $deeper (export "overflow") (call $deeper) (call $deeper)))"#,
    );
    let me = guest.pointer();
    let other = Guest::of(
        &crate::support::module(PING),
        &Options {
            guest_stack_bytes: 2 << 20,
            ..Options::default()
        },
    )
    .host("host", |n: u32| n)
    .link();
    let guest = guest
        .host("host", move |left: u32| {
            let inner = match left {
                0 => 0,
                _ => me.i32("sum", &vals![left, left - 1]).expect("returns"),
            };
            for export in ["trap", "overflow"] {
                failure(Code::Trap, me.try_call(export, &[]));
                failure(Code::Trap, other.try_call(export, &vals![0_u32]));
                assert_eq!(other.i32("ping", &vals![7_u32]), 8);
            }
            inner + 1
        })
        .link();
    let sum = |depth: u32| 3 * depth * (depth + 1) / 2;
    let below: u32 = (1..=5).map(sum).sum();
    for depth in [0, 1, 10, 1000] {
        for _ in 0..10 {
            let result = guest.i32("sum", &vals![depth, 5_u32]);
            assert_eq!(result, sum(depth) + below + 6, "{depth}");
        }
    }
    assert!(!guest.vm().is_running());
}

#[test]
fn growing_memory_works_at_the_deepest_level() {
    let guest = Guest::unlinked(PING);
    let me = guest.pointer();
    let guest = guest
        .host("host", move |left: u32| match left {
            0 => me.i32("grow", &vals![2_u32]).expect("grows"),
            _ => me.i32("ping", &vals![left - 1]).expect("within the limit"),
        })
        .link();
    assert_eq!(guest.i32("ping", &vals![63_u32]), 65);
    assert_eq!(guest.memory_size(), 3 << 16);
}

#[test]
fn the_outer_call_may_trap_after_a_nested_one() {
    let guest = Guest::unlinked(PING);
    let me = guest.pointer();
    let guest = guest
        .host("host", move |left: u32| match left {
            0 => 0,
            1 => me.i32("ping", &vals![0_u32]).expect("returns"),
            _ => {
                failure(Code::Trap, me.try_call("ping_then_trap", &vals![left - 1]));
                left
            }
        })
        .link();
    for _ in 0..3 {
        guest.fails(Code::Trap, "ping_then_trap", &vals![5_u32]);
        assert_eq!(guest.i32("ping", &vals![5_u32]), 6);
        assert!(!guest.vm().is_running());
    }
}

#[test]
fn many_nested_calls_from_one_host_function() {
    let guest = Guest::unlinked(PING);
    let me = guest.pointer();
    let guest = guest
        .host("host", move |rounds: u32| {
            (0..rounds)
                .map(|round| match round % 3 {
                    0 => me.try_call("trap", &vals![0_u32]).map_or(1, |_| 0),
                    1 => me.i32("ping", &vals![0_u32]).expect("returns"),
                    _ => me.try_call("overflow", &vals![0_u32]).map_or(1, |_| 0),
                })
                .sum::<u32>()
        })
        .link();
    assert_eq!(guest.i32("ping", &vals![999_u32]), 1000);
}

#[test]
fn two_vms_call_each_other() {
    let left = Guest::unlinked(PING);
    let right = Guest::unlinked(PING);
    let (to_left, to_right) = (left.pointer(), right.pointer());
    let left = left
        .host("host", move |n: u32| match n {
            0 => 0,
            _ => to_right.i32("ping", &vals![n - 1]).expect("returns"),
        })
        .link();
    let right = right
        .host("host", move |n: u32| match n {
            0 => 0,
            _ => to_left.i32("ping", &vals![n - 1]).expect("returns"),
        })
        .link();
    assert_eq!(left.i32("ping", &vals![20_u32]), 21);
    assert_eq!(right.i32("ping", &vals![21_u32]), 22);
    assert!(!left.vm().is_running() && !right.vm().is_running());
}

#[test]
fn a_trap_in_one_vm_leaves_its_caller_in_another_running() {
    let inner = Rc::new(Guest::unlinked(PING).host("host", |_: u32| 0_u32).link());
    let callee = inner.clone();
    let outer = Guest::unlinked(PING)
        .host("host", move |_: u32| {
            failure(Code::Trap, callee.try_call("overflow", &vals![0_u32]));
            failure(Code::Trap, callee.try_call("library_trap", &vals![0_u32]));
            assert!(!callee.vm().is_running());
            callee.i32("ping", &vals![0_u32])
        })
        .link();
    assert_eq!(outer.i32("ping", &vals![0_u32]), 2);
    assert_eq!(inner.i32("ping", &vals![0_u32]), 1);
}

#[test]
fn vms_may_be_made_and_dropped_inside_a_host_function() {
    let guest = Guest::unlinked(PING)
        .host("host", |n: u32| {
            let other = Guest::unlinked(PING).host("host", |n: u32| 2 * n).link();
            failure(Code::Trap, other.try_call("trap", &vals![n]));
            other.i32("ping", &vals![n])
        })
        .link();
    assert_eq!(guest.i32("ping", &vals![10_u32]), 22);
    assert_eq!(guest.i32("ping", &vals![11_u32]), 24);
}

/// A thread keeps the stack that it used last, and takes it for a VM that asks for less.
#[test]
fn overflow_on_a_stack_that_is_larger_than_asked_for_is_a_trap() {
    for guest_stack_bytes in [8 << 20, 64 << 10] {
        let options = Options {
            guest_stack_bytes,
            ..Options::default()
        };
        let guest = Guest::of(&crate::support::module(PING), &options)
            .host("host", |n: u32| n)
            .link();
        failure(Code::Trap, guest.try_call("overflow", &vals![0_u32]));
        assert_eq!(guest.i32("ping", &vals![1_u32]), 2);
    }
}

#[test]
fn nested_vms_with_other_stack_sizes() {
    let sizes = [64 << 10, 1 << 20, 256 << 10, 8 << 20];
    let guests: Rc<Vec<Guest>> = Rc::new(
        sizes
            .iter()
            .map(|&guest_stack_bytes| {
                let options = Options {
                    guest_stack_bytes,
                    ..Options::default()
                };
                Guest::of(&crate::support::module(PING), &options)
                    .host("host", |n: u32| n)
                    .link()
            })
            .collect(),
    );
    let inner = guests.clone();
    let outer = Guest::unlinked(PING)
        .host("host", move |_: u32| {
            inner
                .iter()
                .map(|it| {
                    failure(Code::Trap, it.try_call("overflow", &vals![0_u32]));
                    it.i32("ping", &vals![1_u32])
                })
                .sum::<u32>()
        })
        .link();
    assert_eq!(outer.i32("ping", &vals![0_u32]), 9);
    assert!(guests.iter().all(|it| it.i32("ping", &vals![4_u32]) == 5));
}

#[test]
fn a_vm_knows_that_it_is_running() {
    let guest = Guest::unlinked(PING);
    let me = guest.pointer();
    let seen = Rc::new(Cell::new(false));
    let note = seen.clone();
    let guest = guest
        .host("host", move |_: u32| {
            note.set(me.vm().is_running());
            0_u32
        })
        .link();
    assert!(!guest.vm().is_running());
    guest.results("ping", &vals![0_u32]);
    assert!(seen.get() && !guest.vm().is_running());
}
