//! No panic passes into Envoy, which would abort; and where hooks begin and end, what Envoy
//! has given before is forgotten.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::envoy::log::log;
use crate::envoy::thread;
use proxy_wasm_host::abi::LogLevel;

thread_local! {
    static HOOKS: Cell<u64> = const { Cell::new(0) };
}

/// Changes whenever a hook begins or ends on this thread, and with [`turn`]. What is kept of
/// Envoy's headers is good for as long as it does not.
pub(crate) fn hooks() -> u64 {
    HOOKS.get()
}

/// To be called when headers change inside of a hook, by us or by other filters.
pub(crate) fn turn() {
    HOOKS.set(HOOKS.get().wrapping_add(1));
}

thread_local! {
    /// How many hooks are on the stack.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// A hook that runs. It ends whatever unwinds.
struct Hook {
    is_outermost: bool,
}

impl Hook {
    fn begin() -> Self {
        turn();
        let outer = DEPTH.get();
        DEPTH.set(outer + 1);
        Self {
            is_outermost: outer == 0,
        }
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
        turn();
    }
}

/// Runs the body of a hook, and before the outermost one what others have left for this thread.
/// If the body panics, logs that and returns `fallback()`.
pub(crate) fn guard<T>(hook: &str, fallback: impl FnOnce() -> T, body: impl FnOnce() -> T) -> T {
    let running = Hook::begin();
    if running.is_outermost {
        contain("what was left for the thread", thread::run_messages);
    }
    contain(hook, body).unwrap_or_else(fallback)
}

/// The same for a hook of which no stream waits for the result. What was left meanwhile is done
/// too: Envoy may not call this thread again for long.
pub(crate) fn guard_last(hook: &str, body: impl FnOnce()) {
    guard(hook, || (), body);
    if DEPTH.get() == 0 {
        guard("what was left for the thread", || (), || ());
    }
}

/// What the body returns, if it does not panic.
pub(crate) fn contain<T>(what: &str, body: impl FnOnce() -> T) -> Option<T> {
    // What a panic leaves half-done belongs to one stream or one VM.
    let result = catch_unwind(AssertUnwindSafe(body));
    result
        .inspect_err(|payload| {
            let text = payload
                .downcast_ref::<&str>()
                .copied()
                .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
                .unwrap_or("no message");
            log(LogLevel::Critical, &format!("panic in {what}: {text}"));
        })
        .ok()
}
