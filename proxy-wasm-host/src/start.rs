//! From code to a VM that runs: its imports, and its start functions.

use std::rc::Rc;
use std::sync::Arc;

use crate::context::Plugin;
use crate::exports::Exports;
use crate::hostcalls;
use crate::program::Program;
use crate::vm::{Vm, VmSettings};

impl Program {
    /// Compiles bytecode in the binary format; or loads the machine code in its section
    /// [`crate::precompiled_section`], which its user trusts, if `allow_precompiled` and it
    /// fits.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence.
    pub fn new(code: &[u8], allow_precompiled: bool) -> Result<Self, String> {
        Self::with(code, allow_precompiled, hostcalls::find)
    }
}

impl Vm {
    /// Makes a VM and runs its start functions; `plugin` is whose log its messages go
    /// to while it has no context.
    ///
    /// # Errors
    /// What went wrong, in a sentence.
    pub fn start(
        program: &Arc<Program>,
        settings: &Arc<VmSettings>,
        plugin: &Rc<Plugin>,
    ) -> Result<Rc<Self>, String> {
        let vm = Rc::new(Self::new(program, settings, plugin)?);
        vm.bind_and_run()?;
        Ok(vm)
    }

    /// `self` stays at its address from here on.
    fn bind_and_run(&self) -> Result<(), String> {
        let data: *mut () = std::ptr::from_ref(self).cast_mut().cast();
        for (index, ty, function) in &self.program.imports {
            let entry = function.entry(self.settings.allows(function.name));
            // SAFETY: the entry has the type `ty`, as `hostcalls::entry` makes it, and
            // `data` is this VM, which outlives its runtime's calls.
            unsafe { self.runtime.define(*index, ty, entry, data) }
                .map_err(|error| error.to_string())?;
        }
        self.restricted.set(true);
        let started = self.link_and_initialize();
        self.restricted.set(false);
        self.note_memory();
        started?;
        if self.has_failed() {
            return Err("the start function failed".into());
        }
        Ok(())
    }

    fn link_and_initialize(&self) -> Result<(), String> {
        let name = &self.settings.vm_id;
        self.runtime.link(name).map_err(|error| error.to_string())?;
        let allowed = |name: &str| !name.starts_with("proxy_on_") || self.settings.allows(name);
        let exports = Exports::find(&self.runtime, self.program.abi, |name| {
            name == "proxy_on_memory_allocate" || allowed(name)
        })?;
        if exports.malloc.is_none() && exports.memory_allocate.is_none() {
            return Err("the module exports neither malloc nor proxy_on_memory_allocate".into());
        }
        let exports = self.exports.get_or_init(|| exports);
        let root = self.root.clone();
        if exports.initialize.is_some() {
            self.call(&root, exports.initialize, &[]);
            // A reactor's main() sets up its SDK.
            if exports.main.is_some() {
                self.call(&root, exports.main, &[0, 0]);
            } else {
                self.call(&root, exports.main_void, &[]);
            }
        } else {
            self.call(&root, exports.start, &[]);
        }
        Ok(())
    }
}
