//! Signal handlers: guest faults are traps, and all other faults go to whom they went
//! before.
//!
//! wasmer's handler takes a fault if the thread is on a guest stack, and passes others
//! on to the handler that it found when it was installed. That is not enough beside V8
//! in one process. V8 installs its handler when its first VM starts, perhaps in front
//! of wasmer's; at the first fault that is not V8's own, that handler puts back what it
//! found and is gone for good. V8's next fault, such as any guest's memory access out of
//! bounds, then kills the process.
//!
//! So whenever a VM starts, our handler is put in front again, and what stood there joins
//! a chain, which [`pass_on`] goes through from the newest to the oldest.
//!
//! Ours asks wasmer's only about faults of a module's code, or of the stubs that it calls: a
//! handler that runs on the interrupted stack may be on a guest's too, and must not be
//! abandoned with what it has locked. Where there is no neighbour, all
//! others go to the proxy's handler as if the kernel had called it: proxies follow frame
//! pointers to print the stack, and would stop at a frame of ours.
//!
//! What cannot be mended from here: V8 starts after our last VM did, and then one of
//! our guests overflows its stack or leaves its memory. The trap is reported as ever,
//! but V8 has lost its handler.

use std::arch::naked_asm;
use std::cell::Cell;
use std::mem::{transmute, zeroed};
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use libc::{c_int, c_void, siginfo_t};

use crate::run::code;
use crate::run::guest_stack;

/// Makes guest faults traps. To be called before any guest code runs, and again
/// whenever another handler may have been installed.
pub(crate) fn install() {
    static INSTALLING: Mutex<()> = Mutex::new(());
    if chains().iter().all(Chain::is_in_front) {
        return;
    }
    let _guard = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    let is_first = chains()
        .iter()
        .all(|it| it.wasmer.load(Ordering::Relaxed) == 0);
    if is_first {
        for chain in chains() {
            let found = Handler::of(&action_of(chain.signal));
            chain.handlers[0].store(found.0, Ordering::Relaxed);
            set_handler(chain.signal, pass_on as *const () as usize, 0);
        }
        wasmer_vm::init_traps();
    }
    for chain in chains() {
        let action = action_of(chain.signal);
        if is_first {
            chain.wasmer.store(action.sa_sigaction, Ordering::Relaxed);
        }
        if is_first || !chain.is_in_front() && chain.add(Handler::of(&action)) {
            chain.generation.fetch_add(1, Ordering::Relaxed);
            chain.put_in_front();
        }
    }
}

/// What the kernel gives as the code of a fault of its own.
const SI_KERNEL: c_int = 0x80;

/// How many handlers a chain may have. Beside a full one, newer ones stay in front.
const MAX_HANDLERS: usize = 8;

/// Who is asked about one signal.
struct Chain {
    signal: c_int,
    /// wasmer's handler; 0 before it is installed.
    wasmer: AtomicUsize,
    /// How often ours was put in front.
    generation: AtomicUsize,
    /// As `Handler`s: first the one found at the beginning, which stays, then
    /// neighbours, the oldest first. 0 where there is none.
    handlers: [AtomicUsize; MAX_HANDLERS],
}

static CHAINS: [Chain; 3] = [
    Chain::new(libc::SIGSEGV),
    Chain::new(libc::SIGILL),
    Chain::new(libc::SIGFPE),
];

/// Those that this architecture has for faults of guests: x86-64 alone has one for
/// divisions.
fn chains() -> &'static [Chain] {
    let count = if cfg!(target_arch = "x86_64") { 3 } else { 2 };
    &CHAINS[..count]
}

impl Chain {
    const fn new(signal: c_int) -> Self {
        Self {
            signal,
            wasmer: AtomicUsize::new(0),
            generation: AtomicUsize::new(0),
            handlers: [const { AtomicUsize::new(0) }; MAX_HANDLERS],
        }
    }

    /// Adds a neighbour, if it is not there yet. False if there is no room.
    fn add(&self, handler: Handler) -> bool {
        let neighbours = &self.handlers[1..];
        let is = |it: &&AtomicUsize, value| it.load(Ordering::Relaxed) == value;
        if handler.is_default() || neighbours.iter().any(|it| is(&it, handler.0)) {
            return true;
        }
        // After all others, so that it is asked first. Where one has left, those after it
        // move down: for a moment a handler may find one of them twice, but never miss it.
        let mut count = 0;
        for (place, it) in neighbours.iter().enumerate() {
            let value = it.load(Ordering::Relaxed);
            if value == 0 {
                continue;
            }
            if place != count {
                neighbours[count].store(value, Ordering::Relaxed);
                it.store(0, Ordering::Relaxed);
            }
            count += 1;
        }
        let room = neighbours.get(count);
        room.inspect(|it| it.store(handler.0, Ordering::Relaxed))
            .is_some()
    }

