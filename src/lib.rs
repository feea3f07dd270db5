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
//! The two times of a module's life are two folders: `load` is what happens once, when a
//! plugin is loaded, `run` what happens while VMs of it exist.
//!
//! From the top down; a file uses what lies below it, never above, as `tests/floors.rs`
//! sees to:
//!
//! | module | what lives there |
//! |---|---|
//! | `ffi` | the C ABI |
//! | `run` | VMs: instance, memory, tables; entering and leaving the guest; stopping it; traps and signals |
//! | `load` | modules: compiler and what is planted into code, imports, names, serialised code and its cache |
//! | `options`, `signature`, `variables` | limits and settings; what types imports and exports may have; the names of environment variables |
//! | `limits` | limits of single VMs, from a file |
//! | `error` | what went wrong and where |
//!
//! `unsafe` is denied except in those modules that say what they need it for.
#![deny(unsafe_code)]

mod error;
#[expect(unsafe_code, reason = "the C ABI")]
pub mod ffi;
mod limits;
mod load;
mod options;
mod run;
mod signature;
mod variables;

pub use error::{Code, Error, Result};
pub use limits::{Limits, VmLimits};
pub use load::engine::VERSION;
pub use load::imports::Import;
pub use load::module::{Module, Source};
pub use load::names::FunctionNames;
pub use options::Options;
pub use run::call::Value;
pub use run::link::HostFn;
pub use run::vm::{FuncId, Terminator, Vm};
pub use run::warm;
pub use signature::MAX_HOST_PARAMS;
pub use variables::take_warning;
/// wasmer's name for value and function types.
pub use wasmer_types::{FunctionType, Type};
