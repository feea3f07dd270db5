//! The assembly: changing stacks, and the stubs between guest and host. One file per
//! architecture, with the same functions in each:
//!
//! | function | does |
//! |---|---|
//! | `boot` | calls `function(argument)` on another stack; comes back through `leave` or `switch` to the frame saved in `*host_sp` |
//! | `enter` | calls the guest on the parked stack |
//! | `call_here` | calls the guest on the current stack |
//! | `switch` | leaves this stack, remembering where in `*save`, for the frame at `to` |
//! | `leave` | leaves this stack for good, for the frame at `to` |
//! | `import_stub` | what compiled code calls for every import, whatever its type: passes the call on to the host function with `data` in place of the environment, on the host stack. Argument registers go through untouched, stack arguments are copied |
//! | `library_stub`, `library_call` | calls a library function of wasmer's if there is room (`libcalls` says why there may be none); all arguments pass through |
//!
//! `boot`, `enter` and `switch` leave the same frame on the stack that they leave: the
//! registers that a function preserves, and one word. The stack pointer is then aligned
//! to 16, and is what `host_sp` and `guest_sp` hold. `switch` and `leave` resume such a
//! frame, and return an [`Exit`]: how, and that one word.
//!
//! When the guest returns, `enter` restores `host_sp` and `busy`: doing so there keeps
//! the caller's frame small. What it needs for that lies on the guest stack, where the
//! stack pointer finds it without waiting for registers that the guest saved and
//! reloads. It loads no others: the guest has preserved them.
//!
//! What compiled code calls may overflow the guest stack, which is a trap only within the
//! [`stub_ranges`]. So before these call what asks for room, or raises a trap for want of
//! it, they touch the next 8 KiB of the stack, page by page, of which those use little.
//!
//! Unwinding must stop at `enter`, `boot` and `call_here`: a guest's exception that
//! nobody catches must not be offered to the proxy's handlers. Hence the undefined
//! return address. Through `import_stub` it may go on, so that a crash in a host
//! function shows the guest's frames.

use std::ops::Range;

use wasmer_types::Type;

#[cfg(target_arch = "aarch64")]
mod aarch64;
mod called;
mod state;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
use aarch64 as this;
#[cfg(target_arch = "x86_64")]
use x86_64 as this;

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("src/arch has no context switch for this architecture yet");

pub(crate) use called::{COUNT, TARGETS};
pub(crate) use state::{CallState, HostBinding, Place};
pub(crate) use this::{boot, call_here, enter, import_stub, leave, library_stub, switch};

/// Where the stubs lie.
pub(crate) fn stub_ranges() -> [Range<usize>; 2] {
    unsafe extern "C" {
        // Labels at the ends of the stubs.
        fn envoy_wasm_runtime_import_stub_end();
        fn envoy_wasm_runtime_library_call_end();
    }
    let range = |start: unsafe extern "C" fn(), end: unsafe extern "C" fn()| {
        start as *const () as usize..end as *const () as usize
    };
    [
        range(import_stub, envoy_wasm_runtime_import_stub_end),
        range(this::library_call, envoy_wasm_runtime_library_call_end),
    ]
}

/// How `enter` ended.
#[repr(C)]
pub(crate) struct Exit {
    pub(crate) trapped: usize,
    /// After a trap: the outer `host_sp`.
    pub(crate) outer_sp: usize,
}

/// The number of arguments that the C calling convention passes on the stack for
/// `fn(data, params...)`, one word each. One integer register is `data`'s.
pub(crate) fn stack_words(params: &[Type]) -> usize {
    let is_float = |ty: &&Type| matches!(ty, Type::F32 | Type::F64);
    let floats = params.iter().filter(is_float).count();
    let integers = params.len() - floats;
    integers.saturating_sub(this::INTEGER_REGISTERS - 1)
        + floats.saturating_sub(this::FLOAT_REGISTERS)
}
