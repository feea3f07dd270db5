//! What happens while a plugin runs. Nothing here compiles.
//!
//! From the top down:
//!
//! | file | what lives there |
//! |---|---|
//! | `link` | a VM's host functions and its start |
//! | `call` | its exported functions |
//! | `vm` | what it consists of, and its life |
//! | `instance` | its store |
//! | `tables`, `memory` | its tables, its linear memory |
//! | `stack`, `trap` | entering the guest; what it did wrong there |
//! | `libcalls` | what leaves it for wasmer |
//! | `bulk`, `interrupt` | large operations on its memory, in pieces; stopping it |
//! | `arch` | the assembly of both, and of what leaves it for the host |
//! | `backtrace` | where that was, in bounded work |
//! | `signals` | whose fault is whose, beside the proxy's handlers and V8's: of the process, so `load` uses it too |
//! | `guest_stack`, `code`, `ticks` | where the guest stack is that a thread runs on; where code is whose faults are traps; when they were |
//! | `payload` | what traps carry |
//! | `sync` | atomics and locks, of which a test has others |
//! | `stable` | values that stay where they are |

use crate::error::{Result, contain};
use crate::load::engine::fingerprint;
use crate::options::Options;

#[expect(unsafe_code, reason = "the assembly of the calling path")]
pub(crate) mod arch;
pub(crate) mod backtrace;
#[expect(unsafe_code, reason = "the calling path of wasmer's own functions")]
pub(crate) mod bulk;
#[expect(unsafe_code, reason = "the calling path")]
pub(crate) mod call;
pub(crate) mod code;
pub(crate) mod guest_stack;
#[expect(unsafe_code, reason = "wasmer's low-level interface")]
pub(crate) mod instance;
#[expect(unsafe_code, reason = "flags that compiled code reads; a signal mask")]
pub(crate) mod interrupt;
#[expect(unsafe_code, reason = "the calling path of wasmer's own functions")]
pub(crate) mod libcalls;
#[expect(unsafe_code, reason = "host functions behind pointers")]
pub(crate) mod link;
#[expect(unsafe_code, reason = "mappings")]
pub(crate) mod memory;
mod payload;
#[expect(unsafe_code, reason = "signal handlers")]
pub(crate) mod signals;
#[expect(unsafe_code, reason = "owns through a raw pointer")]
pub(crate) mod stable;
#[expect(unsafe_code, reason = "the calling path")]
pub(crate) mod stack;
mod sync;
#[expect(unsafe_code, reason = "tables behind wasmer's low-level interface")]
pub(crate) mod tables;
pub(crate) mod ticks;
pub(crate) mod trap;
#[expect(unsafe_code, reason = "wasmer's low-level interface")]
pub(crate) mod vm;

/// Does the process's first-time work: signal handlers, CPU detection, and this
/// thread's guest stack. Later loads and calls find it done. Idempotent.
///
/// # Errors
/// [`crate::Code::Resource`] if no stack can be mapped.
pub fn warm() -> Result<()> {
    contain(|| {
        signals::install();
        fingerprint();
        let guest_stack_bytes = Options::from_env()?.guest_stack_bytes;
        stack::warm(guest_stack_bytes).map_err(|fault| call::stack_error(*fault))
    })
}
