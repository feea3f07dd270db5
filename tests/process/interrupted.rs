//! Handlers that run on the interrupted stack, without `SA_ONSTACK`, while that is a guest's.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use rust_wasm::{Code, Options};

use crate::child::in_child;
use crate::signals::{Handler, crash, exit_with_42, install};
use crate::support::{Guest, least, says};

/// `spin` recurses, tells that it is there in its first word, and waits for the second.
const SPINNING: &str = r#"(module (memory (export "memory") 1)
  (func $spin (export "spin") (param $depth i32) (result i32)
    (if (result i32) (i32.eqz (local.get $depth))
      (then
        (i32.store (i32.const 0) (i32.const 1))
        (loop $l (br_if $l (i32.eqz (i32.load (i32.const 4)))))
        (i32.const 0))
      (else (i32.add (i32.const 1)
        (call $spin (i32.sub (local.get $depth) (i32.const 1))))))))"#;

const GUEST_STACK_BYTES: u32 = 64 << 10;
/// What the guest's code has besides.
const RESERVE_BYTES: u32 = 64 << 10;

/// The guest's two words.
static WORDS: AtomicPtr<u32> = AtomicPtr::new(std::ptr::null_mut());

fn word(index: usize) -> &'static AtomicBool {
    // SAFETY: set before use, to the memory of a guest that outlives all uses.
    unsafe { AtomicBool::from_ptr(WORDS.load(Ordering::Relaxed).add(index).cast()) }
}

fn spinning() -> Guest {
    let options = Options {
        guest_stack_bytes: GUEST_STACK_BYTES as usize,
        ..Options::default()
    };
    let guest = Guest::with(SPINNING, &options);
    // SAFETY: the place is stable while the VM lives.
    let base = unsafe { (*guest.vm().memory()).base };
    WORDS.store(base.cast(), Ordering::Relaxed);
    guest
}

/// Installs a handler of SIGUSR1 that runs on the interrupted stack.
fn install_on_interrupted_stack(handler: Handler) {
    // SAFETY: a handler with three parameters, as SA_SIGINFO says.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        let installed = libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut());
        assert_eq!(installed, 0);
    }
}

/// Lets the guest spin at this depth, and sends it SIGUSR1 once it is there.
fn interrupt(guest: &Guest, depth: u32) -> rust_wasm::Result<Vec<crate::support::Val>> {
    word(0).store(false, Ordering::Relaxed);
    word(1).store(false, Ordering::Relaxed);
    // SAFETY: plain call.
    let me = unsafe { libc::pthread_self() };
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while !word(0).load(Ordering::Acquire) {
                std::thread::yield_now();
            }
            // SAFETY: that thread waits for this one.
            unsafe { libc::pthread_kill(me, libc::SIGUSR1) };
        });
        guest.try_call("spin", &crate::vals![depth])
    })
}

#[test]
fn a_crash_of_such_a_handler_is_no_trap() {
    extern "C" fn crashing(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
        crash();
    }
    in_child(
        "interrupted::a_crash_of_such_a_handler_is_no_trap",
        &[],
        || {
            install(libc::SIGSEGV, exit_with_42);
            let guest = spinning();
            install_on_interrupted_stack(crashing);
            let outcome = interrupt(&guest, 10);
            panic!("the handler was abandoned: {outcome:?}");
        },
        |output| assert_eq!(output.status.code(), Some(42), "{output:?}"),
    );
}

/// Taken and given back by the handler.
static LOCKED: AtomicBool = AtomicBool::new(false);
static WAS_CALLED: AtomicBool = AtomicBool::new(false);

/// Needs 24 KiB of stack, with a lock held.
extern "C" fn locking(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    #[inline(never)]
    fn use_stack() {
        black_box(&mut [0_u8; 24 << 10]);
    }
    WAS_CALLED.store(true, Ordering::Relaxed);
    LOCKED.store(true, Ordering::Relaxed);
    use_stack();
    LOCKED.store(false, Ordering::Relaxed);
    word(1).store(true, Ordering::Relaxed);
}

