//! Stacks: how a thread enters guest code and how guest code reaches the host.
//!
//! Guest code runs on a stack of its own, with a guard page, so that overflow is a
//! trap. wasmer provides that as a coroutine inside `wasmer_vm::catch_traps`, which
//! costs 30 ns to build. So each thread builds one, once, and keeps it *parked*:
//!
//! ```text
//!  host stack            base stack              guest stack
//!  (the thread's own)    (of this module)        (wasmer's coroutine)
//!
//!  call() ── boot ─────► run()
//!                        catch_traps() ────────► park()
//!  ◄──────────────────────── switch ─────────────┘          parked
//!
//!  call() ── enter ────────────────────────────► guest code
//!            host function ◄──────── import_stub ┘          on the host stack
//!  ◄──────────────────────────────────── return ┘
//!
//!                        catch_traps() ◄──────── trap       wasmer unwinds
//!  ◄──────── leave ──────┘                                  to the base stack
//! ```
//!
//! Entering and leaving is then a change of stack pointer. A trap ends the coroutine
//! the ordinary way, in `catch_traps` on the base stack, which jumps back to the host
//! stack with the outcome; the next call parks a new one.
//!
//! A host function may call its VM again (`reenter`): that call runs further down the
//! same guest stack. If it traps, it ends the coroutine, yet the frames of the outer
//! calls stay where they are: a new coroutine takes the same stack over and parks in
//! the same place above them.
//!
//! wasmer keeps the current coroutine in thread-locals that only `catch_traps` and
//! `on_host_stack` set, hence two rules: a thread parks one coroutine at most, and any
//! other call made while guest code is on the thread (`call_nested`: that of another
//! VM) goes through `on_host_stack`, which saves and restores them.

mod nested;
mod parked;

use std::any::Any;
use std::ptr;

use corosensei::stack::DefaultStack;
use wasmer_types::RawValue;
use wasmer_vm::{Trap, VMConfig, VMContext, VMFunctionBody, VMTrampoline};

use crate::error::panic_message;
use crate::run::arch::{CallState, Exit, enter};
use crate::run::guest_stack;

use nested::call_nested;
use parked::{MARGIN, PARKED, park, take_over};
pub(crate) use parked::{Parked, warm};

/// How deep guest → host → guest may nest on one thread. Each level holds a part of the
/// host stack, so a hostile guest must not choose the depth.
const MAX_NESTING: u32 = 64;

/// A function as compiled code has it.
#[derive(Clone, Copy)]
pub(crate) struct Callee {
    pub(crate) trampoline: VMTrampoline,
    pub(crate) body: *const VMFunctionBody,
    pub(crate) vmctx: *mut VMContext,
}

/// How a call ended if it did not return.
pub(crate) enum Fault {
    Trap(Trap),
    Panic(Box<dyn Any + Send>),
    /// No stack could be had, or calls nest too deeply.
    Resource(String),
}

/// Boxed, so that the fast path returns a null pointer.
pub(crate) type Outcome = Result<(), Box<Fault>>;

/// Calls `callee` on this thread's guest stack.
///
/// # Safety
/// `state` belongs to the VM of `callee` and outlives the call; `callee` is live
/// code of that VM and `values` has a slot for each of its parameters and results.
#[inline]
pub(crate) unsafe fn call(
    state: *mut CallState,
    guest_stack_bytes: usize,
    callee: &Callee,
    values: *mut RawValue,
) -> Outcome {
    let parked = PARKED.get();
    // SAFETY: `PARKED` is null or points into the box that `OWNER` keeps; both are
    // of this thread. A coroutine that is parked and not busy has nothing of value
    // below `guest_sp`.
    unsafe {
        if parked.is_null()
            || (*parked).place.busy
            || (*parked).guest_stack_bytes != guest_stack_bytes
        {
            return call_slow(state, guest_stack_bytes, callee, values);
        }
        (*parked).place.busy = true;
        (*parked).state = state;
        // On return, `enter` has undone both.
        let exit = enter_parked(parked, state, callee, values);
        if exit.trapped != 0 {
            return trapped(exit.outer_sp);
        }
    }
    Ok(())
}

/// # Safety
/// As for [`call`]; the guest stack is free below `guest_sp` of `parked`.
#[inline(always)]
unsafe fn enter_parked(
    parked: *mut Parked,
    state: *mut CallState,
    callee: &Callee,
    values: *mut RawValue,
) -> Exit {
    let Callee {
        trampoline,
        body,
        vmctx,
    } = *callee;
    // SAFETY: by contract.
    unsafe {
        enter(
            state,
            vmctx,
            body,
            values,
            trampoline,
            &raw mut (*parked).place,
        )
    }
}

/// Undoes what [`call`] did and `enter` could not undo, and tells why. It takes no more
/// than `enter` gives, so that the fast path keeps nothing for it.
///
/// # Safety
/// The thread's coroutine has just ended, in a call that `enter` made for [`call`].
#[cold]
unsafe fn trapped(outer_sp: usize) -> Outcome {
    // The next call has to park a new coroutine.
    let parked = PARKED.replace(ptr::null_mut());
    // SAFETY: by contract; `state` is of the call that trapped.
    unsafe {
        (*parked).place.busy = false;
        // The trap may have been another than the one that was asked for.
        (*(*parked).state).trap_pending = 0;
        outcome(parked, outer_sp)
    }
}

