//! What an import is bound to.

use rust_wasm::{FunctionType, HostFn, Type};

/// A host function, ready to be bound to an import.
#[derive(Clone, Copy)]
pub(crate) struct HostFunction {
    pub(crate) name: &'static str,
    pub(crate) params: &'static [Type],
    pub(crate) results: &'static [Type],
    pub(crate) allowed: HostFn,
    pub(crate) denied: HostFn,
}

// SAFETY: the pointers are to functions.
unsafe impl Send for HostFunction {}
// SAFETY: as above.
unsafe impl Sync for HostFunction {}

impl HostFunction {
    pub(crate) fn ty(&self) -> FunctionType {
        FunctionType::new(self.params, self.results)
    }

    /// What to call, if the VM may use the function or not.
    pub(crate) fn entry(&self, allowed: bool) -> HostFn {
        if allowed { self.allowed } else { self.denied }
    }
}
