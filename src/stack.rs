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

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use corosensei::stack::{DefaultStack, Stack};
use wasmer_types::RawValue;
use wasmer_vm::{Trap, VMConfig, VMContext, VMFunctionBody, VMTrampoline};

use crate::arch::{boot, call_here, enter, leave, switch};
use crate::error::panic_message;
use crate::libcalls;

/// Base stacks run `catch_traps` and the engine's own library calls
/// (`memory.grow` and the like), never guest or host code.
const BASE_STACK_BYTES: usize = 256 << 10;

/// What lies on a guest stack between where its coroutine is parked and where calls
/// begin. When a coroutine takes over a stack with calls on it, it and any signal
/// handler that uses the current stack must stay above them.
const MARGIN: usize = 64 << 10;

/// How deep guest → host → guest may nest on one thread. Each level holds a part of the
/// host stack, so a hostile guest must not choose the depth.
const MAX_NESTING: u32 = 64;

/// What the assembly needs to know of a VM. One per VM, at a stable address.
#[repr(C)]
pub(crate) struct CallState {
    /// The host stack pointer of the VM's innermost running call: host functions
    /// run below it, and a trap returns to it. 0 when none is running.
    pub(crate) host_sp: usize,
    /// Where the innermost host function left the guest stack.
    pub(crate) guest_sp: usize,
    /// Not zero: a host function asked for a trap.
    pub(crate) trap_pending: usize,
}

impl CallState {
    /// Whether one of the VM's calls is on the stack.
    pub(crate) fn is_running(&self) -> bool {
        self.host_sp != 0
    }

    pub(crate) const fn new() -> Self {
        Self {
            host_sp: 0,
            guest_sp: 0,
            trap_pending: 0,
        }
    }
}

/// A bound import: what compiled code passes to [`import_stub`] as the environment.
#[repr(C)]
pub(crate) struct HostBinding {
    /// `result fn(data, args...)`, C calling convention.
    pub(crate) function: *const (),
    pub(crate) data: *mut (),
    pub(crate) state: *mut CallState,
    /// Arguments that the C calling convention passes on the stack.
    pub(crate) stack_words: usize,
}

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

/// The thread's parked coroutine.
#[repr(C)]
pub(crate) struct Parked {
    guest_stack_bytes: usize,
    base: DefaultStack,
    /// Where the coroutine waits on the guest stack; 0 when none is parked.
    parked_sp: usize,
    /// Where the next call begins, further down.
    pub(crate) guest_sp: usize,
    /// Guest code is on the stack.
    pub(crate) busy: bool,
    /// Whose call it is, and whose `host_sp` to return to.
    state: *mut CallState,
    /// Further calls of that VM on the guest stack.
    reentered: u32,
    /// Calls on coroutines of their own, made after those.
    nested: u32,
    /// How the coroutine ended.
    outcome: Outcome,
}

thread_local! {
    /// The fast path's view of `OWNER`: null or the thread's parked coroutine. No
    /// destructor, so that reading it is one load.
    static PARKED: Cell<*mut Parked> = const { Cell::new(ptr::null_mut()) };
    static OWNER: RefCell<ThreadStacks> = const { RefCell::new(ThreadStacks { parked: None, spare: Vec::new() }) };
}

struct ThreadStacks {
    parked: Option<Box<Parked>>,
    /// Base stacks for nested calls.
    spare: Vec<DefaultStack>,
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
        if parked.is_null() || (*parked).busy || (*parked).guest_stack_bytes != guest_stack_bytes {
            return call_slow(state, guest_stack_bytes, callee, values);
        }
        (*parked).busy = true;
        (*parked).state = state;
        // On return, `enter` has undone both.
        let exit = enter(
            state,
            callee.vmctx,
            callee.body,
            values,
            callee.trampoline,
            parked,
        );
        if exit.trapped != 0 {
            // The next call has to park a new coroutine.
            PARKED.set(ptr::null_mut());
            (*parked).busy = false;
            // The trap may have been another than the one that was asked for.
            (*state).trap_pending = 0;
            return trapped(parked, exit.outer_sp);
        }
    }
    Ok(())
}

/// Undoes what `enter` did and could not undo, and tells why.
///
/// # Safety
/// `parked` is the thread's; its coroutine has just ended, in a call that `enter` made.
#[cold]
unsafe fn trapped(parked: *mut Parked, outer_sp: usize) -> Outcome {
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
        if !parked.is_null() && (*parked).busy {
            if (*parked).reentered + (*parked).nested >= MAX_NESTING {
                let message = format!("calls nest more than {MAX_NESTING} deep");
                return Err(resource(message));
            }
            let on_top = (*parked).nested == 0 && (*parked).state == state;
            return if on_top && libcalls::room((*state).guest_sp) >= guest_stack_bytes / 2 {
                reenter(parked, state, callee, values)
            } else {
                call_nested(parked, state, guest_stack_bytes, callee, values)
            };
        }
    }
    park(guest_stack_bytes)?;
    // SAFETY: by contract; `park` has set what `call` needs, so this is no loop.
    unsafe { call(state, guest_stack_bytes, callee, values) }
}

