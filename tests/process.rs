//! What the runtime does to the process it is in: signals, environment, mapped code and
//! memory. Each test runs in a process of its own, this program started again.

#[macro_use]
mod support;

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use rust_wasm::{Code, Module, Options, Vm};

use support::{Guest, Val, binary, failure, module, says};

/// Set in the child to the name of the test that it is to run.
const CHILD: &str = "RUST_WASM_TEST_CHILD";

/// Runs `body` in a child, and `judge` on how it ended.
fn in_child(
    test: &str,
    variables: &[(&str, &str)],
    body: impl FnOnce(),
    judge: impl FnOnce(&Output),
) {
    if std::env::var(CHILD).is_ok_and(|it| it == test) {
        body();
        return;
    }
    let program = std::env::current_exe().expect("this program");
    let output = Command::new(program)
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD, test)
        .envs(variables.iter().copied())
        .output()
        .expect("starts");
    judge(&output);
}

/// As [`in_child`], which must succeed.
fn alone(test: &str, variables: &[(&str, &str)], body: impl FnOnce()) {
    in_child(test, variables, body, |output| {
        assert!(
            output.status.success(),
            "{}\n{}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    });
}

type Handler = extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void);

/// The current action of a signal.
fn action(signal: i32) -> libc::sigaction {
    // SAFETY: only asks; all zeros are a valid action.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        assert_eq!(
            libc::sigaction(signal, std::ptr::null(), &raw mut action),
            0
        );
        action
    }
}

fn install(signal: i32, handler: Handler) {
    // SAFETY: a handler with three parameters, as SA_SIGINFO says.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        assert_eq!(
            libc::sigaction(signal, &raw const action, std::ptr::null_mut()),
            0
        );
    }
}

extern "C" fn exit_with_42(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: allowed in a signal handler.
    unsafe { libc::_exit(42) }
}

/// Reads from where nothing is mapped.
fn crash() {
    // SAFETY: it is not; that is the point. The process ends here.
    unsafe {
        std::arch::asm!("mov {0}, [{0}]", inout(reg) 8_usize => _);
    }
}

const CALLING: &str = r#"(module
  (import "env" "host" (func $host))
  (memory 1)
  (func (export "host") (call $host))
  (func (export "load") (drop (i32.load (i32.const 65536))))
  (func (export "divide") (param i32) (result i32)
    (i32.div_u (i32.const 1) (local.get 0))))"#;

#[test]
fn a_crash_in_a_host_function_reaches_the_previous_handler() {
    in_child(
        "a_crash_in_a_host_function_reaches_the_previous_handler",
        &[],
        || {
            install(libc::SIGSEGV, exit_with_42);
            let guest = Guest::unlinked(CALLING).host("host", crash).link();
            guest.fails(Code::Trap, "load", &[]);
            guest.results("host", &[]);
        },
        |output| assert_eq!(output.status.code(), Some(42), "{}", output.status),
    );
}

#[test]
fn a_crash_in_a_nested_host_function_reaches_the_previous_handler() {
    in_child(
        "a_crash_in_a_nested_host_function_reaches_the_previous_handler",
        &[],
        || {
            install(libc::SIGSEGV, exit_with_42);
            let inner = Guest::unlinked(CALLING).host("host", crash).link();
            let outer = Guest::unlinked(CALLING)
                .host("host", move || {
                    inner.fails(Code::Trap, "load", &[]);
                    inner.results("host", &[]);
                })
                .link();
            outer.results("host", &[]);
        },
        |output| assert_eq!(output.status.code(), Some(42), "{}", output.status),
    );
}

#[test]
fn a_crash_outside_any_guest_reaches_the_previous_handler() {
    in_child(
        "a_crash_outside_any_guest_reaches_the_previous_handler",
        &[],
        || {
            install(libc::SIGSEGV, exit_with_42);
            let guest = Guest::unlinked(CALLING).host("host", || ()).link();
            guest.results("host", &[]);
            guest.fails(Code::Trap, "load", &[]);
            crash();
        },
        |output| assert_eq!(output.status.code(), Some(42), "{}", output.status),
    );
}

#[test]
fn a_crash_without_a_previous_handler_kills_the_process() {
    in_child(
        "a_crash_without_a_previous_handler_kills_the_process",
        &[],
        || {
            // SAFETY: takes away the handler that Rust installs.
            unsafe { libc::signal(libc::SIGSEGV, libc::SIG_DFL) };
            Guest::unlinked(CALLING)
                .host("host", crash)
                .link()
                .results("host", &[]);
        },
        |output| {
            assert_eq!(
                output.status.signal(),
                Some(libc::SIGSEGV),
                "{}",
                output.status
            )
        },
    );
}

