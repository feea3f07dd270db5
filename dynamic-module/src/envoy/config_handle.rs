//! Envoy's filter configuration, usable from any thread until it is gone.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use crate::envoy::abi::{self, ConfigPtr, SchedulerPtr};
use crate::envoy::inbox::Waker;

/// Envoy's pointers.
pub(crate) struct ConfigHandle {
    config: RwLock<Option<Config>>,
    /// The same as `config` being gone: streams ask, and should not wait.
    closed: AtomicBool,
    scheduler: Scheduler,
}

struct Config(ConfigPtr);

// SAFETY: Envoy's configuration is made for use from several threads as `ConfigHandle`'s users
// do it: metrics from any, the rest from the main thread.
unsafe impl Send for Config {}
// SAFETY: as above.
unsafe impl Sync for Config {}

/// Envoy's, which does nothing once its configuration is destroyed.
struct Scheduler(SchedulerPtr);

// SAFETY: Envoy's scheduler is made for use from any thread.
unsafe impl Send for Scheduler {}
// SAFETY: as above.
unsafe impl Sync for Scheduler {}

impl Drop for Scheduler {
    fn drop(&mut self) {
        // SAFETY: it was made in `ConfigHandle::new`, and this is its end.
        unsafe {
            abi::envoy_dynamic_module_callback_http_filter_config_scheduler_delete(self.0);
        }
    }
}

impl ConfigHandle {
    /// # Safety
    /// `config` is Envoy's filter configuration that is being created on this, the main
    /// thread, and is alive until [`Self::close`].
    pub(crate) unsafe fn new(config: ConfigPtr) -> Self {
        // SAFETY: by contract.
        let scheduler =
            unsafe { abi::envoy_dynamic_module_callback_http_filter_config_scheduler_new(config) };
        Self {
            config: RwLock::new(Some(Config(config))),
            closed: AtomicBool::new(false),
            scheduler: Scheduler(scheduler),
        }
    }

    /// Whether Envoy's configuration is gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Lets go of Envoy's configuration, before that goes. False if it had done so.
    pub(crate) fn close(&self) -> bool {
        if self.closed.swap(true, Ordering::Relaxed) {
            return false;
        }
        let mut config = self.config.write().unwrap_or_else(PoisonError::into_inner);
        *config = None;
        true
    }

    /// Uses Envoy's configuration; `None` if it is gone.
    pub(crate) fn with<T>(&self, f: impl FnOnce(ConfigPtr) -> T) -> Option<T> {
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner);
        config.as_ref().map(|it| f(it.0))
    }
}

/// Has Envoy call the main thread.
impl Waker for ConfigHandle {
    fn wake(&self) {
        // SAFETY: the scheduler is alive, and Envoy sees whether its configuration is.
        unsafe {
            abi::envoy_dynamic_module_callback_http_filter_config_scheduler_commit(
                self.scheduler.0,
                0,
            );
        }
    }
}
