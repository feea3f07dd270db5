//! In place of the runtime's.

pub(crate) use std::sync::PoisonError;

pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
pub(crate) use loom::sync::{Arc, Condvar, Mutex, MutexGuard};

macro_rules! process_wide {
    ($($(#[$doc:meta])* static $name:ident: $ty:ty = $value:expr;)*) => {
        loom::lazy_static! { $($(#[$doc])* static ref $name: $ty = $value;)* }
    };
}
pub(crate) use process_wide;
