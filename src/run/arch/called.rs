//! What the stubs call, on the guest stack.

use std::sync::atomic::AtomicUsize;

use wasmer_types::VMBuiltinFunctionIndex;

use super::CallState;
use crate::run::guest_stack;
use crate::run::payload::{HostTrap, NoRoom};

/// How many library functions wasmer has.
pub(crate) const COUNT: usize = VMBuiltinFunctionIndex::builtin_functions_total_number() as usize;

/// The stubs' targets: wasmer's own functions, or what the runtime puts
/// in their place (`libcalls`).
pub(crate) static TARGETS: [AtomicUsize; COUNT] = [const { AtomicUsize::new(0) }; COUNT];

/// Whether a library function may start at this stack pointer.
pub(crate) extern "C" fn has_room(sp: usize) -> bool {
    guest_stack::room(sp) > 0
}

pub(crate) unsafe extern "C" fn raise_no_room() {
    // SAFETY: called by a stub, so guest code is on the stack and only its frames
    // are abandoned.
    unsafe { wasmer_vm::raise_user_trap(Box::new(NoRoom)) };
}

/// Unwinds the guest because a host function asked for it. Called by `import_stub`
/// on the guest stack.
pub(crate) unsafe extern "C" fn raise_pending(state: *mut CallState) {
    // SAFETY: the stub passes its VM's state, alive while the VM runs. Only guest
    // frames and the stub lie below `catch_traps`, so no destructor is skipped.
    unsafe {
        (*state).trap_pending = 0;
        wasmer_vm::raise_user_trap(Box::new(HostTrap));
    }
}
