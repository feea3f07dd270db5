//! Another engine in the process, with signal handlers of its own.

use std::arch::global_asm;
use std::os::unix::process::ExitStatusExt as _;
use std::ptr;
use std::sync::Mutex;

use libc::{c_int, c_void, siginfo_t};
use rust_wasm::{Code, Module, Options};

use crate::child::{alone, in_child};
use crate::signals::{action, crash, exit_with_42, install};
use crate::support::{Guest, module};

// Code as such an engine compiles it: a memory access that may fault, and the place
// where its handler then goes on. 1 if that happened.
#[cfg(target_arch = "x86_64")]
global_asm!(
    ".globl neighbour_access, neighbour_fault, neighbour_landing",
    "neighbour_access:",
    "xor eax, eax",
    "neighbour_fault:",
    "mov rcx, [8]",
    "ret",
    "neighbour_landing:",
    "mov eax, 1",
    "ret",
);

#[cfg(target_arch = "aarch64")]
global_asm!(
    ".globl neighbour_access, neighbour_fault, neighbour_landing",
    "neighbour_access:",
    "mov x0, #0",
    "mov x1, #8",
    "neighbour_fault:",
    "ldr x1, [x1]",
    "ret",
    "neighbour_landing:",
    "mov x0, #1",
    "ret",
);

unsafe extern "C" {
    fn neighbour_access() -> usize;
    fn neighbour_fault();
    fn neighbour_landing();
}

/// What the neighbour found when it installed its handler.
static FOUND: Mutex<Option<libc::sigaction>> = Mutex::new(None);

fn start(handler: crate::signals::Handler) {
    let found = action(libc::SIGSEGV);
    if found.sa_sigaction != handler as *const () as usize {
        *FOUND.lock().expect("one thread") = Some(found);
    }
    install(libc::SIGSEGV, handler);
}

fn found() -> libc::sigaction {
    FOUND.lock().expect("one thread").expect("started")
}

/// Whether the fault was the neighbour's.
fn lands(context: *mut c_void) -> bool {
    // SAFETY: the kernel's.
    let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext };
    #[cfg(target_arch = "x86_64")]
    let pc = &mut registers.gregs[libc::REG_RIP as usize];
    #[cfg(target_arch = "aarch64")]
    let pc = &mut registers.pc;
    let ours = i128::from(*pc) == neighbour_fault as *const () as i128;
    if ours {
        *pc = neighbour_landing as *const () as _;
    }
    ours
}

/// As V8's: at the first fault that is not its own, it leaves for good.
extern "C" fn leaving(_: c_int, _: *mut siginfo_t, context: *mut c_void) {
    if !lands(context) {
        // SAFETY: as it was found.
        unsafe { libc::sigaction(libc::SIGSEGV, &found(), ptr::null_mut()) };
    }
}

/// Calls the handler that it found.
extern "C" fn calling(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    if !lands(context) {
        let next = found();
        assert_ne!(next.sa_flags & libc::SA_SIGINFO, 0);
        // SAFETY: a handler with three parameters, as the flag says.
        unsafe {
            std::mem::transmute::<usize, crate::signals::Handler>(next.sa_sigaction)(
                signal, info, context,
            );
        }
    }
}

fn access() -> usize {
    // SAFETY: the neighbour has a handler, or the process ends.
    unsafe { neighbour_access() }
}

fn trapping() -> Module {
    module(
        r#"(module
          (import "env" "host" (func $host))
          (memory 1)
          (func $deep (export "overflow") (call $deep) (call $deep))
          (func (export "load") (drop (i32.load (i32.const 65536))))
          (func (export "unreachable") (unreachable))
          (func (export "host") (call $host)))"#,
    )
}

fn guest(module: &Module) -> Guest {
    Guest::of(module, &Options::default())
        .host("host", || assert_eq!(access(), 1))
        .link()
}

fn trap(guest: &Guest) {
    for function in ["overflow", "load", "unreachable"] {
        guest.fails(Code::Trap, function, &[]);
    }
}

#[test]
fn that_starts_after_a_vm() {
    alone("neighbours::that_starts_after_a_vm", &[], || {
        let module = trapping();
        let first = guest(&module);
        trap(&first);
        start(leaving);
        assert_eq!(access(), 1);
        let second = guest(&module);
        for _ in 0..3 {
            trap(&first);
            assert_eq!(access(), 1);
            trap(&second);
            second.results("host", &[]);
        }
    });
}

#[test]
fn that_starts_before_all_vms() {
    alone("neighbours::that_starts_before_all_vms", &[], || {
        start(leaving);
        let guest = guest(&trapping());
        for _ in 0..3 {
            assert_eq!(access(), 1);
            trap(&guest);
            guest.results("host", &[]);
        }
    });
}

