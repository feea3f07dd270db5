//! What is dropped leaves nothing behind in the process.

use rust_wasm::{Code, Module, Options, Vm};

use crate::child::alone;
use crate::support::{Guest, Val, binary, failure, module, says};

/// How many mappings the process has.
fn mappings() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("readable");
    maps.lines().count()
}

/// Runs `action` while the process can map a few MiB more and no large piece.
fn without_memory(action: impl FnOnce()) {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("readable");
    let pages = statm.split(' ').next().and_then(|it| it.parse().ok());
    let mapped: u64 = pages.map(|it: u64| it * 4096).expect("a number");
    // SAFETY: plain calls; the limit is put back.
    unsafe {
        let mut limit = std::mem::zeroed();
        assert_eq!(libc::getrlimit(libc::RLIMIT_AS, &raw mut limit), 0);
        let none = libc::rlimit {
            rlim_cur: mapped + (4 << 20),
            ..limit
        };
        assert_eq!(libc::setrlimit(libc::RLIMIT_AS, &raw const none), 0);
        action();
        assert_eq!(libc::setrlimit(libc::RLIMIT_AS, &raw const limit), 0);
    }
}

#[test]
fn a_stack_that_cannot_be_mapped_is_an_error_that_leaves_the_vm_as_it_was() {
    alone(
        "leaks::a_stack_that_cannot_be_mapped_is_an_error_that_leaves_the_vm_as_it_was",
        &[],
        || {
            let large = Options {
                guest_stack_bytes: 16 << 20,
                ..Options::default()
            };
            let text = r#"(module (func (export "f") (result i32) (i32.const 1)))"#;
            let inner = Guest::with(text, &large);
            let refused = |guest: &Guest| {
                without_memory(|| {
                    let error = failure(Code::Resource, guest.try_call("f", &[]));
                    says(&error, "no stack for guests");
                });
            };
            refused(&inner);
            let nested = std::rc::Rc::new(inner);
            let callee = nested.clone();
            let outer = Guest::unlinked(
                r#"(module (import "env" "host" (func $host))
                  (func (export "f") (result i32) (call $host) (i32.const 2)))"#,
            )
            .host("host", move || refused(&callee))
            .link();
            assert_eq!(outer.i32("f", &[]), 2);
            assert_eq!(nested.i32("f", &[]), 1, "it has not failed");
        },
    );
}

/// The stacks of a guest that nests deeply are not kept for good.
#[test]
fn deep_nesting_keeps_few_stacks() {
    alone("leaks::deep_nesting_keeps_few_stacks", &[], || {
        let text = r#"(module
          (import "env" "host" (func $host (param i32) (result i32)))
          (func (export "nest") (param i32) (result i32)
            (i32.add (i32.const 1) (call $host (local.get 0)))))"#;
        let compiled = module(text);
        let [even, odd] = [0, 1].map(|_| Guest::of(&compiled, &Options::default()));
        // Each calls the other, which takes a stack of its own.
        let (to_even, to_odd) = (even.pointer(), odd.pointer());
        let call = |other: crate::support::GuestPointer| {
            move |left: u32| match left {
                0 => 0,
                _ => other.i32("nest", &vals![left - 1]).expect("no trap"),
            }
        };
        let even = even.host("host", call(to_odd)).link();
        let _odd = odd.host("host", call(to_even)).link();
        assert_eq!(even.i32("nest", &vals![1_u32]), 2);
        let before = mappings();
        for _ in 0..2 {
            assert_eq!(even.i32("nest", &vals![60_u32]), 61);
        }
        let after = mappings();
        // Each level has two stacks with a guard page each.
        assert!(after < before + 25, "mappings: {before} to {after}");
        assert_eq!(even.i32("nest", &vals![3_u32]), 4);
    });
}

/// Memory in use, in KiB.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("readable");
    let line = status
        .lines()
        .find(|it| it.starts_with("VmRSS:"))
        .expect("a figure");
    line.split_whitespace()
        .nth(1)
        .and_then(|it| it.parse().ok())
        .expect("a number")
}

