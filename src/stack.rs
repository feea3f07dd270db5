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
//! wasmer keeps the current coroutine in thread-locals that only `catch_traps` and
//! `on_host_stack` set, hence two rules: a thread parks one coroutine at most, and a
//! call made while guest code is already on the thread (`call_nested`) goes through
//! `on_host_stack`, which saves and restores them.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use corosensei::stack::{DefaultStack, Stack};
use wasmer_types::RawValue;
use wasmer_vm::{Trap, VMConfig, VMContext, VMFunctionBody, VMTrampoline};

use crate::arch::{boot, call_here, enter, leave, switch};
use crate::libcalls;

/// Base stacks run `catch_traps` and the engine's own library calls
/// (`memory.grow` and the like), never guest or host code.
const BASE_STACK_BYTES: usize = 256 << 10;

/// How deep guest → host → guest may nest on one thread. Each level holds a guest
/// stack, so a hostile guest must not choose the depth.
const MAX_NESTING: u32 = 64;

/// What the assembly below needs to know of a VM. One per VM, at a stable address.
#[repr(C)]
pub(crate) struct CallState {
    /// The host stack pointer of the VM's innermost running call: host functions
    /// run below it, and a trap returns to it. 0 when none is running.
    pub(crate) host_sp: usize,
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
    /// Where calls begin on the guest stack; 0 when no coroutine is parked.
    pub(crate) guest_sp: usize,
    /// Guest code is on the stack.
    pub(crate) busy: bool,
    /// Whose `host_sp` to return to.
    state: *mut CallState,
    /// How the coroutine ended.
    outcome: Outcome,
}

thread_local! {
    /// The fast path's view of `OWNER`: null or the thread's parked coroutine. No
    /// destructor, so that reading it is one load.
    static PARKED: Cell<*mut Parked> = const { Cell::new(ptr::null_mut()) };
    static NESTING: Cell<u32> = const { Cell::new(0) };
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
            return trapped(exit.outer_sp);
        }
    }
    Ok(())
}

/// Undoes what [`call`] did and `enter` could not, and tells why.
#[cold]
fn trapped(outer_sp: usize) -> Outcome {
    let parked = PARKED.replace(ptr::null_mut());
    // SAFETY: it is this thread's; its coroutine has just ended, so that the next
    // call has to park a new one. `state` is of the call that trapped.
    let outcome = unsafe {
        let state = (*parked).state;
        (*state).host_sp = outer_sp;
        (*parked).busy = false;
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
    // SAFETY: see `call`.
    let busy = !parked.is_null() && unsafe { (*parked).busy };
    if busy || NESTING.get() > 0 {
        // SAFETY: by contract.
        return unsafe { call_nested(state, guest_stack_bytes, callee, values) };
    }
    park(guest_stack_bytes)?;
    // SAFETY: by contract; `park` has set what `call` needs, so this is no loop.
    unsafe { call(state, guest_stack_bytes, callee, values) }
}

/// Makes this thread ready for calls. Idempotent; only calls with another stack size
/// or after a trap need more.
pub(crate) fn warm(guest_stack_bytes: usize) -> Outcome {
    let parked = PARKED.get();
    // SAFETY: see `call`.
    let ready = !parked.is_null()
        && unsafe { (*parked).busy || (*parked).guest_stack_bytes == guest_stack_bytes };
    if ready || NESTING.get() > 0 {
        return Ok(());
    }
    park(guest_stack_bytes)
}

/// Parks a coroutine with a guest stack of this size. None may be busy.
fn park(guest_stack_bytes: usize) -> Outcome {
    let ending = |_| resource("this thread is ending and cannot run guests any more");
    if PARKED.get().is_null() {
        // Makes wasmer register its thread-locals before `OWNER`, so that they are
        // still there when `OWNER` is dropped at the end of the thread.
        catch_unwind(|| {
            // SAFETY: the closure does nothing.
            unsafe { wasmer_vm::catch_traps(None, &config(guest_stack_bytes), || ()) }
        })
        .map_err(ending)?
        .map_err(|trap| Box::new(Fault::Trap(trap)))?;
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
                    guest_sp: 0,
                    busy: false,
                    state: ptr::null_mut(),
                    outcome: Ok(()),
                })),
            };
            parked.guest_stack_bytes = guest_stack_bytes;
            // SAFETY: nothing is parked: it is new, closed above, or ended by a trap.
            unsafe { parked.open()? };
            PARKED.set(&raw mut **parked);
            Ok(())
        })
        .map_err(|_| ending(Box::new(())))?
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
            if (*this).guest_sp == 0 {
                return std::mem::replace(&mut (*this).outcome, Ok(()));
            }
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
        // SAFETY: `guest_sp` is where `park_here` waits; `run` comes back to
        // `state.host_sp`.
        unsafe {
            if (*this).guest_sp != 0 {
                (*this).state = &raw mut state;
                switch(&raw mut state.host_sp, (*this).guest_sp);
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
            declare_stack(guest_stack_bytes);
            switch(&raw mut (*parked).guest_sp, (*(*parked).state).host_sp);
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            wasmer_vm::catch_traps(None, &config, park_here)
        }));
        (*parked).guest_sp = 0;
        (*parked).outcome = flatten(outcome);
        leave((*(*parked).state).host_sp);
    }
}

struct NestedCall {
    state: *mut CallState,
    guest_stack_bytes: usize,
    callee: Callee,
    values: *mut RawValue,
    outcome: Outcome,
}

/// A call while guest code is on this thread, through a coroutine of its own.
///
/// # Safety
/// As for [`call`].
unsafe fn call_nested(
    state: *mut CallState,
    guest_stack_bytes: usize,
    callee: &Callee,
    values: *mut RawValue,
) -> Outcome {
    let depth = NESTING.get();
    if depth >= MAX_NESTING {
        return Err(resource(format!("calls nest more than {MAX_NESTING} deep")));
    }
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
        outcome: Ok(()),
    };
    NESTING.set(depth + 1);
    // SAFETY: by contract for the callee; the base stack is unused, and `run_nested`
    // comes back to `state.host_sp`.
    unsafe {
        let outer_sp = (*state).host_sp;
        // A trap that was asked for before is for the outer call.
        let outer_trap = std::mem::take(&mut (*state).trap_pending);
        boot(
            &raw mut (*state).host_sp,
            base.base().get(),
            run_nested,
            (&raw mut call).cast(),
        );
        (*state).host_sp = outer_sp;
        (*state).trap_pending |= outer_trap;
    }
    NESTING.set(depth);
    let _ = OWNER.try_with(|owner| owner.borrow_mut().spare.push(base));
    call.outcome
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
                    declare_stack(guest_stack_bytes);
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
        wasm_stack_size: Some(guest_stack_bytes + libcalls::RESERVE),
    }
}

/// Tells `libcalls` of the guest stack that the caller runs on. Little of it has been
/// used; what has, counts as the guest's.
#[inline(never)]
fn declare_stack(guest_stack_bytes: usize) {
    let here = 0_u8;
    libcalls::set_stack(
        (&raw const here).addr(),
        guest_stack_bytes + libcalls::RESERVE,
    );
}

fn base_stack() -> Result<DefaultStack, Box<Fault>> {
    DefaultStack::new(BASE_STACK_BYTES)
        .map_err(|error| resource(format!("cannot map a stack: {error}")))
}

fn resource(message: impl Into<String>) -> Box<Fault> {
    Box::new(Fault::Resource(message.into()))
}
