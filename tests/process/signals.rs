//! Whose fault is whose.

use std::os::unix::process::ExitStatusExt as _;
use std::sync::atomic::{AtomicU32, Ordering};

use rust_wasm::{Code, Options};

use crate::child::{alone, in_child};
use crate::support::Guest;

pub(crate) type Handler = extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void);

/// The current action of a signal.
pub(crate) fn action(signal: i32) -> libc::sigaction {
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

pub(crate) fn install(signal: i32, handler: Handler) {
    install_with(signal, handler, 0);
}

fn install_with(signal: i32, handler: Handler, flags: i32) {
    // SAFETY: a handler with three parameters, as SA_SIGINFO says.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | flags;
        assert_eq!(
            libc::sigaction(signal, &raw const action, std::ptr::null_mut()),
            0
        );
    }
}

pub(crate) extern "C" fn exit_with_42(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: allowed in a signal handler.
    unsafe { libc::_exit(42) }
}

/// Reads from where nothing is mapped.
pub(crate) fn crash() {
    // SAFETY: it is not; that is the point. The process ends here.
    unsafe { std::ptr::without_provenance::<u64>(8).read_volatile() };
}

const COUNTING: &str = r#"(module
  (memory 1)
  (func (export "count") (param i32) (result i32) (local i32)
    (loop $l
      (local.set 1 (i32.add (local.get 1) (i32.const 1)))
      (br_if $l (i32.lt_u (local.get 1) (local.get 0))))
    (local.get 1))
  (func (export "load") (drop (i32.load (i32.const 65536)))))"#;

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
        "signals::a_crash_in_a_host_function_reaches_the_previous_handler",
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
        "signals::a_crash_in_a_nested_host_function_reaches_the_previous_handler",
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
        "signals::a_crash_outside_any_guest_reaches_the_previous_handler",
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
        "signals::a_crash_without_a_previous_handler_kills_the_process",
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

/// A handler for one fault, as Envoy's: the kernel takes it away when it is called.
#[test]
fn a_handler_for_one_fault_is_called_once() {
    extern "C" fn say(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
        let text = "reported ";
        // SAFETY: allowed in a signal handler.
        unsafe { libc::write(1, text.as_ptr().cast(), text.len()) };
    }
    in_child(
        "signals::a_handler_for_one_fault_is_called_once",
        &[],
        || {
            install_with(libc::SIGSEGV, say, libc::SA_RESETHAND);
            let guest = Guest::unlinked(CALLING).host("host", crash).link();
            guest.fails(Code::Trap, "load", &[]);
            guest.results("host", &[]);
        },
        |output| {
            assert_eq!(output.status.signal(), Some(libc::SIGSEGV), "{output:?}");
            let output = String::from_utf8_lossy(&output.stdout);
            assert_eq!(output.matches("reported").count(), 1, "{output}");
        },
    );
}

#[test]
fn a_signal_of_a_fault_that_was_sent_kills_the_process() {
    in_child(
        "signals::a_signal_of_a_fault_that_was_sent_kills_the_process",
        &[],
        || {
            let guest = Guest::unlinked(CALLING).host("host", || ()).link();
            guest.results("host", &[]);
            // SAFETY: plain call.
            unsafe { libc::raise(libc::SIGFPE) };
        },
        |output| assert_eq!(output.status.signal(), Some(libc::SIGFPE), "{output:?}"),
    );
}

#[test]
fn only_the_signals_of_faults_get_handlers() {
    alone(
        "signals::only_the_signals_of_faults_get_handlers",
        &[],
        || {
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
                // AArch64 has no signal for divisions.
                let divisions = cfg!(target_arch = "x86_64") && signal == libc::SIGFPE;
                let ours = [libc::SIGSEGV, libc::SIGILL].contains(&signal) || divisions;
                assert_eq!(
                    action(signal).sa_sigaction != before,
                    ours,
                    "signal {signal}"
                );
            }
            assert_eq!(action(libc::SIGUSR1).sa_sigaction, libc::SIG_DFL);
        },
    );
}

