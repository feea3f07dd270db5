//! A stream from another thread.

use std::sync::Mutex;

use super::abi::{self, SchedulerPtr};
use super::handle::Handle;
use super::link::lock;
use crate::host::proxy::{RemoteStream, StreamAction};

/// Asks a stream for actions, if it is still there.
pub(super) struct Remote {
    scheduler: SchedulerPtr,
    actions: Mutex<Vec<StreamAction>>,
}

// SAFETY: Envoy's scheduler is made for use from any thread.
unsafe impl Send for Remote {}
// SAFETY: as above.
unsafe impl Sync for Remote {}

impl Remote {
    pub(super) fn new(handle: &Handle) -> Self {
        // SAFETY: the filter is alive, and Envoy counts references to it atomically.
        let scheduler = unsafe {
            abi::envoy_dynamic_module_callback_http_filter_scheduler_new(handle.as_ptr())
        };
        Self {
            scheduler,
            actions: Mutex::default(),
        }
    }
}

impl Remote {
    /// What was asked for meanwhile.
    pub(super) fn take(&self) -> Vec<StreamAction> {
        std::mem::take(&mut *lock(&self.actions))
    }
}

impl RemoteStream for Remote {
    fn act(&self, action: StreamAction) {
        lock(&self.actions).push(action);
        // SAFETY: the scheduler is alive; Envoy sees whether its filter is.
        unsafe {
            abi::envoy_dynamic_module_callback_http_filter_scheduler_commit(self.scheduler, 0);
        }
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        // SAFETY: it was made in `new`, and this is its end.
        unsafe {
            abi::envoy_dynamic_module_callback_http_filter_scheduler_delete(self.scheduler);
        }
    }
}
