//! One VM: its contexts, calling it, and what happens when it fails.

pub(crate) mod memory;

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rust_wasm::{Limits, Value};

use crate::abi::{Direction, HostResult, LogLevel, MetricKind, Status};
use crate::context::{Context, Plugin};
use crate::exports::{Export, Exports, Optional};
use crate::pending::{Call, Deferred};
use crate::program::Program;
use crate::proxy::{CallResponse, Metric, RootId, Stream, StreamAction, VmId};
use crate::shared::Share;

/// What makes a VM the VM it is, besides its code.
#[derive(Default)]
pub struct VmSettings {
    /// Names the shared data and queues.
    pub vm_id: String,
    /// `vm_config.configuration`.
    pub configuration: Vec<u8>,
    /// Environment variables that the plugin sees.
    pub environment: Vec<(String, String)>,
    /// What the plugin may import and export; `None` for everything.
    pub allowed_capabilities: Option<HashSet<String>>,
    /// In place of the process's.
    pub limits: Limits,
}

impl VmSettings {
    pub(crate) fn allows(&self, capability: &str) -> bool {
        let allowed = self.allowed_capabilities.as_ref();
        allowed.is_none_or(|allowed| allowed.contains(capability))
    }
}

/// A root context's metric.
type MetricName = (u32, MetricKind, Vec<u8>);

/// A VM. It belongs to the thread that started it.
///
/// Everything takes `&self`, because hostcalls come back into the VM that is running.
/// No `RefCell` is borrowed while guest code runs or a stream is told to act.
pub struct Vm {
    id: VmId,
    pub(crate) runtime: rust_wasm::Vm,
    pub(crate) program: Arc<Program>,
    pub(crate) settings: Arc<VmSettings>,
    pub(crate) exports: OnceCell<Exports>,
    /// The context that stands for the VM itself.
    pub(crate) root: Rc<Context>,
    pub(crate) contexts: RefCell<BTreeMap<u32, Rc<Context>>>,
    last_context: Cell<u32>,
    /// Whose callback is running.
    current: RefCell<Rc<Context>>,
    /// On whose behalf, if another's; 0 for none.
    pub(crate) effective: Cell<u32>,
    depth: Cell<u32>,
    /// Start functions or the guest's allocator are running.
    pub(crate) restricted: Cell<bool>,
    /// A local response was asked for in this callback.
    pub(crate) stop_iteration: Cell<bool>,
    pub(crate) deferred: RefCell<VecDeque<Deferred>>,
    pub(crate) calls: RefCell<HashMap<u32, Call>>,
    /// How many calls there were.
    pub(crate) last_call: Cell<u32>,
    /// What the plugin can read of a response now.
    pub(crate) call_response: RefCell<Option<Rc<CallResponse>>>,
    pub(crate) call_status: RefCell<(u32, String)>,
    pub(crate) metrics: RefCell<Vec<Rc<dyn Metric>>>,
    /// By root context, kind and name.
    pub(crate) metric_ids: RefCell<HashMap<MetricName, u32>>,
    /// Properties that the plugin declared, and whether each can be set once only.
    pub(crate) declared: RefCell<HashMap<Vec<u8>, bool>>,
    _share: Share,
    failed: Cell<bool>,
    /// Bytes of linear memory, as of the last call.
    memory_bytes: Cell<usize>,
}

impl Vm {
    pub(crate) fn new(
        program: &Arc<Program>,
        settings: &Arc<VmSettings>,
        plugin: &Rc<Plugin>,
    ) -> Result<Self, String> {
        let mut options = program.options.clone();
        options.limit(&settings.limits);
        let runtime =
            rust_wasm::Vm::new(&program.module, &options).map_err(|error| error.to_string())?;
        let root = Rc::new(Context::root(0, plugin));
        static IDS: AtomicU64 = AtomicU64::new(0);
        let id = VmId(IDS.fetch_add(1, Ordering::Relaxed));
        Ok(Self {
            id,
            runtime,
            program: program.clone(),
            settings: settings.clone(),
            exports: OnceCell::new(),
            contexts: RefCell::default(),
            last_context: Cell::new(0),
            current: RefCell::new(root.clone()),
            root,
            effective: Cell::new(0),
            depth: Cell::new(0),
            restricted: Cell::new(false),
            stop_iteration: Cell::new(false),
            deferred: RefCell::default(),
            calls: RefCell::default(),
            last_call: Cell::new(0),
            call_response: RefCell::default(),
            call_status: RefCell::default(),
            metrics: RefCell::default(),
            metric_ids: RefCell::default(),
            declared: RefCell::default(),
            _share: Share::new(&settings.vm_id, id),
            failed: Cell::new(false),
            memory_bytes: Cell::new(0),
        })
    }

    pub(crate) fn exports(&self) -> Option<&Exports> {
        self.exports.get().filter(|_| !self.has_failed())
    }

    /// Names the VM on other threads, and when it is gone.
    pub fn id(&self) -> VmId {
        self.id
    }

    /// Whether the VM has failed. It stays failed.
    pub fn has_failed(&self) -> bool {
        self.failed.get()
    }

    pub(crate) fn current(&self) -> Rc<Context> {
        self.current.borrow().clone()
    }

    /// On whose behalf a hostcall is made.
    pub(crate) fn context(&self) -> Rc<Context> {
        let effective = self.effective.get();
        if effective != 0
            && let Some(context) = self.contexts.borrow().get(&effective)
        {
            return context.clone();
        }
        self.current()
    }

