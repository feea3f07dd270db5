//! Contexts: the plugin (root) and its streams, as the VM numbers them.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use crate::proxy::{Proxy, Stream};

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
pub(crate) struct Context {
    pub(crate) id: u32,
    /// The root context of a stream; a root has itself.
    pub(crate) root: u32,
    pub(crate) plugin: Rc<Plugin>,
    /// The plugin knows of it.
    pub(crate) created: Cell<bool>,
    /// The plugin is being configured.
    pub(crate) configuring: Cell<bool>,
    /// The plugin asked to be deleted later, with `proxy_done`.
    pub(crate) pending_done: Cell<bool>,
    /// The calls of its stream's own that are under way.
    pub(crate) calls: RefCell<Vec<u32>>,
    stream: Option<Weak<dyn Stream>>,
}

impl Context {
    pub(crate) fn root(id: u32, plugin: &Rc<Plugin>) -> Self {
        Self::new(id, id, plugin, None)
    }

    pub(crate) fn of_stream(
        id: u32,
        root: u32,
        plugin: &Rc<Plugin>,
        stream: Weak<dyn Stream>,
    ) -> Self {
        Self::new(id, root, plugin, Some(stream))
    }

    fn new(id: u32, root: u32, plugin: &Rc<Plugin>, stream: Option<Weak<dyn Stream>>) -> Self {
        Self {
            id,
            root,
            plugin: plugin.clone(),
            created: Cell::new(false),
            configuring: Cell::new(false),
            pending_done: Cell::new(false),
            calls: RefCell::default(),
            stream,
        }
    }

    pub(crate) fn is_root(&self) -> bool {
        self.root == self.id
    }

    /// The proxy's stream, while it is there.
    pub(crate) fn stream(&self) -> Option<Rc<dyn Stream>> {
        self.stream.as_ref()?.upgrade()
    }
}
