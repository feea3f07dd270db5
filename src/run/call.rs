//! The guest's exported functions: finding and calling them.

use wasmer_types::{FunctionType, RawValue, Type};

use crate::error::{Code, Error, Result, from_panic};
use crate::run::libcalls;
use crate::run::stable::Stable;
use crate::run::stack::{self, Fault, Outcome};
use crate::run::ticks;
use crate::run::trap::{self, Kind};
use crate::run::vm::{FuncId, Funcs, Inner, Life, RawFunc, Vm};
use crate::signature::Wanted;

/// One argument or result slot, in host byte order. Which field counts follows from
/// the function's type.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
pub union Value {
    /// An i32, as its bits.
    pub i32: u32,
    /// An i64, as its bits.
    pub i64: u64,
    /// An f32.
    pub f32: f32,
    /// An f64.
    pub f64: f64,
    /// The whole slot.
    pub slot: [u64; 2],
}

// Compiled code is handed `Value`s as wasmer's own slots.
const _: () = assert!(
    size_of::<Value>() == size_of::<RawValue>() && align_of::<Value>() >= align_of::<RawValue>()
);

impl Default for Value {
    fn default() -> Self {
        Self { slot: [0; 2] }
    }
}

impl From<u32> for Value {
    fn from(i32: u32) -> Self {
        Self {
            slot: [i32.into(), 0],
        }
    }
}

impl From<u64> for Value {
    fn from(i64: u64) -> Self {
        Self { slot: [i64, 0] }
    }
}

impl Vm {
    /// Looks up an exported function of this type. `None` if nothing of that name is
    /// exported, or something other than a function.
    ///
    /// # Errors
    /// [`Code::Link`] if it has another type; [`Code::InvalidState`] before
    /// [`Vm::link`].
    pub fn func(&self, name: &str, ty: &FunctionType) -> Result<Option<FuncId>> {
        self.func_as(name, ty)
    }

    pub(crate) fn func_as(&self, name: &str, ty: &impl Wanted) -> Result<Option<FuncId>> {
        self.0.expect_life(Life::Linked, "look up a function")?;
        let (Some(export), Some(instance)) = (self.0.module.export(name), self.0.instance.get())
        else {
            return Ok(None);
        };
        let actual = self.0.module.function_type(export);
        if !ty.is(actual) {
            return Err(Error::new(
                Code::Link,
                format!(
                    "exported function {name} is {}, expected {}",
                    actual.show(),
                    ty.show()
                ),
            ));
        }
        let Funcs { by_index, list } = &mut *self.0.funcs.borrow_mut();
        let id = *by_index.entry(export).or_insert_with(|| {
            list.push(Stable::new(RawFunc {
                vm: self.0.as_ptr(),
                callee: instance.callee(&self.0.module, &self.0.bindings, export),
                slots: actual.params().len().max(actual.results().len()),
                references: references(actual),
            }));
            // There are fewer functions than 2^32.
            FuncId {
                owner: self.0.id,
                index: u32::try_from(list.len() - 1).unwrap_or(u32::MAX),
            }
        });
        Ok(Some(id))
    }

    /// The function behind an id of this VM.
    pub(crate) fn raw_func(&self, id: FuncId) -> Option<*const RawFunc> {
        if id.owner != self.0.id {
            return None;
        }
        let funcs = self.0.funcs.borrow();
        funcs.list.get(id.index as usize).map(|it| it.as_ptr())
    }

    /// Calls a function. `values` holds the arguments, and on success the results;
    /// it has as many slots as the type has parameters or results, whichever are
    /// more.
    ///
    /// # Errors
    /// [`Code::Trap`], [`Code::HostTrap`] or [`Code::Interrupt`], with a backtrace;
    /// [`Code::Resource`] if calls nest too deeply or no stack can be had;
    /// [`Code::InvalidArgument`] for too few slots, another VM's id, or a reference to
    /// a function or an exception that is not null: the host has none to pass. The
    /// contents of `values` are then unspecified.
    pub fn call(&self, func: FuncId, values: &mut [Value]) -> Result<()> {
        let Some(func) = self.raw_func(func) else {
            return Err(Error::new(
                Code::InvalidArgument,
                "no such function in this VM",
            ));
        };
        // SAFETY: funcs live as long as their VM.
        let func = unsafe { &*func };
        if values.len() < func.slots {
            return Err(Error::new(
                Code::InvalidArgument,
                format!(
                    "{} value slots, the function needs {}",
                    values.len(),
                    func.slots
                ),
            ));
        }
        // SAFETY: every bit pattern is a slot.
        let is_null = |index: &usize| unsafe { values[*index].slot } == [0; 2];
        if !func.references.iter().all(is_null) {
            return Err(Error::new(
                Code::InvalidArgument,
                "a reference that is not null",
            ));
        }
        // SAFETY: enough slots; the VM is borrowed for the call.
        unsafe { func.call(values.as_mut_ptr()) }
    }
}

