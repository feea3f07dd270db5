//! What all extension points share: Envoy's ABI, the plugins, and the threads that they are on.
//!
//! ```text
//!   main thread                      each worker
//!   Thread ◄─── Inbox ◄─────────────► Inbox ───► Thread
//!    │ VMs, plugins                   VMs, plugins, streams
//!   Scope ◄──── calls, metrics ────── EnvoyProxy
//! ```
//!
//! A VM is of one thread, as in Envoy's own Wasm: one on the main thread, made with the
//! configuration, and one on each worker, made with its first stream. What one thread has for
//! another is a message in that one's inbox, which is read whenever Envoy calls the thread.
//! Envoy's ABI can be made to call a worker only for one of its streams: while a worker has none,
//! its timers wait, and others of the same VM hear of queues.
//!
//! From the top down:
//!
//! | module | what lives there |
//! |---|---|
//! | `plugin`, `footprint` | a plugin as configured: its code, its start on each thread; memory given back |
//! | `scope` | what a plugin has of Envoy outside of streams |
//! | `guard` | around each hook: no panic passes, and messages are read |
//! | `thread` | a thread's VMs, plugins and streams |
//! | `metrics`, `ticks`, `calls` | the plugin's and the module's metrics; timers; HTTP and gRPC calls as Envoy's HTTP streams |
//! | `config_handle` | Envoy's configuration, from any thread |
//! | `inbox`, `log`, `abi` | messages; Envoy's log; declarations of its types and functions |
//!
//! `unsafe` is at home in `abi`, `calls`, `config_handle` and `scope`, which hold Envoy's pointers
//! or call it, in `thread` (a look at a thread-local) and in `footprint`.

pub(crate) mod abi;
pub(crate) mod calls;
pub(crate) mod config_handle;
mod footprint;
pub(crate) mod guard;
pub(crate) mod inbox;
pub(crate) mod log;
pub(crate) mod metrics;
pub(crate) mod plugin;
pub(crate) mod scope;
pub(crate) mod thread;
pub(crate) mod ticks;
