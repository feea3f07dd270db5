//! One VM: starting it, calling it, and what happens when it fails.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use rust_wasm::{Limits, Value};

use super::abi::{HostResult, LogLevel, Status};
use super::calls::Call;
use super::context::{Context, Plugin};
use super::deferred::Deferred;
use super::exports::{Export, Exports, Optional};
use super::lock::SharedVm;
use super::program::Program;
use super::proxy::{CallResponse, Metric};
use super::shared::Share;

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
    fn allows(&self, capability: &str) -> bool {
        let allowed = self.allowed_capabilities.as_ref();
        allowed.is_none_or(|allowed| allowed.contains(capability))
    }
}

/// A VM; see [`SharedVm`] for how to get at it.
///
/// Everything takes `&self`, because hostcalls come back into the VM that is running.
/// No `RefCell` is borrowed while guest code runs or a stream is told to act.
pub struct Vm {
    pub(super) runtime: rust_wasm::Vm,
    pub(super) program: Arc<Program>,
    pub(super) settings: Arc<VmSettings>,
    exports: OnceCell<Exports>,
    this: OnceCell<Weak<SharedVm>>,
    /// The context that stands for the VM itself.
    root: Rc<Context>,
    pub(super) contexts: RefCell<BTreeMap<u32, Rc<Context>>>,
    last_context: Cell<u32>,
    /// Whose callback is running.
    current: RefCell<Rc<Context>>,
    /// On whose behalf, if another's; 0 for none.
    pub(super) effective: Cell<u32>,
    depth: Cell<u32>,
    /// Start functions or the guest's allocator are running.
    pub(super) restricted: Cell<bool>,
    /// A local response was asked for in this callback.
    pub(super) stop_iteration: Cell<bool>,
    pub(super) deferred: RefCell<VecDeque<Deferred>>,
    pub(super) calls: RefCell<HashMap<u32, Call>>,
    /// How many calls there were.
    pub(super) last_call: Cell<u32>,
    /// What the plugin can read of a response now.
    pub(super) call_response: RefCell<Option<Rc<CallResponse>>>,
    pub(super) call_status: RefCell<(u32, String)>,
    pub(super) metrics: RefCell<Vec<Arc<dyn Metric>>>,
    /// Properties that the plugin declared, and whether each can be set once only.
    pub(super) declared: RefCell<HashMap<Vec<u8>, bool>>,
    _share: Share,
    pub(super) failed: AtomicBool,
    /// Bytes of linear memory, as of the last call.
    memory_bytes: Cell<usize>,
}

impl Vm {
    pub(super) fn new(
        program: &Arc<Program>,
        settings: &Arc<VmSettings>,
        plugin: &Arc<Plugin>,
    ) -> Result<Self, String> {
        let mut options = program.options.clone();
        options.limit(&settings.limits);
        let runtime =
            rust_wasm::Vm::new(&program.module, &options).map_err(|error| error.to_string())?;
        let root = Rc::new(Context::root(0, plugin));
        Ok(Self {
            runtime,
            program: program.clone(),
            settings: settings.clone(),
            exports: OnceCell::new(),
            this: OnceCell::new(),
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
            declared: RefCell::default(),
            _share: Share::new(&settings.vm_id),
            failed: AtomicBool::new(false),
            memory_bytes: Cell::new(0),
        })
    }

    /// Links and runs the start functions. `self` stays at its address from here on.
    pub(super) fn start(&self, this: Weak<SharedVm>) -> Result<(), String> {
        let _ = self.this.set(this);
        let data: *mut () = std::ptr::from_ref(self).cast_mut().cast();
        for (index, ty, function) in &self.program.imports {
            let entry = function.entry(self.settings.allows(function.name));
            // SAFETY: the entry has the type `ty`, as `imports::entry` makes it, and
            // `data` is this VM, which outlives its runtime's calls.
            unsafe { self.runtime.define(*index, ty, entry, data) }
                .map_err(|error| error.to_string())?;
        }
        self.restricted.set(true);
        let started = self.link_and_initialize();
        self.restricted.set(false);
        self.note_memory();
        started?;
        if self.has_failed() {
            return Err("the start function failed".into());
        }
        Ok(())
    }

    fn link_and_initialize(&self) -> Result<(), String> {
        let name = &self.settings.vm_id;
        self.runtime.link(name).map_err(|error| error.to_string())?;
        let allowed = |name: &str| !name.starts_with("proxy_on_") || self.settings.allows(name);
        let exports = Exports::find(&self.runtime, self.program.abi, |name| {
            name == "proxy_on_memory_allocate" || allowed(name)
        })?;
        if exports.malloc.is_none() && exports.memory_allocate.is_none() {
            return Err("the module exports neither malloc nor proxy_on_memory_allocate".into());
        }
        let exports = self.exports.get_or_init(|| exports);
        let root = self.root.clone();
        if exports.initialize.is_some() {
            self.call(&root, exports.initialize, &[]);
            // A reactor's main() sets up its SDK.
            if exports.main.is_some() {
                self.call(&root, exports.main, &[0, 0]);
            } else {
                self.call(&root, exports.main_void, &[]);
            }
        } else {
            self.call(&root, exports.start, &[]);
        }
        Ok(())
    }

    pub(super) fn exports(&self) -> Option<&Exports> {
        self.exports.get().filter(|_| !self.has_failed())
    }

    pub(super) fn this(&self) -> Weak<SharedVm> {
        self.this.get().cloned().unwrap_or_default()
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    pub(super) fn current(&self) -> Rc<Context> {
        self.current.borrow().clone()
    }

    /// On whose behalf a hostcall is made.
    pub(super) fn context(&self) -> Rc<Context> {
        let effective = self.effective.get();
        if effective != 0
            && let Some(context) = self.contexts.borrow().get(&effective)
        {
            return context.clone();
        }
        self.current()
    }

    pub(super) fn new_context_id(&self) -> u32 {
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
    pub(super) fn call(
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
    pub(super) fn is_running(&self) -> bool {
        self.depth.get() > 0
    }

    /// After a callback: does what was deferred, unless an outer callback is running.
    pub(super) fn settle(&self) {
        if self.is_running() {
            return;
        }
        self.note_memory();
        self.stop_iteration.set(false);
        loop {
            let next = self.deferred.borrow_mut().pop_front();
            match next {
                Some(deferred) => deferred.run(self),
                None => break,
            }
        }
    }

    fn note_memory(&self) {
        let (old, new) = (self.memory_bytes.get(), self.memory_size());
        if new > old {
            self.memory_bytes.set(new);
            self.root.plugin.proxy.memory_grown(new - old);
        }
    }

    /// Puts the VM out of use. Only the first failure counts.
    pub(super) fn fail(&self, error: &str) {
        if !self.failed.swap(true, Ordering::Relaxed) {
            self.current().plugin.proxy.vm_failed(error);
        }
    }

    /// Memory of the guest, from the guest's own allocator.
    pub(super) fn allocate(&self, size: u32) -> HostResult<u32> {
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

    pub(super) fn log(&self, level: LogLevel, message: &[u8]) {
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
