//! A Proxy-Wasm host on the runtime's Rust API. It knows nothing of Envoy: the traits
//! of `proxy` stand for whatever proxy runs it.
//!
//! ```text
//! Program ─► SharedVm::start ─► enter() ─► add_plugin ─► add_stream ─► request_headers …
//!  compiled    one per thread     lock       root context   stream context   callbacks
//!   once       and VM key
//! ```
//!
//! | module | what lives there |
//! |---|---|
//! | `abi`, `pairs` | numbers and encodings of the ABI |
//! | `proxy` | the traits that a proxy implements |
//! | `program`, `sections`, `exports` | compiled code with its imports resolved; the guest's callbacks |
//! | `vm`, `lock` | one VM: starting, calling, failing; who may use it |
//! | `memory`, `clock` | the guest's memory; the time |
//! | `context`, `callbacks` | contexts, and calling the plugin |
//! | `calls`, `grpc` | HTTP and gRPC calls that plugins make |
//! | `deferred` | what waits until the plugin has returned |
//! | `imports`, `proto` | the functions that plugins import; their arguments in protobuf |
//! | `shared` | data and queues that VMs share |
//!
//! `unsafe` is at home in `lock` (one thread at a time), `memory` (guest memory),
//! `clock` (a system call), `context` (the attached stream) and `imports::entry` (the way in from guest code).

pub mod abi;
mod callbacks;
mod calls;
pub(crate) mod clock;
mod context;
mod deferred;
mod exports;
pub mod grpc;
mod imports;
mod lock;
mod memory;
mod pairs;
mod program;
mod proto;
pub mod proxy;
mod sections;
mod shared;
#[cfg(test)]
mod tests;
mod vm;

pub use context::Plugin;
pub use lock::{Entered, SharedVm};
pub(crate) use pairs::encode_pairs;
pub use pairs::{Pairs, UsePairs};
pub use program::{Program, precompiled_section};
pub use vm::VmSettings;
