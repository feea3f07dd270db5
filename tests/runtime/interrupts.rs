//! Termination and deadlines.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rust_wasm::{Code, Module, Options};

use crate::support::{Guest, failure, host, module, says};

/// Longer than any of these tests needs.
const SOON: Duration = Duration::from_secs(30);

/// Endless loops of several shapes. Each first calls `env.running`.
const SHAPES: &[(&str, &str)] = &[
    ("empty loop", "(loop $l (br $l))"),
    ("conditional loop", "(loop $l (br_if $l (i32.const 1)))"),
    (
        "loop that loads",
        "(loop $l (br_if $l (i32.eqz (i32.load (i32.const 0)))))",
    ),
    (
        "loop that stores",
        "(loop $l (i32.store (i32.const 0) (i32.const 1)) (br $l))",
    ),
    (
        "loop that counts",
        "(loop $l (local.set 0 (i32.add (local.get 0) (i32.const 1))) (br $l))",
    ),
    (
        "loop that reads a global",
        "(loop $l (br_if $l (i32.eqz (global.get $zero))))",
    ),
    (
        "jump table",
        "(loop $l (block $b (br_table $b $l $l (i32.const 2))) (br $l))",
    ),
    (
        "a loop in a loop",
        "(loop $outer (loop $inner (br $inner)) (br $outer))",
    ),
    (
        "a loop after another",
        "(loop $first (br_if $first (i32.const 0))) (loop $second (br $second))",
    ),
    (
        "a tenth loop, in a ninth",
        "(loop) (loop) (loop) (loop) (loop) (loop) (loop) (loop) (loop $ninth (loop $tenth (br $tenth)) (br $ninth))",
    ),
    (
        "the ninth of nested loops",
        "(loop $a (loop (loop (loop (loop (loop (loop (loop (loop $i (br $i))))))))) (br $a))",
    ),
    (
        "nested loops",
        "(loop $outer (loop $inner (br_if $inner (i32.const 0))) (br $outer))",
    ),
    ("loop that calls", "(loop $l (call $leaf) (br $l))"),
    (
        "loop that calls the host",
        "(loop $l (call $running) (br $l))",
    ),
    (
        "growing memory",
        "(loop $l (drop (memory.grow (i32.const 0))) (br $l))",
    ),
    (
        "failing to grow memory",
        "(loop $l (drop (memory.grow (i32.const -1))) (br $l))",
    ),
    (
        "filling memory",
        "(loop $l (memory.fill (i32.const 0) (i32.const 0) (i32.const 65536)) (br $l))",
    ),
    ("recursion", "(call $fibonacci (i32.const 60)) (drop)"),
    (
        "indirect recursion",
        "(call_indirect (param i32) (result i32) (i32.const 60) (i32.const 0)) (drop)",
    ),
    (
        "loop with a block parameter",
        "(i32.const 1) (loop $l (param i32) (result i32) (br $l)) (drop)",
    ),
];

fn endless(body: &str) -> Module {
    module(&format!(
        r#"(module
          (import "env" "running" (func $running))
          (memory 1)
          (global $zero (mut i32) (i32.const 0))
          (table funcref (elem $fibonacci))
          (func $leaf)
          (func $fibonacci (param i32) (result i32)
            (if (result i32) (i32.lt_u (local.get 0) (i32.const 2))
              (then (i32.const 1))
              (else (i32.add
                (call $fibonacci (i32.sub (local.get 0) (i32.const 1)))
                (call $fibonacci (i32.sub (local.get 0) (i32.const 2)))))))
          (func (export "run") (local i32) (call $running) {body})
          (func (export "quick") (result i32) (i32.const 3)))"#
    ))
}

fn with_deadline(deadline: Duration) -> Options {
    Options {
        call_deadline: Some(deadline),
        ..Options::default()
    }
}

#[test]
fn termination_stops_every_shape_of_loop() {
    for (shape, body) in SHAPES {
        let (tell, running) = mpsc::channel();
        let guest = Guest::of(&endless(body), &Options::default())
            .host("running", move || tell.send(()).unwrap_or_default())
            .link();
        let terminator = guest.terminator();
        let error = thread::scope(|scope| {
            scope.spawn(move || {
                running.recv().expect("runs");
                terminator.terminate();
            });
            guest.fails(Code::Interrupt, "run", &[])
        });
        says(&error, "wasm trap: interrupt: the VM was terminated");
        assert!(!error.backtrace().is_empty(), "{shape}");
        // It is ended for good.
        guest.fails(Code::Interrupt, "quick", &[]);
        guest.fails(Code::Interrupt, "run", &[]);
    }
}

