//! Calls on a coroutine of their own: see [`super`].

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use corosensei::stack::{DefaultStack, Stack as _};
use wasmer_types::RawValue;

use super::parked::{OWNER, Parked, ThreadStacks};
use super::{Callee, Outcome, base_stack, before_the_guest, config, declare_stack, flatten};
use crate::run::arch::{CallState, boot, call_here, leave};
use crate::run::guest_stack;

struct NestedCall {
    state: *mut CallState,
    guest_stack_bytes: usize,
    callee: Callee,
    values: *mut RawValue,
    /// The guest has its stack.
    started: bool,
    outcome: Outcome,
}

/// A call while guest code is on this thread, through a coroutine of its own. It changes
/// `guest_sp` and `trap_pending` of `state`.
///
/// # Safety
/// As for [`super::call`]; `parked` is the thread's and busy.
pub(super) unsafe fn call_nested(
    parked: *mut Parked,
    state: *mut CallState,
    guest_stack_bytes: usize,
    callee: &Callee,
    values: *mut RawValue,
) -> Outcome {
    let spare = OWNER
        .try_with(|owner| owner.borrow_mut().spare.pop())
        .ok()
        .flatten();
    let base = spare.map_or_else(base_stack, Ok)?;
    let mut call = NestedCall {
        state,
        guest_stack_bytes,
        callee: *callee,
        values,
        started: false,
        outcome: Ok(()),
    };
    // SAFETY: by contract for the callee; the base stack is unused, and `run_nested`
    // comes back to `state.host_sp`.
    unsafe {
        (*parked).nested += 1;
        let outer_sp = (*state).host_sp;
        boot(
            &raw mut (*state).host_sp,
            base.base().get(),
            run_nested,
            (&raw mut call).cast(),
        );
        (*state).host_sp = outer_sp;
        (*parked).nested -= 1;
        give_back(base, (*parked).nested);
    }
    match call.started {
        true => call.outcome,
        false => call.outcome.map_err(|fault| before_the_guest(*fault)),
    }
}

/// Keeps the stacks of so many levels, and not those of a guest that once nested deeply.
const KEPT: u32 = 4;

/// To be called at the end of a nested call, with the number of those that still run.
fn give_back(base: DefaultStack, still_nested: u32) {
    let keep = |owner: &RefCell<ThreadStacks>| {
        let ThreadStacks { spare, deepest, .. } = &mut *owner.borrow_mut();
        *deepest = (*deepest).max(still_nested + 1);
        if still_nested < KEPT {
            spare.push(base);
        }
        still_nested == 0 && std::mem::take(deepest) > KEPT
    };
    if OWNER.try_with(keep).unwrap_or(false) {
        // The guest stacks, which wasmer keeps for all threads.
        wasmer_vm::drain_stack_pool();
    }
}

/// Runs on a base stack of its own, so that `host_sp` is exactly where the host
/// stack was left.
unsafe extern "C" fn run_nested(call: *mut ()) {
    let call: *mut NestedCall = call.cast();
    // SAFETY: `call_nested` passes a live `NestedCall` and waits.
    unsafe {
        let (callee, values) = ((*call).callee, (*call).values);
        let guest_stack_bytes = (*call).guest_stack_bytes;
        let config = config(guest_stack_bytes);
        let outer_stack = guest_stack::current();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            wasmer_vm::on_host_stack(|| {
                wasmer_vm::catch_traps(None, &config, move || {
                    declare_stack(guest_stack_bytes, 0);
                    (*call).started = true;
                    call_here(callee.vmctx, callee.body, values, callee.trampoline);
                })
            })
        }));
        guest_stack::restore(outer_stack);
        (*call).outcome = flatten(outcome);
        leave((*(*call).state).host_sp);
    }
}
