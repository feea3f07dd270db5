//! The HTTP filter.
//!
//! From the top down:
//!
//! | module | what lives there |
//! |---|---|
//! | `hooks`, `call_hooks` | what Envoy calls |
//! | `stream`, `properties` | what the plugin asks of a stream |
//! | `filter` | one stream: Envoy's filter on one side, a context of the plugin on the other |
//! | `filter_config` | what Envoy holds for a filter's configuration and a route's |
//! | `local_reply`, `body`, `attributes` | the plugin's own response; bodies; what Envoy knows of a stream |
//! | `envoy_filter`, `stream_times` | Envoy's filter in Rust's types; what it does not tell |
//!
//! `unsafe` is at home in the hooks and in `envoy_filter`, which holds Envoy's pointer.

mod attributes;
mod body;
mod call_hooks;
mod envoy_filter;
mod filter;
mod filter_config;
mod hooks;
mod local_reply;
mod properties;
mod stream;
mod stream_times;