    fn is_in_front(&self) -> bool {
        self.wasmer.load(Ordering::Relaxed) != 0
            && signal_entry as *const () as usize == action_of(self.signal).sa_sigaction
    }

    fn put_in_front(&self) {
        let generation = self.generation.load(Ordering::Relaxed);
        set_handler(self.signal, signal_entry as *const () as usize, generation);
    }

    fn has_neighbours(&self) -> bool {
        let mut neighbours = self.handlers[1..].iter();
        neighbours.any(|it| it.load(Ordering::Relaxed) != 0)
    }
}

thread_local! {
    /// While a thread is in a handler of a chain: its place there, else what comes after
    /// the last.
    static ASKING: Cell<usize> = const { Cell::new(MAX_HANDLERS) };
}

/// The handler that the kernel calls: goes on to another as if that had been called, with
/// the frame pointer as it was.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
unsafe extern "C" fn signal_entry(_: c_int, _: *mut siginfo_t, _: *mut c_void) {
    naked_asm!(
        "push rbp",
        "mov rbp, rsp",
        "push rdi",
        "push rsi",
        "push rdx",
        "sub rsp, 8",
        "call {choose}",
        "add rsp, 8",
        "pop rdx",
        "pop rsi",
        "pop rdi",
        "pop rbp",
        "jmp rax",
        choose = sym choose_handler,
    )
}

/// As for x86-64.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
unsafe extern "C" fn signal_entry(_: c_int, _: *mut siginfo_t, _: *mut c_void) {
    naked_asm!(
        "stp x29, x30, [sp, #-48]!",
        "mov x29, sp",
        "stp x0, x1, [sp, #16]",
        "str x2, [sp, #32]",
        "bl {choose}",
        "mov x16, x0",
        "ldp x0, x1, [sp, #16]",
        "ldr x2, [sp, #32]",
        "ldp x29, x30, [sp], #48",
        "br x16",
        choose = sym choose_handler,
    )
}

/// Which handler is to have a signal: `signal_entry` goes on to it with the same
/// arguments, on the same frame.
///
/// # Safety
/// To be called from a handler, with its arguments.
unsafe extern "C" fn choose_handler(
    signal: c_int,
    info: *const siginfo_t,
    context: *const c_void,
) -> usize {
    let pass_on = pass_on as *const () as usize;
    let Some(chain) = chains().iter().find(|it| it.signal == signal) else {
        return pass_on;
    };
    // SAFETY: by contract.
    let (si_code, pc) = unsafe { ((*info).si_code, pc(context)) };
    let wasmer = chain.wasmer.load(Ordering::Relaxed);
    // Codes up to 0 are of signals that somebody sent, to a thread that may be anywhere.
    if wasmer != 0 && si_code > 0 && code::contains(pc) {
        if signal == libc::SIGSEGV && si_code == SI_KERNEL {
            // A signal came for a handler that runs on the interrupted stack, and found no
            // room there. It is lost.
            guest_stack::set_overflow();
        }
        return wasmer;
    }
    let proxys = Handler(chain.handlers[0].load(Ordering::Relaxed));
    if chain.has_neighbours() || proxys.is_default() {
        return pass_on;
    }
    proxys.before_call(signal);
    proxys.function()
}

/// The instruction that was interrupted.
///
/// # Safety
/// The context is one that the kernel gave to a handler.
unsafe fn pc(context: *const c_void) -> usize {
    // SAFETY: by contract.
    let machine = unsafe { &(*context.cast::<libc::ucontext_t>()).uc_mcontext };
    #[cfg(target_arch = "x86_64")]
    let pc = machine.gregs[libc::REG_RIP as usize].cast_unsigned();
    #[cfg(target_arch = "aarch64")]
    let pc = machine.pc;
    usize::try_from(pc).unwrap_or(0)
}