    pub(crate) fn new_context_id(&self) -> u32 {
        let mut id = self.last_context.get();
        loop {
            id = id.checked_add(1).unwrap_or(1);
            if !self.contexts.borrow().contains_key(&id) {
                self.last_context.set(id);
                return id;
            }
        }
    }

    /// Calls the plugin for `context`. `None` if it has no such function, or failed.
    /// What was deferred is not done yet: the caller looks at it first, and then calls
    /// [`Self::settle`].
    pub(crate) fn call(
        &self,
        context: &Rc<Context>,
        export: Optional,
        arguments: &[u32],
    ) -> Option<u32> {
        let export = export.filter(|_| !self.has_failed())?;
        let previous = self.current.replace(context.clone());
        let effective = self.effective.replace(0);
        self.depth.set(self.depth.get() + 1);
        let result = self.invoke(export, arguments);
        self.depth.set(self.depth.get() - 1);
        self.effective.set(effective);
        self.current.replace(previous);
        result
    }

    fn invoke(&self, export: Export, arguments: &[u32]) -> Option<u32> {
        let mut values = [Value::default(); 5];
        for (value, argument) in values.iter_mut().zip(arguments) {
            *value = Value::from(*argument);
        }
        match self.runtime.call(export.func, &mut values) {
            // SAFETY: every slot of a call over i32 holds one.
            Ok(()) => Some(unsafe { values[0].i32 }),
            Err(error) => {
                let mut text = format!("Function: {} failed: {}", export.name, error.message());
                if !error.backtrace().is_empty() {
                    text.push_str("\nProxy-Wasm plugin in-VM backtrace:\n");
                    text.push_str(error.backtrace());
                }
                self.fail(&text);
                None
            }
        }
    }

    /// Whether the plugin is in a callback.
    pub(crate) fn is_running(&self) -> bool {
        self.depth.get() > 0
    }

    pub(crate) fn note_memory(&self) {
        let (old, new) = (self.memory_bytes.get(), self.memory_size());
        if new > old {
            self.memory_bytes.set(new);
            self.root.plugin.proxy.memory_grown(new - old);
        }
    }

    /// Puts the VM out of use. Only the first failure counts.
    pub(crate) fn fail(&self, error: &str) {
        if !self.failed.replace(true) {
            self.current().plugin.proxy.vm_failed(self.id, error);
        }
    }

    /// Memory of the guest, from the guest's own allocator.
    pub(crate) fn allocate(&self, size: u32) -> HostResult<u32> {
        let exports = self.exports().ok_or(Status::InternalFailure)?;
        let malloc = exports.malloc.or(exports.memory_allocate);
        let malloc = malloc.ok_or(Status::InternalFailure)?;
        let outer = self.restricted.replace(true);
        let at = self.invoke(malloc, &[size]);
        self.restricted.set(outer);
        match at {
            None | Some(0) => Err(Status::InvalidMemoryAccess),
            Some(at) => Ok(at),
        }
    }

    pub(crate) fn log(&self, level: LogLevel, message: &[u8]) {
        let context = self.context();
        let plugin = &context.plugin;
        if level as u32 >= plugin.proxy.log_level() {
            let message = String::from_utf8_lossy(message);
            let prefix = if context.is_root() {
                &plugin.root_log_prefix
            } else {
                &plugin.log_prefix
            };
            plugin
                .proxy
                .log(level, &format!("wasm log{prefix}: {message}"));
        }
    }
}

/// Its contexts.
impl Vm {
    pub(crate) fn find(&self, id: u32) -> Option<Rc<Context>> {
        self.contexts.borrow().get(&id).cloned()
    }

    /// The root context of `context`, which may be gone.
    pub(crate) fn root_of(&self, context: &Rc<Context>) -> Rc<Context> {
        if context.is_root() {
            return context.clone();
        }
        self.find(context.root).unwrap_or_else(|| context.clone())
    }

    /// A name for the root of `context`.
    pub(crate) fn root_id(&self, context: &Context) -> RootId {
        RootId {
            vm: self.id,
            context: context.root,
        }
    }

    pub(crate) fn insert(&self, context: Context) -> Rc<Context> {
        let context = Rc::new(context);
        self.contexts
            .borrow_mut()
            .insert(context.id, context.clone());
        context
    }

    /// Makes a context for a stream. The plugin hears of it with the first callback.
    /// `None` if there is no such root.
    pub fn add_stream(&self, root: u32, stream: Weak<dyn Stream>) -> Option<u32> {
        let plugin = self.find(root)?.plugin.clone();
        let id = self.new_context_id();
        self.insert(Context::of_stream(id, root, &plugin, stream));
        Some(id)
    }
}

/// What waits until the plugin has returned.
impl Vm {
    pub(crate) fn defer(&self, deferred: Deferred) {
        self.deferred.borrow_mut().push_back(deferred);
    }

    /// Whether the plugin asked, in the callback that just ended, for this stream to go
    /// on in this direction. The callback's own result then says so.
    pub(crate) fn take_resume(&self, context: &Rc<Context>, direction: Direction) -> bool {
        let mut deferred = self.deferred.borrow_mut();
        if deferred.is_empty() {
            return false;
        }
        let before = deferred.len();
        deferred.retain(|it| {
            !matches!(it, Deferred::Stream(of, StreamAction::Resume(way))
                if Rc::ptr_eq(of, context) && *way == direction)
        });
        deferred.len() != before
    }
}
