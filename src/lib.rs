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
//! | `module`, `serialize`, `cache` | compiled code and its files |
//! | `vm`, `instance`, `references`, `memory` | a VM, its store, its tables, its linear memory |
//! | `call`, `stack`, `arch`, `libcalls` | entering the guest; what leaves it for the host and for wasmer |
//! | `signals` | whose fault is whose, beside the proxy's handlers and V8's |
//! | `interrupt`, `trap`, `error` | stopping a guest; what went wrong and where |
//! | `options` | limits and environment variables |
//! | `ffi` | the C ABI |
//!
//! `unsafe` is at home in `stack`, `arch` and `libcalls` (the calling path), `memory` (mappings), `signals`,
//! `instance`, `references` and `vm` (wasmer's low-level interface) and `ffi`.

mod arch;
mod cache;
mod call;
#[cfg(feature = "cranelift")]
mod checks;
mod engine;
mod error;
pub mod ffi;
mod instance;
mod interrupt;
mod libcalls;
mod memory;
mod module;
mod names;
mod options;
mod references;
mod serialize;
mod signals;
mod signature;
mod stack;
mod trap;
mod vm;

pub use call::Value;
pub use engine::{VERSION, warm};
pub use error::{Code, Error, Result};
pub use module::{Import, Module, Source};
pub use names::FunctionNames;
pub use options::Options;
pub use signature::MAX_HOST_PARAMS;
pub use vm::{FuncId, HostFn, Terminator, Vm};
/// wasmer's name for value and function types.
pub use wasmer_types::{FunctionType, Type};