#[test]
fn only_the_signals_of_faults_get_handlers() {
    alone("only_the_signals_of_faults_get_handlers", &[], || {
        let before: Vec<usize> = (1..32).map(|it| action(it).sa_sigaction).collect();
        let deadline = Options {
            call_deadline: Some(std::time::Duration::from_millis(2)),
            ..Options::default()
        };
        let guest = Guest::with(
            "(module (func (export \"f\") (loop $l (br $l))))",
            &deadline,
        );
        guest.fails(Code::Interrupt, "f", &[]);
        guest.terminator().terminate();
        guest.fails(Code::Interrupt, "f", &[]);
        for (signal, before) in (1..32).zip(before) {
            let ours = [libc::SIGSEGV, libc::SIGILL, libc::SIGFPE].contains(&signal);
            assert_eq!(
                action(signal).sa_sigaction != before,
                ours,
                "signal {signal}"
            );
        }
        assert_eq!(action(libc::SIGUSR1).sa_sigaction, libc::SIG_DFL);
    });
}

#[test]
fn signals_that_are_not_faults_go_to_the_proxys_handlers() {
    static SEEN: AtomicU32 = AtomicU32::new(0);
    extern "C" fn count(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
        SEEN.fetch_add(1, Ordering::Relaxed);
    }
    alone(
        "signals_that_are_not_faults_go_to_the_proxys_handlers",
        &[],
        || {
            install(libc::SIGUSR1, count);
            let guest = Guest::unlinked(CALLING)
                .host("host", || {
                    // SAFETY: a handler is installed.
                    unsafe { libc::raise(libc::SIGUSR1) };
                })
                .link();
            for _ in 0..100 {
                guest.results("host", &[]);
                guest.fails(Code::Trap, "divide", &vals![0_u32]);
            }
            assert_eq!(guest.i32("divide", &vals![1_u32]), 1);
            assert_eq!(SEEN.load(Ordering::Relaxed), 100);
        },
    );
}

#[test]
fn a_signal_during_guest_code_does_no_harm() {
    extern "C" fn ignore(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {}
    alone("a_signal_during_guest_code_does_no_harm", &[], || {
        install(libc::SIGUSR1, ignore);
        let guest = Guest::new(
            r#"(module (func (export "count") (param i32) (result i32) (local i32)
              (loop $l
                (local.set 1 (i32.add (local.get 1) (i32.const 1)))
                (br_if $l (i32.lt_u (local.get 1) (local.get 0))))
              (local.get 1)))"#,
        );
        // SAFETY: plain call.
        let me = unsafe { libc::pthread_self() };
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    // SAFETY: that thread waits for this one.
                    unsafe { libc::pthread_kill(me, libc::SIGUSR1) };
                    std::thread::yield_now();
                }
            });
            for _ in 0..20 {
                assert_eq!(guest.i32("count", &vals![10_000_000_u32]), 10_000_000);
            }
            done.store(true, Ordering::Relaxed);
        });
    });
}

#[test]
fn options_come_from_the_environment() {
    let variables = [
        ("RUST_WASM_MAX_MEMORY_BYTES", "131072"),
        ("RUST_WASM_CALL_DEADLINE_MS", "1500"),
        ("RUST_WASM_CACHE_DIR", "/nonexistent/cache"),
    ];
    alone("options_come_from_the_environment", &variables, || {
        let options = Options::from_env().expect("they parse");
        assert_eq!(options.max_memory_bytes, 131_072);
        assert_eq!(options.call_deadline.map(|it| it.as_millis()), Some(1500));
        // Read once.
        // SAFETY: no other thread of this process uses the environment.
        unsafe { std::env::set_var("RUST_WASM_MAX_MEMORY_BYTES", "1") };
        assert_eq!(
            Options::from_env().expect("they parse").max_memory_bytes,
            131_072
        );
    });
}

#[test]
fn a_bad_variable_is_told_again_and_again() {
    let variables = [("RUST_WASM_GUEST_STACK_BYTES", "plenty")];
    alone("a_bad_variable_is_told_again_and_again", &variables, || {
        for _ in 0..2 {
            let error = failure(Code::InvalidArgument, Options::from_env().map(drop));
            says(&error, "RUST_WASM_GUEST_STACK_BYTES");
        }
    });
}

/// How many mappings the process has.
fn mappings() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("readable");
    maps.lines().count()
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
    assert!(
        after.0 < before.0 + 30,
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
    alone("a_dropped_modules_code_is_freed", &[], || {
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
    alone("a_dropped_precompiled_modules_code_is_freed", &[], || {
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
    });
}

#[test]
fn vms_threads_and_traps_leave_nothing_behind() {
    alone("vms_threads_and_traps_leave_nothing_behind", &[], || {
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
    });
}

#[test]
fn failed_loads_and_links_leave_nothing_behind() {
    alone("failed_loads_and_links_leave_nothing_behind", &[], || {
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
    });
}

#[test]
fn exceptions_leave_nothing_behind() {
    alone("exceptions_leave_nothing_behind", &[], || {
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
        says(&error, "too many exceptions in one call");
        stays_flat(1, 10, |_| {
            drop(guest.fails(Code::Trap, "run", &[Val::I32(u32::MAX)]))
        });
        guest.results("run", &[Val::I32(100)]);
    });
}
