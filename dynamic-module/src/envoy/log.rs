//! Envoy's log.

use proxy_wasm_host::abi::LogLevel;

use crate::envoy::abi;

/// Writes to it, from any thread.
pub(crate) fn log(level: LogLevel, message: &str) {
    let level = match level {
        LogLevel::Trace => abi::LogLevel::Trace,
        LogLevel::Debug => abi::LogLevel::Debug,
        LogLevel::Info => abi::LogLevel::Info,
        LogLevel::Warn => abi::LogLevel::Warn,
        LogLevel::Error => abi::LogLevel::Error,
        LogLevel::Critical => abi::LogLevel::Critical,
    };
    // SAFETY: the message lives during the call.
    unsafe { abi::envoy_dynamic_module_callback_log(level, message.as_bytes().into()) }
}
