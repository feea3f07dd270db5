//! What the assembly reads and writes.

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

/// A bound import: what compiled code passes to [`super::import_stub`] as the environment.
#[repr(C)]
pub(crate) struct HostBinding {
    /// `result fn(data, args...)`, C calling convention.
    pub(crate) function: *const (),
    pub(crate) data: *mut (),
    pub(crate) state: *mut CallState,
    /// Arguments that the C calling convention passes on the stack.
    pub(crate) stack_words: usize,
}

/// Where on a thread's parked stack the next call begins.
#[repr(C)]
pub(crate) struct Place {
    pub(crate) guest_sp: usize,
    /// Guest code is on the stack.
    pub(crate) busy: bool,
}