#[test]
fn a_deadline_stops_every_shape_of_loop_and_spares_the_vm() {
    for (shape, body) in SHAPES {
        let guest = Guest::of(&endless(body), &with_deadline(Duration::from_millis(5)))
            .host("running", || ())
            .link();
        for _ in 0..2 {
            let begin = Instant::now();
            let error = guest.fails(Code::Interrupt, "run", &[]);
            says(&error, "longer than its deadline of 5ms");
            assert!(
                begin.elapsed() >= Duration::from_millis(5),
                "{shape}: not before"
            );
            assert!(begin.elapsed() < SOON, "{shape}");
            assert_eq!(
                guest.i32("quick", &[]),
                3,
                "{shape}: the next call has its own time"
            );
        }
    }
}

#[test]
fn a_call_within_its_deadline_is_not_disturbed() {
    let guest = Guest::of(&endless("nop"), &with_deadline(SOON))
        .host("running", || ())
        .link();
    for _ in 0..1000 {
        guest.results("run", &[]);
    }
}

#[test]
fn the_longest_deadline_is_none_in_effect() {
    let text = r#"(module (func (export "count") (param i32) (result i32)
      (loop $l
        (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
        (br_if $l (local.get 0)))
      (i32.const 7)))"#;
    let guest = Guest::of(&module(text), &with_deadline(Duration::MAX)).link();
    let begin = Instant::now();
    // Some ticks of the watchdog.
    while begin.elapsed() < Duration::from_millis(20) {
        assert_eq!(guest.i32("count", &vals![10_000_000_u32]), 7);
    }
}

#[test]
fn the_start_function_has_the_deadline_too() {
    let module = module("(module (func $start (loop $l (br $l))) (start $start))");
    let guest = Guest::of(&module, &with_deadline(Duration::from_millis(5)));
    let error = failure(Code::Interrupt, guest.try_link());
    says(&error, "start function: wasm trap: interrupt");
}

/// `outer` calls the host `n` times, `spin` loops for ever.
const NESTING: &str = r#"(module
  (import "env" "host" (func $host))
  (func (export "quick"))
  (func (export "spin") (loop $l (br $l)))
  (func (export "outer") (loop $l (call $host) (br $l))))"#;

#[test]
fn a_nested_call_does_not_begin_a_new_deadline() {
    let guest = Guest::of(&module(NESTING), &with_deadline(Duration::from_millis(20)));
    let me = guest.pointer();
    let guest = guest
        .host("host", move || {
            // Each of them is quick. Only their sum is not.
            let _ = me.try_call("quick", &[]);
        })
        .link();
    let begin = Instant::now();
    guest.fails(Code::Interrupt, "outer", &[]);
    assert!(begin.elapsed() < SOON);
}

#[test]
fn a_nested_call_is_stopped_by_the_outer_deadline_and_says_so() {
    let guest = Guest::of(&module(NESTING), &with_deadline(Duration::from_millis(5)));
    let me = guest.pointer();
    let guest = guest
        .host("host", move || {
            let error = failure(Code::Interrupt, me.try_call("spin", &[]));
            says(&error, "deadline");
        })
        .link();
    guest.fails(Code::Interrupt, "outer", &[]);
    guest.results("quick", &[]);
}

#[test]
fn two_vms_with_deadlines_of_their_own() {
    let outer = Guest::of(&module(NESTING), &with_deadline(SOON));
    let inner = Guest::of(&module(NESTING), &with_deadline(Duration::from_millis(5)))
        .host("host", || ())
        .link();
    let terminator = outer.terminator();
    let outer = outer
        .host("host", move || {
            inner.fails(Code::Interrupt, "spin", &[]);
            inner.results("quick", &[]);
            terminator.terminate();
        })
        .link();
    let error = outer.fails(Code::Interrupt, "outer", &[]);
    says(&error, "terminated");
}