impl RawFunc {
    /// Calls the function.
    ///
    /// # Safety
    /// The VM is alive for the whole call and used by this thread alone. `values`
    /// has `slots` slots.
    #[inline]
    pub(crate) unsafe fn call(&self, values: *mut Value) -> Result<()> {
        // SAFETY: by contract.
        let vm = unsafe { &*self.vm };
        if vm.life.get() != Life::Linked || vm.interrupt.is_terminated() {
            return Err(refusal(vm));
        }
        if vm.outermost_work.get() && !vm.is_running() {
            // SAFETY: by contract.
            return unsafe { self.call_outermost(vm, values) };
        }
        // SAFETY: by contract.
        unsafe { self.enter(vm, values) }.map_err(|fault| failure(vm, *fault, false))
    }

    /// An outermost call of a VM with a deadline or with exceptions.
    ///
    /// # Safety
    /// As for [`Self::call`].
    #[cold]
    unsafe fn call_outermost(&self, vm: &Inner, values: *mut Value) -> Result<()> {
        let outer_left = vm
            .throws
            .then(|| libcalls::replace_left(vm.exceptions_left.get()));
        let deadline_ticks = vm.deadline_ticks.get();
        if deadline_ticks != 0 {
            vm.interrupt.arm(deadline_ticks);
        }
        // SAFETY: by contract.
        let outcome = unsafe { self.enter(vm, values) };
        let late = deadline_ticks != 0 && vm.interrupt.disarm();
        let result = outcome.map_err(|fault| failure(vm, *fault, late));
        if let Some(outer_left) = outer_left {
            let left = libcalls::replace_left(outer_left);
            vm.exceptions_left.set(match vm.drop_exceptions() {
                true => vm.options.borrow().max_exception_bytes,
                false => left,
            });
        }
        result
    }

    /// # Safety
    /// As for [`Self::call`].
    #[inline]
    unsafe fn enter(&self, vm: &Inner, values: *mut Value) -> Outcome {
        // SAFETY: by contract, and the callee is of this VM.
        unsafe {
            stack::call(
                vm.state.get(),
                vm.guest_stack_bytes.get(),
                &self.callee,
                values.cast(),
            )
        }
    }
}

/// Which parameters are references that the engine follows.
fn references(ty: &FunctionType) -> Box<[usize]> {
    let followed = |ty: &Type| matches!(ty, Type::FuncRef | Type::ExceptionRef);
    let params = ty.params().iter().enumerate();
    params
        .filter_map(|(index, ty)| followed(ty).then_some(index))
        .collect()
}

#[cold]
fn refusal(vm: &Inner) -> Error {
    if vm.interrupt.is_terminated() {
        Error::new(
            Code::Interrupt,
            "wasm trap: interrupt: the VM was terminated",
        )
    } else {
        vm.wrong_state("call a function")
    }
}

#[cold]
fn failure(vm: &Inner, fault: Fault, late: bool) -> Error {
    let error = explain(vm, fault, late);
    vm.drop_pending_traps();
    error
}

fn explain(vm: &Inner, fault: Fault, late: bool) -> Error {
    let trap = match fault {
        Fault::Trap(trap) => trap,
        Fault::Panic(payload) => {
            vm.life.set(Life::Failed);
            return from_panic(payload.as_ref());
        }
        fault @ Fault::Resource(_) => return stack_error(fault),
    };
    let max_frames = vm.options.borrow().max_backtrace_frames;
    let report = trap::report(&trap, &vm.module, max_frames);
    match report.kind {
        Kind::HostTrap => {
            let pending = vm.pending_traps.borrow_mut().pop().unwrap_or_default();
            pending.into_error(&vm.module)
        }
        Kind::TooManyExceptions => {
            let max = vm.options.borrow().max_exception_bytes;
            let since = match vm.module.keeps_exceptions() {
                true => "since the VM was made: it may keep them",
                false => "in one call",
            };
            let message = format!("wasm trap: too many exceptions: more than {max} bytes {since}");
            Error::new(Code::Trap, message)
        }
        // The interrupt checks stop the guest with `unreachable`.
        Kind::Unreachable | Kind::Interrupted if vm.interrupt.is_terminated() => {
            interrupted("the VM was terminated", report.backtrace)
        }
        // The outermost call has disarmed the deadline, a nested one has not. Its own
        // `unreachable` may have come before.
        Kind::Unreachable | Kind::Interrupted
            if (late || vm.interrupt.has_fired()) && vm.interrupt.had_fired(ticks::of_trap()) =>
        {
            let deadline = vm.options.borrow().call_deadline.unwrap_or_default();
            let message = format!("the call took longer than its deadline of {deadline:?}");
            interrupted(&message, report.backtrace)
        }
        Kind::Unreachable | Kind::Interrupted | Kind::Other => Error::with_backtrace(
            Code::Trap,
            format!("wasm trap: {}", report.message),
            report.backtrace,
        ),
    }
}

fn interrupted(message: &str, backtrace: String) -> Error {
    Error::with_backtrace(
        Code::Interrupt,
        format!("wasm trap: interrupt: {message}"),
        backtrace,
    )
}

/// The error for a stack that could not be had.
pub(crate) fn stack_error(fault: Fault) -> Error {
    match fault {
        Fault::Resource(message) => Error::new(Code::Resource, message),
        Fault::Trap(trap) => Error::new(Code::Resource, trap.to_string()),
        Fault::Panic(payload) => from_panic(payload.as_ref()),
    }
}
