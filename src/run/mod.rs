//! What happens while a plugin runs. Nothing here compiles.
//!
//! | file | what lives there |
//! |---|---|
//! | `vm` | a VM: its life, its limits, its host functions |
//! | `instance`, `references`, `memory` | its store, its tables, its linear memory |
//! | `call` | its exported functions: finding and calling them |
//! | `stack`, `arch`, `libcalls` | entering the guest; what leaves it for the host and for wasmer |
//! | `signals` | whose fault is whose, beside the proxy's handlers and V8's |
//! | `interrupt`, `trap` | stopping a guest; what it did wrong |
//! | `backtrace` | where it was; `readable`, `cplusplus`, `work`: what its functions are called, in bounded work |

use crate::error::{Result, contain};
use crate::load::engine::fingerprint;
use crate::options::Options;

#[expect(unsafe_code, reason = "the assembly of the calling path")]
pub(crate) mod arch;
pub(crate) mod backtrace;
#[expect(unsafe_code, reason = "the calling path")]
pub(crate) mod call;
pub(crate) mod cplusplus;
#[expect(unsafe_code, reason = "wasmer's low-level interface")]
pub(crate) mod instance;
#[expect(unsafe_code, reason = "flags that compiled code reads; a signal mask")]
pub(crate) mod interrupt;
#[expect(unsafe_code, reason = "the calling path of wasmer's own functions")]
pub(crate) mod libcalls;
#[expect(unsafe_code, reason = "mappings")]
pub(crate) mod memory;
pub(crate) mod readable;
#[expect(unsafe_code, reason = "tables behind wasmer's low-level interface")]
pub(crate) mod references;
#[expect(unsafe_code, reason = "signal handlers")]
pub(crate) mod signals;
#[expect(unsafe_code, reason = "the calling path")]
pub(crate) mod stack;
#[expect(unsafe_code, reason = "raises traps from the calling path")]
pub(crate) mod trap;
#[expect(unsafe_code, reason = "wasmer's low-level interface")]
pub(crate) mod vm;
pub(crate) mod work;

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
