//! No panic passes into Envoy, which would abort.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::link;
use crate::host::abi::LogLevel;

/// Runs the body of a hook; if it panics, logs that and returns `fallback`.
pub(super) fn guard<T>(hook: &str, fallback: T, body: impl FnOnce() -> T) -> T {
    // What a panic leaves half-done belongs to one stream or one VM.
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| {
        let text = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no message");
        link::log(LogLevel::Critical, &format!("panic in {hook}: {text}"));
        fallback
    })
}
