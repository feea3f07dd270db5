//! VMs: what they consist of, and their life cycle.
//!
//! ```text
//! new ─► Loaded ── define … link ─► Linked ── call … ──┐
//!           │            │             ▲───────────────┘   a trap ends the call
//!           └────────────┴─────────────┴──► Failed         failed link, panic
//! ```
//! Termination is no state: it may come from another thread at any time.

use std::cell::{Cell, OnceCell, RefCell, UnsafeCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use hashbrown::HashMap;
use wasmer_types::FunctionIndex;
use wasmer_vm::VMMemoryDefinition;

use crate::error::{Code, Error, Result};
use crate::load::module::Module;
use crate::options::Options;
use crate::run::arch::{CallState, HostBinding};
use crate::run::instance::Instance;
use crate::run::interrupt::{self, Interrupt};
use crate::run::stable::Stable;
use crate::run::stack::Callee;
use crate::run::trap::Pending;

/// A VM. It may move between threads, but is used by one at a time; only its
/// [`Terminator`] is shared.
///
/// All methods take `&self` because host functions call back into the VM that is
/// running them.
pub struct Vm(pub(crate) Stable<Inner>);

// SAFETY: a VM owns its store, and nothing in it is bound to a thread while no call
// is running; `Vm` is not `Sync`, so a call borrows it on one thread only.
unsafe impl Send for Vm {}

/// A VM's insides, at a stable address, since funcs and host bindings point here.
pub(crate) struct Inner {
    /// No two VMs of a process have the same, as far as 32 bits go.
    pub(crate) id: u32,
    /// What it was made with, and since it was linked what its `vm_id` has instead.
    pub(crate) options: RefCell<Options>,
    /// The option.
    pub(crate) guest_stack_bytes: Cell<usize>,
    pub(crate) interrupt: Arc<Interrupt>,
    /// The deadline in watchdog ticks; 0 for none.
    pub(crate) deadline_ticks: Cell<u64>,
    /// Outermost calls have more to do than to enter the guest.
    pub(crate) outermost_work: Cell<bool>,
    /// The guest may throw exceptions.
    pub(crate) throws: bool,
    /// What it may still spend on exceptions.
    pub(crate) exceptions_left: Cell<u64>,
    pub(crate) life: Cell<Life>,
    pub(crate) state: UnsafeCell<CallState>,
    /// Written by the instance's memory.
    pub(crate) memory: UnsafeCell<VMMemoryDefinition>,
    /// The traps that host functions have asked for: one for each running call at most.
    pub(crate) pending_traps: RefCell<Vec<Pending>>,
    // In the order in which they are dropped: the instance points at the bindings, and runs
    // the module's code.
    pub(crate) instance: OnceCell<Instance>,
    pub(crate) bindings: Stable<[UnsafeCell<HostBinding>]>,
    pub(crate) module: Module,
    pub(crate) name: RefCell<String>,
    pub(crate) funcs: RefCell<Funcs>,
}

/// An exported function, ready to be called; `rust_wasm_func_t` of the C ABI.
pub struct RawFunc {
    pub(crate) vm: *const Inner,
    pub(crate) callee: Callee,
    /// Parameters or results, whichever are more.
    pub(crate) slots: usize,
    /// Parameters that are references to functions or exceptions.
    pub(crate) references: Box<[usize]>,
}

/// Those that were found.
#[derive(Default)]
pub(crate) struct Funcs {
    pub(crate) by_index: HashMap<FunctionIndex, FuncId>,
    /// The C ABI hands out their addresses.
    pub(crate) list: Vec<Stable<RawFunc>>,
}

/// An exported function of one VM, found by [`Vm::func`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FuncId {
    /// The VM's, so that another VM does not take it for its own.
    pub(crate) owner: u32,
    pub(crate) index: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Life {
    Loaded,
    Linked,
    Failed,
}

/// Terminates its VM from any thread.
#[derive(Clone)]
pub struct Terminator(Arc<Interrupt>);

impl Terminator {
    /// Ends the VM: its running call stops at the next check that was compiled in
    /// with [`Code::Interrupt`], and all later calls fail at once.
    pub fn terminate(&self) {
        self.0.terminate();
    }
}

impl Vm {
    /// Makes a VM of `module`. A further VM of the same module is its clone.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`] if an option is out of range; [`Code::Resource`] if
    /// there is a deadline and its thread cannot be started.
    pub fn new(module: &Module, options: &Options) -> Result<Self> {
        static IDS: AtomicU32 = AtomicU32::new(0);
        let unbound = || {
            UnsafeCell::new(HostBinding {
                function: std::ptr::null(),
                data: std::ptr::null_mut(),
                state: std::ptr::null_mut(),
                stack_words: 0,
            })
        };
        let vm = Self(Stable::new(Inner {
            id: IDS.fetch_add(1, Ordering::Relaxed),
            options: RefCell::default(),
            guest_stack_bytes: Cell::new(0),
            interrupt: Arc::new(Interrupt::new()),
            deadline_ticks: Cell::new(0),
            outermost_work: Cell::new(false),
            throws: module.throws(),
            exceptions_left: Cell::new(0),
            life: Cell::new(Life::Loaded),
            state: UnsafeCell::new(CallState::new()),
            memory: UnsafeCell::new(VMMemoryDefinition {
                base: std::ptr::null_mut(),
                current_length: 0,
            }),
            pending_traps: RefCell::default(),
            instance: OnceCell::new(),
            bindings: std::iter::repeat_with(unbound)
                .take(module.imports().len())
                .collect(),
            module: module.clone(),
            name: RefCell::default(),
            funcs: RefCell::default(),
        }));
        vm.0.set_options(options.clone())?;
        Ok(vm)
    }

    /// The VM's module.
    pub fn module(&self) -> &Module {
        &self.0.module
    }

    /// A handle with which any thread can end this VM.
    pub fn terminator(&self) -> Terminator {
        Terminator(self.0.interrupt.clone())
    }

    /// As [`Terminator::terminate`].
    pub(crate) fn terminate(&self) {
        self.0.interrupt.terminate();
    }

    /// Where the linear memory's address and size in bytes stand. The place is stable for
    /// the VM's life; what it says changes when memory grows, and is size 0 before
    /// [`Vm::link`] and without a memory, of which a module has one at most.
    pub fn memory(&self) -> *const VMMemoryDefinition {
        self.0.memory.get()
    }

    /// From within a host function: makes the guest trap with this message when that
    /// returns. Outside a call it does nothing.
    pub fn trap(&self, message: &str) {
        if self.0.is_running() {
            let mut pending = self.0.pending_traps.borrow_mut();
            // SAFETY: this thread is the one that uses the VM.
            let state = unsafe { &mut *self.0.state.get() };
            if state.trap_pending != 0 {
                // The last one of a call counts.
                pending.pop();
            }
            state.trap_pending = 1;
            let max_frames = self.0.options.borrow().max_backtrace_frames;
            pending.push(Pending::new(state.host_sp, message, max_frames));
        }
    }

    /// Whether one of the VM's calls is on the stack.
    pub fn is_running(&self) -> bool {
        self.0.is_running()
    }
}

impl Inner {
    pub(crate) fn is_running(&self) -> bool {
        // SAFETY: this thread is the one that uses the VM.
        unsafe { (*self.state.get()).is_running() }
    }

    /// Takes on limits, before any call.
    pub(crate) fn set_options(&self, options: Options) -> Result<()> {
        options.check()?;
        let mut deadline_ticks = 0;
        if let Some(deadline) = options.call_deadline {
            if self.deadline_ticks.get() == 0 {
                interrupt::watch(&self.interrupt)?;
            }
            let ticks = deadline
                .as_nanos()
                .div_ceil(interrupt::TICK.as_nanos())
                .max(1);
            deadline_ticks = u64::try_from(ticks).unwrap_or(u64::MAX);
        }
        self.deadline_ticks.set(deadline_ticks);
        self.outermost_work.set(deadline_ticks != 0 || self.throws);
        self.guest_stack_bytes.set(options.guest_stack_bytes);
        self.exceptions_left.set(options.max_exception_bytes);
        self.options.replace(options);
        Ok(())
    }

    /// Forgets the traps that calls were asked for which have ended: the stack may have
    /// ended before such a trap could be raised.
    pub(crate) fn drop_pending_traps(&self) {
        // SAFETY: this thread is the one that uses the VM.
        let running = unsafe { (*self.state.get()).host_sp };
        // An outer call is further up on the host stack.
        let mut pending = self.pending_traps.borrow_mut();
        pending.retain(|it| running != 0 && it.call >= running);
    }

    /// Drops the guest's exceptions, if it can have no reference to them.
    /// Returns whether it did.
    pub(crate) fn drop_exceptions(&self) -> bool {
        if self.module.keeps_exceptions() || self.is_running() {
            return false;
        }
        if let Some(instance) = self.instance.get() {
            // SAFETY: just checked.
            unsafe { instance.drop_exceptions() };
        }
        true
    }

    pub(crate) fn expect_life(&self, wanted: Life, action: &str) -> Result<()> {
        if self.life.get() == wanted && !(wanted == Life::Linked && self.instance.get().is_none()) {
            return Ok(());
        }
        Err(self.wrong_state(action))
    }

    /// The error for something that this VM's state does not allow.
    pub(crate) fn wrong_state(&self, action: &str) -> Error {
        let state = match self.life.get() {
            Life::Loaded => "is not linked",
            Life::Linked => "is linked already",
            Life::Failed => "has failed",
        };
        let name = self.name.borrow();
        Error::new(
            Code::InvalidState,
            format!("cannot {action}: VM \"{name}\" {state}"),
        )
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(instance) = self.instance.get() {
            self.interrupt.detach(instance.vmctx().addr());
        }
    }
}
