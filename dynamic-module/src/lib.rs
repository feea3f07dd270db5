//! Proxy-Wasm plugins in an unmodified Envoy: what Envoy's dynamic-module ABI asks for, on
//! the host of `proxy_wasm_host`.
//!
//! | part | what it is |
//! |---|---|
//! | `http` | the HTTP filter; other extension points find their place beside it |
//! | `envoy` | what all of them share: Envoy's ABI, the plugins, and the threads that they are on |
//! | [`config`] | a plugin's configuration, in the shape of Envoy's Wasm filter |

pub mod config;
#[cfg(not(test))]
mod envoy;
#[cfg(not(test))]
mod http;
