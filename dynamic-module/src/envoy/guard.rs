//! No panic passes into Envoy, which would abort; and where hooks begin and end, what Envoy
//! has given before is forgotten.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::link;
use crate::host::abi::LogLevel;

thread_local! {
    static HOOKS: Cell<u64> = const { Cell::new(0) };
}

/// Changes whenever a hook begins or ends on this thread, and with [`turn`]. What is kept of
/// Envoy's headers is good for as long as it does not.
pub(super) fn hooks() -> u64 {
    HOOKS.get()
}

/// To be called when headers change inside of a hook, by us or by other filters.
pub(super) fn turn() {
    HOOKS.set(HOOKS.get().wrapping_add(1));
}

/// Ends a hook, whatever unwinds.
struct Hook;

impl Drop for Hook {
    fn drop(&mut self) {
        turn();
    }
}

/// Runs the body of a hook; if it panics, logs that and returns `fallback`.
pub(super) fn guard<T>(hook: &str, fallback: T, body: impl FnOnce() -> T) -> T {
    turn();
    let _hook = Hook;
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
