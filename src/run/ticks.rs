//! The watchdog's time, and when a thread's last trap was. Whether a deadline had passed by
//! then cannot be asked later: to walk a deep stack takes longer than a tick.

use std::cell::Cell;

use crate::run::sync::{AtomicU64, Ordering, fence, process_wide};

process_wide! {
    static TICKS: AtomicU64 = AtomicU64::new(0);
}

thread_local! {
    static TRAP: Cell<u64> = const { Cell::new(0) };
}

/// Returns the time from now on.
pub(crate) fn advance() -> u64 {
    TICKS.fetch_add(1, Ordering::AcqRel) + 1
}

pub(crate) fn now() -> u64 {
    TICKS.load(Ordering::Relaxed)
}

/// To be called where a trap is raised. A flag that the guest has read was set at this time or
/// before.
pub(crate) fn note_trap() {
    fence(Ordering::Acquire);
    TRAP.set(now());
}

/// When this thread's last trap was.
pub(crate) fn of_trap() -> u64 {
    TRAP.get()
}
