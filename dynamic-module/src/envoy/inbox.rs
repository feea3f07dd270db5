//! What threads have for each other. A VM is of one thread; what happens for it on another waits
//! in its thread's inbox until Envoy calls that thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use proxy_wasm_host::proxy::{CallEvent, RootId, VmId};

/// Names a plugin as configured.
pub(crate) type PluginId = u64;

/// Something to do on the thread that the inbox is of.
pub(crate) enum Message {
    /// The plugin's timer went off; the flag says that it is on its way.
    Tick(RootId, Arc<AtomicBool>),
    QueueReady(RootId, u32),
    /// Something arrived for a call that the VM made through the main thread.
    Call(VmId, u32, CallEvent),
    /// The plugin's configuration is gone.
    Remove(PluginId),
    /// To the main thread: the gauges of the VMs have changed.
    ShowVms,
}

/// Has Envoy call a thread soon.
pub(crate) trait Waker: Send + Sync {
    fn wake(&self);
}

/// A thread's inbox.
#[derive(Default)]
pub(crate) struct Inbox {
    messages: Mutex<Vec<Message>>,
    has_messages: AtomicBool,
    /// Those that can be used now; none if Envoy has no business with the thread.
    wakers: Mutex<Vec<Arc<dyn Waker>>>,
    /// Somebody may post.
    is_awaited: AtomicBool,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What these mutexes guard is changed in single steps.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inbox {
    /// Leaves a message, from any thread.
    pub(crate) fn post(&self, message: Message) {
        lock(&self.messages).push(message);
        self.has_messages.store(true, Ordering::Release);
        self.wake();
    }

    fn wake(&self) {
        let waker = lock(&self.wakers).last().cloned();
        // Not under the lock: Envoy may hold the last reference to what the waker is of, which
        // then ends on this thread.
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(crate) fn has_messages(&self) -> bool {
        self.has_messages.load(Ordering::Acquire)
    }

    /// All messages, in order. To be called on the inbox's thread.
    pub(crate) fn take(&self) -> Vec<Message> {
        self.has_messages.store(false, Ordering::Relaxed);
        std::mem::take(&mut *lock(&self.messages))
    }

    /// To be called before the inbox is given to somebody who may post.
    pub(crate) fn await_messages(&self) {
        self.is_awaited.store(true, Ordering::Relaxed);
    }

    /// Whether what is posted now will be read soon.
    pub(crate) fn is_reachable(&self) -> bool {
        !lock(&self.wakers).is_empty()
    }

    /// Whether a waker is of use.
    pub(crate) fn needs_waker(&self) -> bool {
        self.is_awaited.load(Ordering::Relaxed) && lock(&self.wakers).is_empty()
    }

    pub(crate) fn add_waker(&self, waker: Arc<dyn Waker>) {
        lock(&self.wakers).push(waker);
        if self.has_messages() {
            self.wake();
        }
    }

    pub(crate) fn remove_waker(&self, waker: &Arc<dyn Waker>) {
        lock(&self.wakers).retain(|it| !Arc::ptr_eq(it, waker));
    }
}
