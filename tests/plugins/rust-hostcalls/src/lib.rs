//! One plugin for the end-to-end tests in tests/envoy: the plugin configuration names the
//! group of host calls that a listener exercises, and request headers say what to do. What
//! the plugin sees goes into its log, which the tests compare between engines.

mod groups;
mod grpc;
mod http;
mod late;
mod root;
mod system;

use proxy_wasm::types::LogLevel;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Trace);
    proxy_wasm::set_root_context(|_| Box::new(root::Root::default()));
}}

/// A printable form of whatever bytes the host returned.
fn show(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => format!("'{text}'"),
        _ => bytes.iter().fold("0x".into(), |s, b| format!("{s}{b:02x}")),
    }
}

fn show_option(bytes: Option<Vec<u8>>) -> String {
    bytes.map_or("none".into(), |bytes| show(&bytes))
}
