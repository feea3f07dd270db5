//! What threads do with each other in `interrupt` and `ticks`. `tests/loom` has loom's of the
//! same names, which runs threads in every order that the memory model allows.

pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
pub(crate) use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

macro_rules! process_wide {
    ($($(#[$doc:meta])* static $name:ident: $ty:ty = $value:expr;)*) => {
        $($(#[$doc])* static $name: $ty = $value;)*
    };
}
pub(crate) use process_wide;
