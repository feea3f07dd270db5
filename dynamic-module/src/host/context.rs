//! Contexts: the plugin (root) and its streams, as the VM numbers them.

use std::cell::Cell;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::Arc;

use super::lock::this_thread;
use super::proxy::{Proxy, RemoteStream, Stream, Target};
use super::vm::Vm;

/// A plugin: its configuration, and the proxy as it sees it.
pub struct Plugin {
    /// `name` of the configuration.
    pub name: String,
    /// `root_id`: which of the module's roots it is.
    pub root_id: String,
    /// `configuration`.
    pub configuration: Vec<u8>,
    /// Pass `StopIteration` on to the proxy as it is.
    pub allow_on_headers_stop_iteration: bool,
    /// Stands before each message in the log that a stream's context writes.
    pub log_prefix: String,
    /// The same for the root context.
    pub root_log_prefix: String,
    /// The proxy.
    pub proxy: Box<dyn Proxy>,
}

/// A context.
pub(super) struct Context {
    pub(super) id: u32,
    /// The root context of a stream; a root has itself.
    pub(super) root: u32,
    pub(super) plugin: Arc<Plugin>,
    /// The plugin knows of it.
    pub(super) created: Cell<bool>,
    /// The plugin is being configured.
    pub(super) configuring: Cell<bool>,
    /// The plugin asked to be deleted later, with `proxy_done`.
    pub(super) pending_done: Cell<bool>,
    attached: Cell<Option<NonNull<dyn Stream>>>,
    /// See [`this_thread`].
    thread: usize,
}

impl Context {
    pub(super) fn root(id: u32, plugin: &Arc<Plugin>) -> Self {
        Self {
            id,
            root: id,
            plugin: plugin.clone(),
            created: Cell::new(false),
            configuring: Cell::new(false),
            pending_done: Cell::new(false),
            attached: Cell::new(None),
            thread: this_thread(),
        }
    }

    pub(super) fn is_root(&self) -> bool {
        self.root == self.id
    }

    /// The stream, if this is its thread.
    pub(super) fn stream(&self) -> Option<&dyn Stream> {
        let attached = self.attached.get()?;
        if self.thread != this_thread() {
            return None;
        }
        // SAFETY: `Vm::add_stream`'s caller keeps it alive until it is detached.
        Some(unsafe { attached.as_ref() })
    }

    /// The stream, from any thread that has entered the VM.
    pub(super) fn remote(&self) -> Option<Arc<dyn RemoteStream>> {
        // SAFETY: as above: to detach it, its own thread must enter the VM.
        unsafe { self.attached.get()?.as_ref() }.remote()
    }

    pub(super) fn detach(&self) {
        self.attached.set(None);
    }
}

impl Vm {
    pub(super) fn find(&self, id: u32) -> Option<Rc<Context>> {
        self.contexts.borrow().get(&id).cloned()
    }

    /// The root context of `context`, which may be gone.
    pub(super) fn root_of(&self, context: &Rc<Context>) -> Rc<Context> {
        if context.is_root() {
            return context.clone();
        }
        self.find(context.root).unwrap_or_else(|| context.clone())
    }

    /// A name for the root of `context`.
    pub(super) fn target(&self, context: &Context) -> Target {
        Target {
            vm: self.this(),
            context: context.root,
        }
    }

    pub(super) fn insert(&self, context: Context) -> Rc<Context> {
        let context = Rc::new(context);
        self.contexts
            .borrow_mut()
            .insert(context.id, context.clone());
        context
    }

    /// Makes a context for a stream of this thread. The plugin hears of it with the
    /// first callback.
    ///
    /// # Safety
    /// `stream` stays where it is and alive until [`Vm::delete_stream`] or
    /// [`Vm::abandon_stream`] has been called for the context.
    pub unsafe fn add_stream(&self, root: u32, stream: NonNull<dyn Stream>) -> Option<u32> {
        let plugin = self.find(root)?.plugin.clone();
        let id = self.new_context_id();
        self.insert(Context {
            id,
            root,
            plugin,
            created: Cell::new(false),
            configuring: Cell::new(false),
            pending_done: Cell::new(false),
            attached: Cell::new(Some(stream)),
            thread: this_thread(),
        });
        Some(id)
    }
}
