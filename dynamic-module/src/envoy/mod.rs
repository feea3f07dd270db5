//! The front: an HTTP filter for Envoy's dynamic-module ABI.
//!
//! ```text
//!            main thread                        worker threads
//!   hooks ── config_new ──► FilterConfig        filter_new ──► Filter ──► host callbacks
//!                             │ WasmPlugin ◄──── one Instance per worker
//!   timers ─► scheduled ───►  │ Link  ◄───────── metrics, root calls, log
//! ```
//!
//! | module | what lives there |
//! |---|---|
//! | `abi` | declarations of Envoy's types and functions |
//! | `hooks`, `call_hooks`, `guard` | what Envoy calls; no panic passes |
//! | `plugin`, `footprint` | configuration, code, VMs of the workers, reload; memory given back |
//! | `link`, `metrics`, `timers` | the configuration's side of Envoy, from any thread |
//! | `calls` | HTTP and gRPC calls, as Envoy's HTTP streams |
//! | `filter`, `stream`, `remote` | one stream: its events, what the plugin asks of it |
//! | `handle`, `facts`, `body`, `local`, `properties` | its headers, bodies, own responses, properties |
//!
//! `unsafe` is at home in `abi` and the hooks, in `handle`, `calls` and `link`, which hold
//! Envoy's pointers, and in `footprint`.

mod abi;
mod body;
mod call_hooks;
mod calls;
mod facts;
mod filter;
mod footprint;
mod guard;
mod handle;
mod hooks;
mod link;
mod local;
mod metrics;
mod plugin;
mod properties;
mod remote;
mod stream;
mod timers;
