//! Who may use a VM: one thread at a time, as often nested as it likes.
//!
//! A VM belongs to a worker, but a tick or a queue's wake-up may come from another
//! thread. And the proxy can come back into a VM that is running on this very thread,
//! when a plugin's hostcall makes it act on another stream.

use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::context::Plugin;
use super::program::Program;
use super::vm::{Vm, VmSettings};

/// A VM that threads share.
pub struct SharedVm {
    lock: Mutex<()>,
    /// The thread that holds the lock, by the address of a thread-local.
    owner: AtomicUsize,
    vm: Vm,
}

// SAFETY: `vm` is reached through `Entered` only, which exists on one thread at a time.
unsafe impl Send for SharedVm {}
// SAFETY: as above.
unsafe impl Sync for SharedVm {}

/// The right to use a VM on this thread.
pub struct Entered<'a> {
    vm: &'a Vm,
    _outermost: Option<Release<'a>>,
}

struct Release<'a> {
    owner: &'a AtomicUsize,
    _guard: MutexGuard<'a, ()>,
}

impl Drop for Release<'_> {
    fn drop(&mut self) {
        self.owner.store(0, Ordering::Relaxed);
    }
}

/// The running thread's mark: a comparison of thread ids would cost more than the rest of
/// a small hostcall.
pub(super) fn this_thread() -> usize {
    thread_local!(static MARK: u8 = const { 0 });
    MARK.with(|mark| std::ptr::from_ref(mark).addr())
}

impl SharedVm {
    /// Makes a VM and runs its start functions; `plugin` is whose log its messages go
    /// to while it has no context.
    ///
    /// # Errors
    /// What went wrong, in a sentence.
    pub fn start(
        program: &Arc<Program>,
        settings: &Arc<VmSettings>,
        plugin: &Arc<Plugin>,
    ) -> Result<Arc<Self>, String> {
        let vm = Vm::new(program, settings, plugin)?;
        let shared = Arc::new(Self {
            lock: Mutex::new(()),
            owner: AtomicUsize::new(0),
            vm,
        });
        shared.enter().vm.start(Arc::downgrade(&shared))?;
        Ok(shared)
    }

    /// Waits until no other thread uses the VM.
    pub fn enter(&self) -> Entered<'_> {
        let this = this_thread();
        // Only this thread writes its own mark, so relaxed is enough to see it.
        if self.owner.load(Ordering::Relaxed) == this {
            return Entered {
                vm: &self.vm,
                _outermost: None,
            };
        }
        let guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.owner.store(this, Ordering::Relaxed);
        Entered {
            vm: &self.vm,
            _outermost: Some(Release {
                owner: &self.owner,
                _guard: guard,
            }),
        }
    }

    /// Whether the VM has failed. It stays failed.
    pub fn has_failed(&self) -> bool {
        self.vm.failed.load(Ordering::Relaxed)
    }
}

impl Deref for Entered<'_> {
    type Target = Vm;

    fn deref(&self) -> &Vm {
        self.vm
    }
}
