//! Proxy-Wasm plugins in an unmodified Envoy.
//!
//! | half | what it is |
//! |---|---|
//! | [`host`] | a Proxy-Wasm host on the runtime's Rust API; it knows nothing of Envoy |
//! | `envoy` | the front for Envoy's dynamic-module ABI: an HTTP filter |
//!
//! [`config`] is the filter's configuration, in the shape of Envoy's Wasm filter.

pub mod config;
#[cfg(not(test))]
mod envoy;
pub mod host;