#[test]
fn that_passes_faults_on() {
    alone("neighbours::that_passes_faults_on", &[], || {
        let module = trapping();
        let first = guest(&module);
        start(calling);
        trap(&first);
        assert_eq!(access(), 1);
        let second = guest(&module);
        trap(&second);
        second.results("host", &[]);
    });
}

/// A crash of the host, with neighbours before and after the first VM.
fn crash_among(handlers: &[crate::signals::Handler]) {
    let module = trapping();
    let guests: Vec<Guest> = handlers
        .iter()
        .map(|handler| {
            let guest = guest(&module);
            start(*handler);
            guest
        })
        .collect();
    let last = guest(&module);
    trap(&last);
    assert_eq!(access(), 1);
    guests.iter().for_each(trap);
    crash();
}

#[test]
fn a_crash_reaches_the_proxys_handler() {
    in_child(
        "neighbours::a_crash_reaches_the_proxys_handler",
        &[],
        || {
            install(libc::SIGSEGV, exit_with_42);
            crash_among(&[leaving]);
        },
        |output| assert_eq!(output.status.code(), Some(42), "{output:?}"),
    );
}

#[test]
fn a_crash_is_passed_on_to_the_proxys_handler() {
    in_child(
        "neighbours::a_crash_is_passed_on_to_the_proxys_handler",
        &[],
        || {
            install(libc::SIGSEGV, exit_with_42);
            crash_among(&[calling]);
        },
        |output| assert_eq!(output.status.code(), Some(42), "{output:?}"),
    );
}

#[test]
fn a_crash_without_another_handler_kills_the_process() {
    in_child(
        "neighbours::a_crash_without_another_handler_kills_the_process",
        &[],
        || {
            // SAFETY: takes away the handler that Rust installs.
            unsafe { libc::signal(libc::SIGSEGV, libc::SIG_DFL) };
            crash_among(&[leaving]);
        },
        |output| assert_eq!(output.status.signal(), Some(libc::SIGSEGV), "{output:?}"),
    );
}

#[test]
fn that_starts_again_and_again() {
    in_child(
        "neighbours::that_starts_again_and_again",
        &[],
        || {
            install(libc::SIGSEGV, exit_with_42);
            let module = trapping();
            for _ in 0..20 {
                start(leaving);
                trap(&guest(&module));
            }
            crash();
        },
        |output| assert_eq!(output.status.code(), Some(42), "{output:?}"),
    );
}

/// Neighbours that call the handler that they found, and tell in which order they were asked.
mod telling {
    use super::{Mutex, action, c_int, c_void, install, siginfo_t};

    type Arguments = (c_int, *mut siginfo_t, *mut c_void);

    static FOUND: Mutex<Option<libc::sigaction>> = Mutex::new(None);
    pub(super) static ASKED: Mutex<Vec<&str>> = Mutex::new(Vec::new());

    pub(super) fn start(handler: crate::signals::Handler) {
        *FOUND.lock().expect("one thread") = Some(action(libc::SIGSEGV));
        install(libc::SIGSEGV, handler);
    }

    fn ask_next(name: &'static str, (signal, info, context): Arguments) {
        ASKED.lock().expect("one thread").push(name);
        let next = FOUND.lock().expect("one thread").expect("started");
        // SAFETY: a handler with three parameters: the runtime's.
        unsafe {
            std::mem::transmute::<usize, crate::signals::Handler>(next.sa_sigaction)(
                signal, info, context,
            );
        }
    }

    pub(super) extern "C" fn older(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
        ask_next("older", (signal, info, context));
    }

    pub(super) extern "C" fn newer(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
        ask_next("newer", (signal, info, context));
    }
}

/// The proxy's, for which the access is its own.
extern "C" fn landing(_: c_int, _: *mut siginfo_t, context: *mut c_void) {
    assert!(lands(context));
}

/// Not even this access is its own.
extern "C" fn leaving_at_once(_: c_int, _: *mut siginfo_t, _: *mut c_void) {
    // SAFETY: as it was found.
    unsafe { libc::sigaction(libc::SIGSEGV, &found(), ptr::null_mut()) };
}

#[test]
fn the_newest_is_asked_first_after_an_older_one_has_left() {
    alone(
        "neighbours::the_newest_is_asked_first_after_an_older_one_has_left",
        &[],
        || {
            let asked = || std::mem::take(&mut *telling::ASKED.lock().expect("one thread"));
            install(libc::SIGSEGV, landing);
            let module = trapping();
            let _first = guest(&module);
            start(leaving_at_once);
            let _second = guest(&module);
            telling::start(telling::older);
            let _third = guest(&module);
            // The access is tried again when one has left.
            assert_eq!(access(), 1);
            assert_eq!(asked(), ["older", "older"]);
            telling::start(telling::newer);
            let last = guest(&module);
            assert_eq!(access(), 1);
            assert_eq!(asked(), ["newer", "older"]);
            trap(&last);
        },
    );
}