#[test]
fn signals_that_are_not_faults_go_to_the_proxys_handlers() {
    static SEEN: AtomicU32 = AtomicU32::new(0);
    extern "C" fn count(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
        SEEN.fetch_add(1, Ordering::Relaxed);
    }
    alone(
        "signals::signals_that_are_not_faults_go_to_the_proxys_handlers",
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
    alone(
        "signals::a_signal_during_guest_code_does_no_harm",
        &[],
        || {
            install(libc::SIGUSR1, ignore);
            let guest = Guest::new(COUNTING);
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
        },
    );
}

#[test]
fn a_fault_signal_that_somebody_sends_is_the_proxys() {
    static SEEN: AtomicU32 = AtomicU32::new(0);
    extern "C" fn count(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
        SEEN.fetch_add(1, Ordering::Relaxed);
    }
    alone(
        "signals::a_fault_signal_that_somebody_sends_is_the_proxys",
        &[],
        || {
            install(libc::SIGSEGV, count);
            let guest = Guest::new(COUNTING);
            // SAFETY: plain call.
            let me = unsafe { libc::pthread_self() };
            let done = std::sync::atomic::AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        let seen = SEEN.load(Ordering::Relaxed);
                        // SAFETY: that thread waits for this one.
                        unsafe { libc::pthread_kill(me, libc::SIGSEGV) };
                        // One at a time: handlers of faults interrupt themselves, and would
                        // fill their stack.
                        while SEEN.load(Ordering::Relaxed) == seen {
                            std::thread::yield_now();
                        }
                    }
                });
                let mut calls = 0;
                while calls < 20 || SEEN.load(Ordering::Relaxed) < 20 {
                    assert_eq!(guest.i32("count", &vals![10_000_000_u32]), 10_000_000);
                    calls += 1;
                }
                done.store(true, Ordering::Relaxed);
            });
            // Its own faults are traps as ever.
            guest.fails(Code::Trap, "load", &[]);
        },
    );
}

/// A proxy's handler, which has to find the frame that the kernel made right above its own, and
/// the interrupted frame pointer in its register: then frame pointers lead from it to what crashed.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
extern "C" fn follow_frame_pointers(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    extern "C" fn examine(frame_pointer: usize, sp: usize, context: *const libc::ucontext_t) {
        // SAFETY: the kernel's.
        let interrupted = unsafe { (*context).uc_mcontext.gregs[libc::REG_RBP as usize] };
        let is_right = interrupted.cast_unsigned() == frame_pointer as u64
            && sp + size_of::<usize>() == context.addr();
        // SAFETY: allowed in a signal handler.
        unsafe { libc::_exit(if is_right { 42 } else { 43 }) }
    }
    std::arch::naked_asm!(
        "mov rdi, rbp",
        "mov rsi, rsp",
        "sub rsp, 8",
        "call {examine}",
        "ud2",
        examine = sym examine,
    )
}

#[test]
#[cfg(target_arch = "x86_64")]
fn no_frame_stands_between_a_crash_and_the_proxys_handler() {
    fn is_42(output: &std::process::Output) {
        assert_eq!(output.status.code(), Some(42), "{}", output.status);
    }
    let name = "signals::no_frame_stands_between_a_crash_and_the_proxys_handler";
    // As Envoy installs its own.
    let flags = libc::SA_RESETHAND | libc::SA_NODEFER;
    let start = || {
        install_with(libc::SIGSEGV, follow_frame_pointers, flags);
        let guest = Guest::unlinked(CALLING).host("host", crash).link();
        guest.fails(Code::Trap, "load", &[]);
        guest
    };
    let place = "TEST_CRASH_PLACE";
    for at in ["outside", "host"] {
        in_child(
            name,
            &[(place, at)],
            || {
                let guest = start();
                match std::env::var(place).as_deref() {
                    Ok("host") => drop(guest.results("host", &[])),
                    _ => crash(),
                }
            },
            is_42,
        );
    }
}
