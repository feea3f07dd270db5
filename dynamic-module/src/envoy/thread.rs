//! What each of Envoy's threads has: its VMs, the plugins in them, its streams, and its inbox.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ptr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use proxy_wasm_host::Vm;
use proxy_wasm_host::proxy::{CallEvent, VmId};

use crate::envoy::config_handle::ConfigHandle;
use crate::envoy::inbox::{Inbox, Message, PluginId, Waker};
use crate::envoy::metrics::{self, CountedVm};
use crate::envoy::ticks;

/// What makes two plugins share a VM.
pub(crate) type VmKey = [u8; 32];

/// A VM, counted.
pub(crate) struct ThreadVm {
    pub(crate) vm: Rc<Vm>,
    _counted: Arc<CountedVm>,
}

impl ThreadVm {
    pub(crate) fn new(vm: Rc<Vm>, counted: Arc<CountedVm>) -> Self {
        Self {
            vm,
            _counted: counted,
        }
    }
}

impl Drop for ThreadVm {
    fn drop(&mut self) {
        ticks::forget(self.vm.id());
    }
}

/// A plugin in one of the thread's VMs, for as long as somebody needs it.
pub(crate) struct Instance {
    pub(crate) vm: Rc<ThreadVm>,
    pub(crate) root: u32,
    /// Where its metrics, ticks and calls are.
    pub(crate) config: Arc<ConfigHandle>,
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.vm.vm.remove_plugin(self.root);
    }
}

/// A plugin on this thread.
#[derive(Default)]
pub(crate) struct Started {
    pub(crate) instance: Option<Rc<Instance>>,
    pub(crate) last_start: Option<Instant>,
}

/// A stream that Envoy can be made to call.
pub(crate) trait LiveStream {
    /// Its place among the thread's.
    fn place(&self) -> &Cell<usize>;
    fn waker(&self) -> Arc<dyn Waker>;
}

#[derive(Default)]
pub(crate) struct Thread {
    pub(crate) inbox: Arc<Inbox>,
    vms: RefCell<HashMap<VmKey, Weak<ThreadVm>>>,
    plugins: RefCell<HashMap<PluginId, Started>>,
    streams: RefCell<Vec<Weak<dyn LiveStream>>>,
    /// The stream that wakes this thread, with its waker.
    waking: RefCell<Option<(*const (), Arc<dyn Waker>)>>,
}

thread_local! {
    static THREAD: Thread = {
        // The runtime's own thread-locals first, so that they are still there when the
        // plugins end with the thread.
        let _ = rust_wasm::warm();
        let thread = Thread::default();
        INBOX.set(Arc::as_ptr(&thread.inbox));
        thread
    };
    /// `THREAD`'s, for a quick look. Null before it is needed and after its end.
    static INBOX: Cell<*const Inbox> = const { Cell::new(ptr::null()) };
}

impl Drop for Thread {
    fn drop(&mut self) {
        INBOX.set(ptr::null());
        let plugins = std::mem::take(&mut *self.plugins.borrow_mut());
        drop(plugins);
    }
}

/// This thread's; `None` while the thread ends.
pub(crate) fn with<T>(f: impl FnOnce(&Thread) -> T) -> Option<T> {
    THREAD.try_with(f).ok()
}

/// Does what others have left for this thread. Not from within a plugin's callback.
pub(crate) fn run_messages() {
    // SAFETY: null, or in `THREAD`, which is there.
    let has = unsafe { INBOX.get().as_ref() }.is_some_and(Inbox::has_messages);
    if has {
        with(Thread::run_messages);
    }
}

impl Thread {
    fn run_messages(&self) {
        for message in self.inbox.take() {
            match message {
                Message::Tick(root, on_its_way) => {
                    on_its_way.store(false, Ordering::Relaxed);
                    if let Some(vm) = self.vm(root.vm) {
                        vm.vm.tick(root.context);
                    }
                }
                Message::QueueReady(root, token) => {
                    if let Some(vm) = self.vm(root.vm) {
                        vm.vm.queue_ready(root.context, token);
                    }
                }
                Message::Call(vm, token, event) => self.call_event(vm, token, event),
                Message::Remove(plugin) => self.remove(plugin),
                Message::ShowVms => metrics::show_vms(),
            }
        }
    }

    /// The VM, if it is there.
    fn vm(&self, id: VmId) -> Option<Rc<ThreadVm>> {
        let vms = self.vms.borrow();
        let mut vms = vms.values().filter_map(Weak::upgrade);
        vms.find(|it| it.vm.id() == id)
    }

    /// A VM of that key that has not failed.
    pub(crate) fn live_vm(&self, key: &VmKey) -> Option<Rc<ThreadVm>> {
        let vm = self.vms.borrow().get(key)?.upgrade()?;
        (!vm.vm.has_failed()).then_some(vm)
    }

    /// Has the VM found, in place of one of the same key that has failed.
    pub(crate) fn insert_vm(&self, key: VmKey, vm: &Rc<ThreadVm>) {
        let mut vms = self.vms.borrow_mut();
        vms.retain(|_, vm| vm.strong_count() > 0);
        vms.insert(key, Rc::downgrade(vm));
    }

    pub(crate) fn call_event(&self, vm: VmId, token: u32, event: CallEvent) {
        if let Some(vm) = self.vm(vm) {
            vm.vm.call_event(token, event);
        }
    }

    /// Uses what there is of a plugin.
    pub(crate) fn with_plugin<T>(&self, id: PluginId, f: impl FnOnce(&mut Started) -> T) -> T {
        f(self.plugins.borrow_mut().entry(id).or_default())
    }

    /// Ends a plugin here, once its streams have ended.
    pub(crate) fn remove(&self, id: PluginId) {
        let removed = self.plugins.borrow_mut().remove(&id);
        // It ends in the plugin, which may come back here.
        drop(removed);
    }

    /// To be called when a stream has its plugin.
    pub(crate) fn add_stream(&self, stream: &Rc<impl LiveStream + 'static>) {
        let mut streams = self.streams.borrow_mut();
        stream.place().set(streams.len());
        let weak: Weak<dyn LiveStream> = Rc::downgrade(stream) as _;
        streams.push(weak);
        drop(streams);
        self.find_waker();
    }

    /// To be called before such a stream ends.
    pub(crate) fn remove_stream(&self, stream: &(impl LiveStream + 'static)) {
        let place = stream.place().get();
        let mut streams = self.streams.borrow_mut();
        streams.swap_remove(place);
        if let Some(moved) = streams.get(place).and_then(Weak::upgrade) {
            moved.place().set(place);
        }
        drop(streams);
        let address: *const () = ptr::from_ref(stream).cast();
        let of_this = |it: &mut (*const (), Arc<dyn Waker>)| it.0 == address;
        let waking = self.waking.borrow_mut().take_if(of_this);
        if let Some((_, waker)) = waking {
            self.inbox.remove_waker(&waker);
            self.find_waker();
        }
    }

    /// Has one of the streams wake this thread, if somebody may want to.
    pub(crate) fn find_waker(&self) {
        if !self.inbox.needs_waker() {
            return;
        }
        let stream = self.streams.borrow().last().and_then(Weak::upgrade);
        if let Some(stream) = stream {
            let waker = stream.waker();
            let address: *const () = Rc::as_ptr(&stream).cast();
            self.waking.replace(Some((address, waker.clone())));
            self.inbox.add_waker(waker);
        }
    }
}
