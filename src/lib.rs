//! A WebAssembly runtime for Envoy's Proxy-Wasm, on wasmer.
//!
//! Two doors lead here: the C ABI (`ffi`), behind which a C++ adaptor makes this an
//! engine of proxy-wasm-cpp-host, and this Rust API, which the dynamic module uses.
//!
//! ```text
//! Module::load ─► Vm::new ─► Vm::define … ─► Vm::link ─► Vm::func ─► Vm::call
//!  compiled code   limits     host functions   instance    export      guest code
//! ```
//!
//! | module | what lives there |
//! |---|---|
//! | `engine`, `checks` | compiler, WebAssembly features, what is planted into compiled code |
//! | `module`, `imports`, `initial`, `names` | compiled code, and what else a module tells: imports, initial memory, functions' names |
//! | `serialize`, `cache` | compiled code as bytes and as files |
//! | `vm`, `instance`, `references`, `memory` | a VM, its store, its tables, its linear memory |
//! | `signature` | what types imports and exports may have |
//! | `call`, `stack`, `arch`, `libcalls` | entering the guest; what leaves it for the host and for wasmer |
//! | `signals` | whose fault is whose, beside the proxy's handlers and V8's |
//! | `interrupt`, `trap`, `error` | stopping a guest; what went wrong and where |
//! | `options` | limits and environment variables |
//! | `ffi` | the C ABI |
//!
//! `unsafe` is denied except in those that say, below, what they need it for.
#![deny(unsafe_code)]

#[expect(unsafe_code, reason = "the assembly of the calling path")]
mod arch;
#[expect(unsafe_code, reason = "asks libc for the user")]
mod cache;
#[expect(unsafe_code, reason = "the calling path")]
mod call;
#[cfg(feature = "cranelift")]
mod checks;
mod engine;
mod error;
#[expect(unsafe_code, reason = "the C ABI")]
pub mod ffi;
mod imports;
mod initial;
#[expect(unsafe_code, reason = "wasmer's low-level interface")]
mod instance;
#[expect(unsafe_code, reason = "flags that compiled code reads; a signal mask")]
mod interrupt;
#[expect(unsafe_code, reason = "the calling path of wasmer's own functions")]
mod libcalls;
#[expect(unsafe_code, reason = "mappings")]
mod memory;
mod module;
mod names;
mod options;
#[expect(unsafe_code, reason = "tables behind wasmer's low-level interface")]
mod references;
#[expect(unsafe_code, reason = "machine code is taken on trust")]
mod serialize;
#[expect(unsafe_code, reason = "signal handlers")]
mod signals;
mod signature;
#[expect(unsafe_code, reason = "the calling path")]
mod stack;
#[expect(unsafe_code, reason = "raises traps from the calling path")]
mod trap;
#[expect(unsafe_code, reason = "wasmer's low-level interface")]
mod vm;

pub use call::{FuncId, Value};
pub use engine::{VERSION, warm};
pub use error::{Code, Error, Result};
pub use imports::Import;
pub use module::{Module, Source};
pub use names::FunctionNames;
pub use options::Options;
pub use signature::MAX_HOST_PARAMS;
pub use vm::{HostFn, Terminator, Vm};
/// wasmer's name for value and function types.
pub use wasmer_types::{FunctionType, Type};
