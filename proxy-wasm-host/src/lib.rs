//! Proxy-Wasm plugins in a proxy that is written in Rust. The traits of [`proxy`] stand for the
//! proxy.
//!
//! ```text
//! Program ─► Vm::start ─► add_plugin ─► add_stream ─► headers, body, trailers …
//!  compiled   one per      root          stream        callbacks
//!   once      thread and   context       context
//!             VM key
//! ```
//!
//! A VM and all that belongs to it stay on the thread that started it; [`Program`] and
//! [`VmSettings`] may be shared. What other threads have for a VM, the proxy brings to its thread.
//!
//! From the top down:
//!
//! | module | what lives there |
//! |---|---|
//! | `start` | from code to a VM that runs |
//! | `hostcalls` | the functions that plugins import, by group |
//! | `lifecycle` | calling the plugin: its start and end, its streams, its HTTP and gRPC calls |
//! | `vm` | one VM: its contexts, its memory, its failure |
//! | `pending`, `context` | what it has under way; a root or a stream |
//! | `program`, `exports`, `sections` | compiled code with its imports resolved; the guest's callbacks |
//! | `shared` | data and queues that VMs share |
//! | [`proxy`] | the traits that a proxy implements |
//! | [`grpc`], `proto`, `pairs`, `abi`, `clock`, `host_function` | encodings and numbers |
//!
//! `unsafe` is at home in `vm::memory` (guest memory), `clock` (a system call), `start` and
//! `hostcalls::entry` (the way in from guest code).

pub mod abi;
pub mod clock;
mod context;
mod exports;
pub mod grpc;
mod host_function;
mod hostcalls;
mod lifecycle;
mod pairs;
mod pending;
mod program;
mod proto;
pub mod proxy;
mod sections;
mod shared;
mod start;
#[cfg(test)]
mod tests;
mod vm;

pub use context::Plugin;
pub use hostcalls::hostcalls;
pub use pairs::{Pairs, UsePairs, encode_pairs};
pub use program::{Program, precompiled_section};
pub use vm::{Vm, VmSettings};