/// A call from a host function of the same VM: on the guest stack, below the frames of
/// the call that runs.
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
        let host_function_sp = (*state).guest_sp;
        let (parked_sp, outer_begin) = ((*parked).parked_sp, (*parked).guest_sp);
        // A trap that was asked for before is for the outer call.
        let outer_trap = std::mem::take(&mut (*state).trap_pending);
        (*parked).guest_sp = host_function_sp;
        (*parked).reentered += 1;
        let exit = enter(
            state,
            callee.vmctx,
            callee.body,
            values,
            callee.trampoline,
            parked,
        );
        let outcome = if exit.trapped == 0 {
            Ok(())
        } else {
            let outcome = trapped(parked, exit.outer_sp);
            take_over(parked, parked_sp);
            (*parked).state = state;
            outcome
        };
        (*parked).busy = true;
        (*parked).reentered -= 1;
        (*parked).guest_sp = outer_begin;
        (*state).guest_sp = host_function_sp;
        (*state).trap_pending = outer_trap;
        outcome
    }
}

/// Parks a new coroutine on the stack of the one that has just ended, without touching
/// the frames that are still on it.
///
/// # Safety
/// `parked` is the thread's; its coroutine has ended, and nothing has run since.
#[cold]
unsafe fn take_over(parked: *mut Parked, parked_sp: usize) {
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

/// Makes this thread ready for calls. Idempotent; only calls with another stack size
/// or after a trap need more.
pub(crate) fn warm(guest_stack_bytes: usize) -> Outcome {
    let parked = PARKED.get();
    // SAFETY: see `call`.
    let ready = !parked.is_null()
        && unsafe { (*parked).busy || (*parked).guest_stack_bytes == guest_stack_bytes };
    if ready {
        return Ok(());
    }
    park(guest_stack_bytes)
}

/// Parks a coroutine with a guest stack of this size. None may be busy.
fn park(guest_stack_bytes: usize) -> Outcome {
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
                    guest_sp: 0,
                    busy: false,
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
            (*this).guest_sp = (*this).parked_sp - MARGIN;
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

struct NestedCall {
    state: *mut CallState,
    guest_stack_bytes: usize,
    callee: Callee,
    values: *mut RawValue,
    /// The guest has its stack.
    started: bool,
    outcome: Outcome,
}

/// A call while guest code is on this thread, through a coroutine of its own.
///
/// # Safety
/// As for [`call`]; `parked` is the thread's and busy.
unsafe fn call_nested(
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
        let (outer_sp, outer_guest_sp) = ((*state).host_sp, (*state).guest_sp);
        // A trap that was asked for before is for the outer call.
        let outer_trap = std::mem::take(&mut (*state).trap_pending);
        boot(
            &raw mut (*state).host_sp,
            base.base().get(),
            run_nested,
            (&raw mut call).cast(),
        );
        (*state).host_sp = outer_sp;
        (*state).guest_sp = outer_guest_sp;
        (*state).trap_pending = outer_trap;
        (*parked).nested -= 1;
    }
    let _ = OWNER.try_with(|owner| owner.borrow_mut().spare.push(base));
    match call.started {
        true => call.outcome,
        false => call.outcome.map_err(|fault| before_the_guest(*fault)),
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
        let outer_stack = libcalls::current();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            wasmer_vm::on_host_stack(|| {
                wasmer_vm::catch_traps(None, &config, move || {
                    declare_stack(guest_stack_bytes, 0);
                    (*call).started = true;
                    call_here(callee.vmctx, callee.body, values, callee.trampoline);
                })
            })
        }));
        libcalls::restore(outer_stack);
        (*call).outcome = flatten(outcome);
        leave((*(*call).state).host_sp);
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
        wasm_stack_size: Some(MARGIN + guest_stack_bytes + libcalls::RESERVE),
    }
}

/// Tells `libcalls` of the guest stack that the caller runs on, where the guest's part
/// begins after `margin`. Little of it has been used; what has, counts as the guest's.
#[inline(never)]
fn declare_stack(guest_stack_bytes: usize, margin: usize) {
    let here = 0_u8;
    let top = (&raw const here).addr().saturating_sub(margin);
    libcalls::set_stack(top, guest_stack_bytes);
}

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