/// Offers a fault that is no guest's to the handlers of the chain, the newest first.
///
/// A neighbour may pass it on in two ways. It calls the handler that it found when it was
/// installed, which is wasmer's, and so comes here again: the next older one is asked. Or
/// it puts that handler back and returns, so that the fault happens again: it has left.
unsafe extern "C" fn pass_on(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    let Some(chain) = chains().iter().find(|it| it.signal == signal) else {
        return;
    };
    let asking = ASKING.get();
    let handler_at = |place: usize| Handler(chain.handlers[place].load(Ordering::Relaxed));
    let place = (1..asking).rev().find(|it| handler_at(*it).0 != 0);
    let place = place.unwrap_or(0);
    let handler = handler_at(place);
    ASKING.set(place);
    // SAFETY: the kernel's own arguments, and a handler that was installed for them.
    unsafe { handler.call(signal, info, context) };
    ASKING.set(asking);
    let generation = chain.generation.load(Ordering::Relaxed);
    if place != 0 && !is_of_generation(&action_of(signal), generation) {
        let relaxed = Ordering::Relaxed;
        let _ = chain.handlers[place].compare_exchange(handler.0, 0, relaxed, relaxed);
        chain.put_in_front();
    }
}

/// What counts of a `sigaction`, in one word: the address of its function, and two flags
/// in the lowest bits.
#[derive(Clone, Copy)]
struct Handler(usize);

impl Handler {
    const TAKES_INFO: usize = 1;
    const IS_FOR_ONCE: usize = 2;

    fn of(action: &libc::sigaction) -> Self {
        let has = |flag| usize::from(action.sa_flags & flag != 0);
        Self(
            (action.sa_sigaction << 2)
                | (has(libc::SA_SIGINFO) * Self::TAKES_INFO)
                | (has(libc::SA_RESETHAND) * Self::IS_FOR_ONCE),
        )
    }

    fn function(self) -> usize {
        self.0 >> 2
    }

    /// Whether the process dies of the signal. Not even a fault can be ignored.
    fn is_default(self) -> bool {
        [libc::SIG_DFL, libc::SIG_IGN].contains(&self.function())
    }

    /// Does what the kernel does before it calls this handler.
    fn before_call(self, signal: c_int) {
        if self.is_default() || self.0 & Self::IS_FOR_ONCE != 0 {
            // SAFETY: allowed in a signal handler.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
    }

    /// Does what the kernel would do if this handler were in front.
    ///
    /// # Safety
    /// To be called from a handler, with its arguments.
    unsafe fn call(self, signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
        // SAFETY: by contract; the types are as the flags say.
        unsafe {
            self.before_call(signal);
            if self.is_default() {
                // A fault happens again on return, a signal that was sent does not.
                if (*info).si_code <= 0 {
                    libc::raise(signal);
                }
            } else if self.0 & Self::TAKES_INFO != 0 {
                type Function = unsafe extern "C" fn(c_int, *mut siginfo_t, *mut c_void);
                transmute::<usize, Function>(self.function())(signal, info, context);
            } else {
                transmute::<usize, unsafe extern "C" fn(c_int)>(self.function())(signal);
            }
        }
    }
}

fn action_of(signal: c_int) -> libc::sigaction {
    // SAFETY: all zeros are a valid action; only asks.
    unsafe {
        let mut action = zeroed();
        libc::sigaction(signal, ptr::null(), &raw mut action);
        action
    }
}

/// Installs a handler as wasmer does. The generation tells this action from those that a
/// neighbour may have found earlier and put back. It is kept in the mask of blocked
/// signals, as a real-time signal.
fn set_handler(signal: c_int, function: usize, generation: usize) {
    // SAFETY: the function is a handler for SA_SIGINFO, and safe for any fault.
    unsafe {
        let mut action: libc::sigaction = zeroed();
        action.sa_sigaction = function;
        // On a stack that can still be used when the current one cannot, and not
        // blocked, so that a fault in the handler ends in a report, not in silence.
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
        libc::sigemptyset(&raw mut action.sa_mask);
        libc::sigaddset(&raw mut action.sa_mask, mark(generation));
        libc::sigaction(signal, &raw const action, ptr::null_mut());
    }
}

fn is_of_generation(action: &libc::sigaction, generation: usize) -> bool {
    // SAFETY: only asks.
    unsafe { libc::sigismember(&raw const action.sa_mask, mark(generation)) == 1 }
}

fn mark(generation: usize) -> c_int {
    const MARKS: usize = 24;
    libc::SIGRTMAX() - c_int::try_from(generation % MARKS).unwrap_or(0)
}