#[test]
fn a_vm_can_be_terminated_before_it_is_linked() {
    let plain = Guest::of(
        &module(r#"(module (func (export "f")))"#),
        &Options::default(),
    );
    plain.terminator().terminate();
    // Nothing runs at link, so nothing fails there.
    let plain = plain.link();
    plain.fails(Code::Interrupt, "f", &[]);

    let starting = module("(module (func $start) (start $start))");
    let starting = Guest::of(&starting, &Options::default());
    starting.terminator().terminate();
    failure(Code::Interrupt, starting.try_link());
}

#[test]
fn an_idle_vm_stays_terminated() {
    let guest = Guest::new(r#"(module (func (export "f")))"#);
    guest.results("f", &[]);
    guest.terminator().terminate();
    let error = guest.fails(Code::Interrupt, "f", &[]);
    says(&error, "the VM was terminated");
}

#[test]
fn termination_beats_the_deadline() {
    let guest = Guest::of(
        &endless("(loop $l (br $l))"),
        &with_deadline(Duration::from_millis(50)),
    );
    let terminator = guest.terminator();
    let guest = guest.host("running", move || terminator.terminate()).link();
    let error = guest.fails(Code::Interrupt, "run", &[]);
    says(&error, "terminated");
    guest.fails(Code::Interrupt, "quick", &[]);
}

#[test]
fn a_host_function_may_terminate_its_own_vm() {
    let guest = Guest::of(&endless("(loop $l (br $l))"), &Options::default());
    let terminator = guest.terminator();
    let guest = guest.host("running", move || terminator.terminate()).link();
    guest.fails(Code::Interrupt, "run", &[]);
}

#[test]
fn other_vms_of_the_module_are_not_affected() {
    let module = endless("nop");
    let one = Guest::of(&module, &Options::default())
        .host("running", || ())
        .link();
    let two = Guest::of(&module, &Options::default())
        .host("running", || ())
        .link();
    one.terminator().terminate();
    one.fails(Code::Interrupt, "run", &[]);
    two.results("run", &[]);
    assert_eq!(two.i32("quick", &[]), 3);
}

#[test]
fn a_terminator_outlives_its_vm() {
    let terminator = Guest::new("(module)").terminator();
    terminator.terminate();
    terminator.clone().terminate();
}

#[test]
fn terminating_at_any_moment_of_a_vms_life_is_safe() {
    let module = module(r#"(module (func (export "f") (loop $l (br_if $l (i32.const 0)))))"#);
    for round in 0..200_u32 {
        let guest = Guest::of(&module, &with_deadline(Duration::from_secs(1)));
        let terminator = guest.terminator();
        thread::scope(|scope| {
            scope.spawn(move || {
                for _ in 0..round * 10 {
                    std::hint::spin_loop();
                }
                terminator.terminate();
            });
            let guest = guest.link();
            for _ in 0..100 {
                if let Err(error) = guest.try_call("f", &[]) {
                    assert_eq!(error.code(), Code::Interrupt);
                    break;
                }
            }
        });
    }
}

#[test]
fn a_real_trap_under_a_deadline_is_a_trap() {
    let module = module(r#"(module (func (export "f") (unreachable)))"#);
    let guest = Guest::of(&module, &with_deadline(SOON)).link();
    guest.fails(Code::Trap, "f", &[]);
}

#[test]
fn deadlines_on_eight_threads_at_once() {
    let module = endless("(loop $l (br $l))");
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let guest = Guest::of(&module, &with_deadline(Duration::from_millis(10)));
                host::define(guest.vm(), "env", "running", || ());
                let guest = guest.link();
                for _ in 0..5 {
                    guest.fails(Code::Interrupt, "run", &[]);
                    assert_eq!(guest.i32("quick", &[]), 3);
                }
            });
        }
    });
}

/// To walk a deep stack takes longer than to make it: a deadline may pass meanwhile.
#[test]
fn a_guests_own_unreachable_is_no_deadline_that_passed_afterwards() {
    let text = r#"(module
      (func $down (export "down") (param i32) (result i32)
        (if (result i32) (local.get 0)
          (then (i32.add (i32.const 1) (call $down (i32.sub (local.get 0) (i32.const 1)))))
          (else (unreachable)))))"#;
    const DEPTH: u32 = 400_000;
    let module = module(text);
    let with = |call_deadline| {
        let options = Options {
            guest_stack_bytes: 64 << 20,
            call_deadline,
            ..Options::default()
        };
        Guest::of(&module, &options).link()
    };
    let begin = Instant::now();
    with(None).fails(Code::Trap, "down", &vals![DEPTH]);
    // The most of that is for the walk, so that a half of it is a deadline which most calls
    // reach with their stack made. Some may not.
    let deadline = begin.elapsed() / 2;
    let guest = with(Some(deadline));
    let own = (0..50).any(|_| {
        let begin = Instant::now();
        let error = guest.try_call("down", &vals![DEPTH]).expect_err("traps");
        error.code() == Code::Trap && begin.elapsed() > deadline + Duration::from_millis(3)
    });
    assert!(own, "always the deadline of {deadline:?}");
}