/// How the call ended that `enter` made.
///
/// # Safety
/// `parked` is the thread's; its coroutine has just ended, in that call.
#[cold]
unsafe fn outcome(parked: *mut Parked, outer_sp: usize) -> Outcome {
    // SAFETY: by contract; `state` is of the call that trapped.
    let outcome = unsafe {
        (*(*parked).state).host_sp = outer_sp;
        std::mem::replace(&mut (*parked).outcome, Ok(()))
    };
    match outcome {
        Ok(()) => Err(resource("the guest stack ended unexpectedly")),
        fault => fault,
    }
}

/// # Safety
/// As for [`call`].
#[cold]
unsafe fn call_slow(
    state: *mut CallState,
    guest_stack_bytes: usize,
    callee: &Callee,
    values: *mut RawValue,
) -> Outcome {
    let parked = PARKED.get();
    // SAFETY: see `call`; the callee by contract.
    unsafe {
        if !parked.is_null() && (*parked).place.busy {
            if (*parked).reentered + (*parked).nested >= MAX_NESTING {
                let message = format!("calls nest more than {MAX_NESTING} deep");
                return Err(resource(message));
            }
            let guest_sp = (*state).guest_sp;
            // A trap that was asked for before is for the outer call.
            let outer_trap = std::mem::take(&mut (*state).trap_pending);
            let on_top = (*parked).nested == 0 && (*parked).state == state;
            let outcome = if on_top && guest_stack::room(guest_sp) >= guest_stack_bytes / 2 {
                reenter(parked, state, callee, values)
            } else {
                call_nested(parked, state, guest_stack_bytes, callee, values)
            };
            (*state).guest_sp = guest_sp;
            (*state).trap_pending = outer_trap;
            return outcome;
        }
    }
    park(guest_stack_bytes)?;
    // SAFETY: by contract; `park` has set what `call` needs, so this is no loop.
    unsafe { call(state, guest_stack_bytes, callee, values) }
}

/// A call from a host function of the same VM: on the guest stack, below the frames of
/// the call that runs. It changes `guest_sp` and `trap_pending` of `state`.
///
/// # Safety
/// As for [`call`]; `parked` is the thread's, and its innermost call, which waits for a
/// host function, is one of `state`.
unsafe fn reenter(
    parked: *mut Parked,
    state: *mut CallState,
    callee: &Callee,
    values: *mut RawValue,
) -> Outcome {
    // SAFETY: by contract; the guest stack is free below `state.guest_sp`.
    unsafe {
        let (parked_sp, guest_sp) = ((*parked).parked_sp, (*parked).place.guest_sp);
        (*parked).place.guest_sp = (*state).guest_sp;
        (*parked).reentered += 1;
        let exit = enter_parked(parked, state, callee, values);
        let outcome = if exit.trapped == 0 {
            Ok(())
        } else {
            let outcome = outcome(parked, exit.outer_sp);
            take_over(parked, parked_sp);
            (*parked).state = state;
            outcome
        };
        (*parked).place.busy = true;
        (*parked).reentered -= 1;
        (*parked).place.guest_sp = guest_sp;
        outcome
    }
}

fn flatten(outcome: std::thread::Result<Result<(), Trap>>) -> Outcome {
    match outcome {
        Ok(Ok(())) => Ok(()),
        Ok(Err(trap)) => Err(Box::new(Fault::Trap(trap))),
        Err(panic) => Err(Box::new(Fault::Panic(panic))),
    }
}

fn config(guest_stack_bytes: usize) -> VMConfig {
    VMConfig {
        wasm_stack_size: Some(MARGIN + guest_stack_bytes + guest_stack::RESERVE),
    }
}

/// Tells `guest_stack` of the guest stack that the caller runs on, where the guest's part
/// begins after `margin`. Little of it has been used; what has, counts as the guest's.
#[inline(never)]
fn declare_stack(guest_stack_bytes: usize, margin: usize) {
    let here = 0_u8;
    let top = (&raw const here).addr().saturating_sub(margin);
    guest_stack::set(top, guest_stack_bytes);
}

/// Base stacks run `catch_traps` and the engine's own library calls
/// (`memory.grow` and the like), never guest or host code.
const BASE_STACK_BYTES: usize = 256 << 10;

fn base_stack() -> Result<DefaultStack, Box<Fault>> {
    DefaultStack::new(BASE_STACK_BYTES)
        .map_err(|error| resource(format!("cannot map a stack: {error}")))
}

/// wasmer panics if it cannot map a stack. No guest has run yet, so nothing is broken.
fn before_the_guest(fault: Fault) -> Box<Fault> {
    match fault {
        Fault::Panic(panic) => no_stack(panic_message(&*panic)),
        Fault::Trap(trap) => no_stack(&trap.to_string()),
        fault => Box::new(fault),
    }
}

fn no_stack(reason: &str) -> Box<Fault> {
    resource(format!(
        "this thread has no stack for guests or is ending: {reason}"
    ))
}

fn resource(message: impl Into<String>) -> Box<Fault> {
    Box::new(Fault::Resource(message.into()))
}