/// Repeats `action` and checks that neither mappings nor memory keep growing.
fn stays_flat(warm_up: u32, rounds: u32, action: impl Fn(u32)) {
    (0..warm_up).for_each(&action);
    let before = (mappings(), resident());
    (0..rounds).for_each(&action);
    let after = (mappings(), resident());
    // A leak would be one for each round; the C library's own, per thread, come and go.
    assert!(
        after.0 < before.0 + 30.max(rounds as usize / 4),
        "mappings: {} to {}",
        before.0,
        after.0
    );
    assert!(
        after.1 < before.1 + (16 << 10),
        "KiB: {} to {}",
        before.1,
        after.1
    );
}

#[test]
fn a_dropped_modules_code_is_freed() {
    alone("leaks::a_dropped_modules_code_is_freed", &[], || {
        stays_flat(50, 300, |round| {
            let text = format!(
                r#"(module (memory 1) (func (export "f") (result i32) (i32.const {round}))
                  (func (export "trap") (unreachable)))"#
            );
            let guest = Guest::new(&text);
            assert_eq!(guest.i32("f", &[]), round);
            guest.fails(Code::Trap, "trap", &[]);
        });
    });
}

#[test]
fn a_dropped_precompiled_modules_code_is_freed() {
    alone(
        "leaks::a_dropped_precompiled_modules_code_is_freed",
        &[],
        || {
            let bytecode = binary(r#"(module (func (export "f") (result i32) (i32.const 5)))"#);
            let code = Module::compile(&bytecode)
                .and_then(|it| it.serialize())
                .expect("compiles");
            stays_flat(50, 1000, |_| {
                let source = rust_wasm::Source {
                    precompiled: &code,
                    ..Default::default()
                };
                let module = Module::load(source, &Options::default()).expect("loads");
                assert_eq!(
                    Guest::of(&module, &Options::default()).link().i32("f", &[]),
                    5
                );
            });
        },
    );
}

#[test]
fn vms_threads_and_traps_leave_nothing_behind() {
    alone(
        "leaks::vms_threads_and_traps_leave_nothing_behind",
        &[],
        || {
            let module = module(
                r#"(module (memory 1) (table 100 funcref)
              (func $deep (export "overflow") (call $deep) (call $deep))
              (func (export "trap") (unreachable)))"#,
            );
            stays_flat(50, 500, |_| {
                let guest = Guest::of(&module, &Options::default()).link();
                std::thread::spawn(move || {
                    guest.fails(Code::Trap, "trap", &[]);
                    guest.fails(Code::Trap, "overflow", &[]);
                })
                .join()
                .expect("no panic");
            });
            stays_flat(10, 500, |_| {
                let vm = Vm::new(&module, &Options::default()).expect("a VM");
                vm.link("never called").expect("links");
            });
        },
    );
}

#[test]
fn failed_loads_and_links_leave_nothing_behind() {
    alone(
        "leaks::failed_loads_and_links_leave_nothing_behind",
        &[],
        || {
            let trapping = module("(module (memory 1) (func $s (unreachable)) (start $s))");
            let unlinkable = module(r#"(module (import "env" "f" (func)) (memory 1))"#);
            stays_flat(50, 500, |_| {
                failure(
                    Code::InvalidModule,
                    Module::compile(b"\0asm\x01\0\0\0\x0a").map(drop),
                );
                failure(
                    Code::Trap,
                    Guest::of(&trapping, &Options::default()).try_link(),
                );
                failure(
                    Code::Link,
                    Guest::of(&unlinkable, &Options::default()).try_link(),
                );
            });
        },
    );
}

#[test]
fn exceptions_leave_nothing_behind() {
    alone("leaks::exceptions_leave_nothing_behind", &[], || {
        let guest = Guest::new(
            r#"(module
              (tag $t (param i64 i64 i64 i64))
              (func $throw
                (throw $t (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4)))
              (func (export "run") (param i32)
                (loop $l
                  (block $h (try_table (catch_all $h) (call $throw)))
                  (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
                  (br_if $l (local.get 0)))))"#,
        );
        // Many calls with a few exceptions each; one call has a limit.
        stays_flat(500, 2000, |_| drop(guest.results("run", &[Val::I32(100)])));
        let error = guest.fails(Code::Trap, "run", &[Val::I32(u32::MAX)]);
        says(
            &error,
            "too many exceptions: more than 104857600 bytes in one call",
        );
        stays_flat(1, 10, |_| {
            drop(guest.fails(Code::Trap, "run", &[Val::I32(u32::MAX)]))
        });
        guest.results("run", &[Val::I32(100)]);
    });
}
