//! How much of a stack a nested call has. Alone in a process, since wasmer keeps stacks of
//! all sizes for all threads, so that others' tests would leave larger ones to measure with.

use std::cell::Cell;
use std::rc::Rc;

use crate::child::alone;
use crate::support::{Guest, least};

/// A call from a host function has room whatever its caller has used up.
#[test]
fn a_nested_call_has_half_a_stack_at_least() {
    alone(
        "nested::a_nested_call_has_half_a_stack_at_least",
        &[],
        || {
            let guest = Guest::unlinked(
                r#"(module
                  (import "env" "host" (func $host (param i32) (result i32)))
                  (func $dive (export "dive") (param $depth i32) (result i32)
                    (if (result i32) (local.get $depth)
                      (then (i32.add (i32.const 1)
                        (call $dive (i32.sub (local.get $depth) (i32.const 1)))))
                      (else (call $host (i32.const 0)))))
                  (func $flat (export "flat") (param $depth i32) (result i32)
                    (if (result i32) (local.get $depth)
                      (then (i32.add (i32.const 1)
                        (call $flat (i32.sub (local.get $depth) (i32.const 1)))))
                      (else (i32.const 0)))))"#,
            );
            let me = guest.pointer();
            let seen: Rc<Cell<u32>> = Rc::default();
            let depth = seen.clone();
            let guest = guest
                .host("host", move |_: u32| {
                    me.i32("flat", &vals![depth.get()]).expect("room")
                })
                .link();
            // The two functions have frames of different sizes.
            let fits = |function| {
                least(1_000_000, |depth| {
                    guest.try_call(function, &vals![depth]).is_err()
                }) - 1
            };
            let callers = fits("dive") * 9 / 10;
            seen.set(fits("flat") * 45 / 100);
            for caller in (0..callers).step_by(callers as usize / 45) {
                assert_eq!(guest.i32("dive", &vals![caller]), caller + seen.get());
            }
        },
    );
}