fn is_blocked(signal: i32) -> bool {
    // SAFETY: only asks; all zeros are a valid set.
    unsafe {
        let mut mask: libc::sigset_t = std::mem::zeroed();
        libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &raw mut mask);
        libc::sigismember(&raw const mask, signal) == 1
    }
}

/// A handler has what the guest has left. Whatever that is, it ends, or its fault is reported
/// as its own, or it is not called at all, and the guest has exhausted its stack: it is never
/// abandoned.
#[test]
fn such_a_handler_near_the_end_of_the_guest_stack_is_not_abandoned() {
    const LEFT: &str = "TEST_BYTES_LEFT";
    for (left, ending) in [(48 << 10, 1), (18 << 10, 42), (0, 2)] {
        in_child(
            "interrupted::such_a_handler_near_the_end_of_the_guest_stack_is_not_abandoned",
            &[(LEFT, &left.to_string())],
            || {
                install(libc::SIGSEGV, exit_with_42);
                let guest = spinning();
                word(1).store(true, Ordering::Relaxed);
                let limit = least(100_000, |depth| {
                    guest.try_call("spin", &crate::vals![depth]).is_err()
                });
                let frame_bytes = (GUEST_STACK_BYTES + RESERVE_BYTES) / limit;
                let left: u32 = std::env::var(LEFT).expect("set").parse().expect("a number");
                let depth = limit - 1 - left / frame_bytes;
                install_on_interrupted_stack(locking);
                let outcome = interrupt(&guest, depth);
                assert!(
                    !LOCKED.load(Ordering::Relaxed),
                    "the lock is lost: {outcome:?}"
                );
                assert!(!is_blocked(libc::SIGUSR1), "{outcome:?}");
                let was_called = WAS_CALLED.load(Ordering::Relaxed);
                let ending = match outcome {
                    Ok(_) => {
                        assert!(was_called);
                        1
                    }
                    Err(error) => {
                        assert_eq!(error.code(), Code::Trap);
                        says(&error, "call stack exhausted");
                        assert!(!was_called);
                        2
                    }
                };
                assert_eq!(
                    interrupt(&guest, 1).expect("there is room"),
                    crate::vals![1_u32]
                );
                std::process::exit(ending);
            },
            |output| assert_eq!(output.status.code(), Some(ending), "{left}: {output:?}"),
        );
    }
}

#[test]
fn a_trap_leaves_the_signal_mask_as_it_was() {
    in_child(
        "interrupted::a_trap_leaves_the_signal_mask_as_it_was",
        &[],
        || {
            let guest = Guest::new(
                r#"(module (memory 1)
                  (func $deep (export "overflow") (call $deep) (call $deep))
                  (func (export "load") (drop (i32.load (i32.const 65536))))
                  (func (export "unreachable") (unreachable))
                  (func (export "fill")
                    (memory.fill (i32.const 65536) (i32.const 0) (i32.const 1)))
                  (func (export "divide")
                    (drop (i32.div_u (i32.const 1) (i32.load (i32.const 0))))))"#,
            );
            // SAFETY: plain calls.
            unsafe {
                let mut usr2: libc::sigset_t = std::mem::zeroed();
                libc::sigaddset(&raw mut usr2, libc::SIGUSR2);
                libc::pthread_sigmask(libc::SIG_BLOCK, &raw const usr2, std::ptr::null_mut());
            }
            let mask = || (1..65).map(is_blocked).collect::<Vec<bool>>();
            let before = mask();
            assert!(before.iter().any(|it| *it));
            for trap in ["overflow", "load", "unreachable", "fill", "divide"] {
                guest.fails(Code::Trap, trap, &[]);
                assert_eq!(mask(), before, "{trap}");
            }
            std::process::exit(3);
        },
        |output| assert_eq!(output.status.code(), Some(3), "{output:?}"),
    );
}
