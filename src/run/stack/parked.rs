//! The parked coroutine of a thread: see [`super`].

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use corosensei::stack::{DefaultStack, Stack as _};

use super::{
    Outcome, base_stack, before_the_guest, config, declare_stack, flatten, no_stack, resource,
};
use crate::error::panic_message;
use crate::run::arch::{CallState, Place, boot, leave, switch};

/// What lies on a guest stack between where its coroutine is parked and where calls
/// begin. When a coroutine takes over a stack with calls on it, it and any signal
/// handler that uses the current stack must stay above them.
pub(super) const MARGIN: usize = 64 << 10;

/// The thread's parked coroutine.
pub(crate) struct Parked {
    pub(super) guest_stack_bytes: usize,
    base: DefaultStack,
    /// Where the coroutine waits on the guest stack; 0 when none is parked.
    pub(super) parked_sp: usize,
    pub(super) place: Place,
    /// Whose call it is, and whose `host_sp` to return to.
    pub(super) state: *mut CallState,
    /// Further calls of that VM on the guest stack.
    pub(super) reentered: u32,
    /// Calls on coroutines of their own, made after those.
    pub(super) nested: u32,
    /// How the coroutine ended.
    pub(super) outcome: Outcome,
}

thread_local! {
    /// The fast path's view of `OWNER`: null or the thread's parked coroutine. No
    /// destructor, so that reading it is one load.
    pub(super) static PARKED: Cell<*mut Parked> = const { Cell::new(ptr::null_mut()) };
    pub(super) static OWNER: RefCell<ThreadStacks> = const { RefCell::new(ThreadStacks { parked: None, spare: Vec::new(), deepest: 0 }) };
}

pub(super) struct ThreadStacks {
    parked: Option<Box<Parked>>,
    /// Base stacks for nested calls.
    pub(super) spare: Vec<DefaultStack>,
    /// How many nested calls there were at once, since there were none.
    pub(super) deepest: u32,
}

impl Drop for ThreadStacks {
    fn drop(&mut self) {
        PARKED.set(ptr::null_mut());
        if let Some(parked) = &mut self.parked {
            // SAFETY: the thread is ending, so no guest code is on it.
            unsafe { parked.close() };
        }
    }
}

/// Makes this thread ready for calls. Idempotent; only calls with another stack size
/// or after a trap need more.
pub(crate) fn warm(guest_stack_bytes: usize) -> Outcome {
    let parked = PARKED.get();
    // SAFETY: see `call`.
    let ready = !parked.is_null()
        && unsafe { (*parked).place.busy || (*parked).guest_stack_bytes == guest_stack_bytes };
    if ready {
        return Ok(());
    }
    park(guest_stack_bytes)
}

/// Parks a coroutine with a guest stack of this size. None may be busy.
pub(super) fn park(guest_stack_bytes: usize) -> Outcome {
    if PARKED.get().is_null() {
        // Makes wasmer register its thread-locals before `OWNER`, so that they are
        // still there when `OWNER` is dropped at the end of the thread.
        catch_unwind(|| {
            // SAFETY: the closure does nothing.
            unsafe { wasmer_vm::catch_traps(None, &config(guest_stack_bytes), || ()) }
        })
        .map_err(|panic| no_stack(panic_message(&*panic)))?
        .map_err(|trap| no_stack(&trap.to_string()))?;
    }
    OWNER
        .try_with(|owner| {
            let owner = &mut *owner.borrow_mut();
            if let Some(parked) = &mut owner.parked
                && parked.guest_stack_bytes != guest_stack_bytes
            {
                PARKED.set(ptr::null_mut());
                // SAFETY: not busy, by contract.
                unsafe { parked.close() };
            }
            let parked = match &mut owner.parked {
                Some(parked) => parked,
                None => owner.parked.insert(Box::new(Parked {
                    guest_stack_bytes,
                    base: base_stack()?,
                    parked_sp: 0,
                    place: Place {
                        guest_sp: 0,
                        busy: false,
                    },
                    state: ptr::null_mut(),
                    reentered: 0,
                    nested: 0,
                    outcome: Ok(()),
                })),
            };
            parked.guest_stack_bytes = guest_stack_bytes;
            // SAFETY: nothing is parked: it is new, closed above, or ended by a trap.
            unsafe { parked.open()? };
            PARKED.set(&raw mut **parked);
            Ok(())
        })
        .map_err(|_| resource("this thread is ending and cannot run guests any more"))?
}

impl Parked {
    /// # Safety
    /// No coroutine is parked.
    unsafe fn open(&mut self) -> Outcome {
        let this: *mut Self = self;
        let mut state = CallState::new();
        // SAFETY: the base stack is unused; `run` comes back to `state.host_sp`,
        // either from `park_here` or with an outcome.
        unsafe {
            (*this).state = &raw mut state;
            boot(
                &raw mut state.host_sp,
                (*this).base.base().get(),
                run_parked,
                this.cast(),
            );
            if (*this).parked_sp == 0 {
                return std::mem::replace(&mut (*this).outcome, Ok(()))
                    .map_err(|fault| before_the_guest(*fault));
            }
            (*this).place.guest_sp = (*this).parked_sp - MARGIN;
        }
        Ok(())
    }

    /// Lets the coroutine return, which gives its stack back to wasmer.
    ///
    /// # Safety
    /// No guest code is on the stack.
    unsafe fn close(&mut self) {
        let this: *mut Self = self;
        let mut state = CallState::new();
        // SAFETY: `parked_sp` is where `park_here` waits; `run` comes back to
        // `state.host_sp`.
        unsafe {
            if (*this).parked_sp != 0 {
                (*this).state = &raw mut state;
                switch(&raw mut state.host_sp, (*this).parked_sp);
                (*this).outcome = Ok(());
            }
        }
    }
}

/// Runs on the base stack. Frames above it hold nothing that needs dropping when
/// `leave` abandons them.
unsafe extern "C" fn run_parked(parked: *mut ()) {
    let parked: *mut Parked = parked.cast();
    // SAFETY: `open` passes a live `Parked`, which stays until `leave` has run.
    unsafe {
        let config = config((*parked).guest_stack_bytes);
        // `park_here` returns when the coroutine is to close.
        let guest_stack_bytes = (*parked).guest_stack_bytes;
        let park_here = move || {
            declare_stack(guest_stack_bytes, MARGIN);
            switch(&raw mut (*parked).parked_sp, (*(*parked).state).host_sp);
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            wasmer_vm::catch_traps(None, &config, park_here)
        }));
        (*parked).parked_sp = 0;
        (*parked).outcome = flatten(outcome);
        leave((*(*parked).state).host_sp);
    }
}

/// Parks a new coroutine on the stack of the one that has just ended, without touching
/// the frames that are still on it.
///
/// # Safety
/// `parked` is the thread's; its coroutine has ended, and nothing has run since.
#[cold]
pub(super) unsafe fn take_over(parked: *mut Parked, parked_sp: usize) {
    // SAFETY: by contract. The stack is the one that wasmer uses next, since it keeps
    // the last one of each thread. The same functions run on it to the same place, and
    // what they call stays within `MARGIN`.
    let opened = unsafe { (*parked).open() };
    // Not to be had on another stack: going on would return into frames that are lost.
    // SAFETY: `parked` is live.
    if opened.is_err() || unsafe { (*parked).parked_sp } != parked_sp {
        std::process::abort();
    }
}
