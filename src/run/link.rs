//! From a module to a VM that can be called: its host functions, its instance, and the start
//! function.

use std::ptr::NonNull;

use wasmer_types::FunctionType;

use crate::error::{Code, Error, Result, contain, list};
use crate::run::arch::{self, HostBinding};
use crate::run::instance::Instance;
use crate::run::interrupt::Interrupt;
use crate::run::signals;
use crate::run::vm::{Inner, Life, RawFunc, Vm};
use crate::signature::{Wanted, check_host_type};

/// The longest list of missing imports in a message.
const MAX_MISSING_TEXT: usize = 3000;

/// A host function with its type erased: `result fn(data, args...)` in the C calling
/// convention.
pub type HostFn = *const ();

impl Vm {
    /// Sets the function for the import at `import` ([`Module::import`]), and for any
    /// further import of the same name. The last definition counts.
    ///
    /// # Errors
    /// [`Code::InvalidState`] after [`Vm::link`]; [`Code::InvalidArgument`] if there is
    /// no such import or the type is not one that C has; [`Code::Link`] if the import
    /// has another type.
    ///
    /// # Safety
    /// `function` is a `ty.result fn(data, ty.params...)` in the C calling convention
    /// that does not unwind. It and `data` are good to be called, on the threads that
    /// call into this VM, for as long as the VM lives.
    pub unsafe fn define(
        &self,
        import: u32,
        ty: &FunctionType,
        function: HostFn,
        data: *mut (),
    ) -> Result<()> {
        // SAFETY: by contract.
        unsafe { self.define_as(import, ty, function, data) }
    }

    /// # Safety
    /// As for [`Self::define`].
    pub(crate) unsafe fn define_as(
        &self,
        import: u32,
        ty: &impl Wanted,
        function: HostFn,
        data: *mut (),
    ) -> Result<()> {
        self.0.expect_life(Life::Loaded, "define an import")?;
        let imports = self.0.module.imports();
        let mut next = Some(import);
        while let Some(index) = next {
            let Some(wanted) = imports.get(index as usize) else {
                return Err(Error::new(
                    Code::InvalidArgument,
                    format!("import {index} of {}", imports.len()),
                ));
            };
            if !ty.is(&wanted.ty) {
                return Err(Error::new(
                    Code::Link,
                    format!(
                        "host function {wanted} is {}, but the module imports it as {}",
                        ty.show(),
                        wanted.ty.show()
                    ),
                ));
            }
            check_host_type(&wanted.ty)
                .map_err(|error| error.context(format!("host function {wanted}")))?;
            // SAFETY: not linked, so no compiled code reads it.
            unsafe {
                self.0.bindings[index as usize].get().write(HostBinding {
                    function,
                    data,
                    state: self.0.state.get(),
                    stack_words: arch::stack_words(wanted.ty.params()),
                });
            }
            next = wanted.twin;
        }
        Ok(())
    }

    /// Instantiates the module: initialises memory, tables and globals and runs the
    /// start function. `name`, the `vm_id`, stands in errors, and may have limits of its
    /// own ([`Options::vm_limits`]).
    ///
    /// # Errors
    /// [`Code::Link`] if an import is not defined, [`Code::Resource`] if memory or a
    /// table exceeds a limit or cannot be had, [`Code::Trap`] and the like if
    /// initialisation or the start function trapped. The VM has then failed.
    pub fn link(&self, name: &str) -> Result<()> {
        self.0.expect_life(Life::Loaded, "link")?;
        *self.0.name.borrow_mut() = name.to_owned();
        // What calls back during the start function finds the VM linked.
        self.0.life.set(Life::Linked);
        let result = contain(|| self.0.instantiate(name));
        if result.is_err() {
            self.0.life.set(Life::Failed);
        }
        result
    }
}

impl Inner {
    fn instantiate(&self, name: &str) -> Result<()> {
        let vm_limits = self.options.borrow().vm_limits.clone();
        if let Some(limits) = vm_limits.of(name) {
            let mut options = self.options.borrow().clone();
            options.limit(limits);
            self.set_options(options)?;
        }
        let bindings = self.bindings.iter().zip(self.module.imports());
        // SAFETY: no compiled code exists that could write to it.
        let missing = bindings.filter(|it| unsafe { (*it.0.get()).function.is_null() });
        let missing = list(missing, MAX_MISSING_TEXT, |(_, import)| {
            format!("{import} {}", import.ty.show())
        });
        if !missing.is_empty() {
            return Err(Error::new(
                Code::Link,
                format!("the module imports functions that the host does not have: {missing}"),
            ));
        }
        signals::install();
        // SAFETY: all bindings are set, and live as long as `self`.
        let instance = unsafe {
            let memory = NonNull::new_unchecked(self.memory.get());
            let options = self.options.borrow();
            Instance::new(&self.module, &self.bindings, &options, memory)?
        };
        let flags = instance.interrupt_flags(&self.module);
        let instance = self.instance.get_or_init(|| instance);
        // SAFETY: detached when `self` is dropped, before the instance.
        unsafe { Interrupt::attach(&self.interrupt, flags, instance.vmctx().addr()) };

        if let Some(start) = self.module.start() {
            let callee = instance.callee(&self.module, &self.bindings, start);
            let func = RawFunc {
                vm: &raw const *self,
                callee,
                slots: 0,
                references: Box::default(),
            };
            // SAFETY: a start function has neither parameters nor results.
            unsafe { func.call(std::ptr::null_mut()) }
                .map_err(|error| error.context("start function"))?;
        }
        Ok(())
    }
}
