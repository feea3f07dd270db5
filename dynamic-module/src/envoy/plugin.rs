//! A configured plugin: its code, compiled once per process, and its VMs, one per worker
//! and VM key, shared with other plugins of the same key.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, Weak};
use std::time::Instant;

use proxy_wasm_host::abi::LogLevel;
use proxy_wasm_host::{Plugin, Program, Vm, VmSettings};
use sha2::{Digest as _, Sha256};

use crate::config::node::Node;
use crate::config::{Code, FailurePolicy, PluginConfig};
use crate::envoy::abi;
use crate::envoy::footprint;
use crate::envoy::inbox::{Inbox, Message, PluginId, lock};
use crate::envoy::log::log;
use crate::envoy::metrics::CountedVm;
use crate::envoy::scope::{EnvoyProxy, Scope};
use crate::envoy::thread::{self, Instance, Started, Thread, ThreadVm, VmKey};

type Hash32 = [u8; 32];

/// What is found again as long as somebody has it.
type Registry<K, V> = LazyLock<Mutex<HashMap<K, Weak<V>>>>;

/// Compiled code, by its bytecode's hash.
static PROGRAMS: Registry<(Hash32, bool), Program> = LazyLock::new(Mutex::default);

/// A plugin as configured.
pub(crate) struct WasmPlugin {
    id: PluginId,
    config: PluginConfig,
    program: Arc<Program>,
    settings: Arc<VmSettings>,
    vm_key: VmKey,
    /// The threads that it has been started on.
    threads: Mutex<Vec<Arc<Inbox>>>,
}

impl WasmPlugin {
    /// Reads the configuration, loads and compiles the code; on the main thread.
    ///
    /// # Errors
    /// What is wrong, in a sentence.
    pub(crate) fn load(json: &[u8]) -> Result<Self, String> {
        Node::from_env()?;
        let config = PluginConfig::parse(json).map_err(|error| error.to_string())?;
        let name = log_name(&config);
        let of_plugin = |error| format!("Wasm plugin{name} cannot be loaded: {error}");
        let (code, place) = match &config.vm.code {
            Code::Inline(code) => (code.clone(), String::new()),
            Code::File(file) => {
                let place = format!(".local.filename {file}");
                let code = std::fs::read(file);
                let code = code.map_err(|it| of_plugin(format!("vm_config.code{place}: {it}")))?;
                (code, place)
            }
        };
        if code.is_empty() {
            return Err(of_plugin(format!("vm_config.code{place}: it is empty")));
        }
        let program = program(&code, config.vm.allow_precompiled)
            .map_err(|error| of_plugin(format!("vm_config.code{place}: {error}")))?;
        let settings = VmSettings {
            vm_id: config.vm.vm_id.clone(),
            configuration: config.vm.configuration.clone(),
            environment: config.vm.environment.clone(),
            allowed_capabilities: config.allowed_capabilities.clone(),
            limits: config.limits.clone(),
        };
        let vm_key = vm_key(&settings, &code);
        static IDS: AtomicU64 = AtomicU64::new(0);
        Ok(Self {
            id: IDS.fetch_add(1, Ordering::Relaxed),
            config,
            program,
            settings: Arc::new(settings),
            vm_key,
            threads: Mutex::default(),
        })
    }

    pub(crate) fn failure_policy(&self) -> FailurePolicy {
        self.config.failure_policy
    }

    /// Whether streams pass whose callback failed the VM.
    pub(crate) fn passes_failed_streams(&self) -> bool {
        self.config.passes_failed_streams
    }

    /// Starts the plugin for the first time: on the main thread, while metrics can be defined.
    /// As in Envoy's own Wasm, it stays there, beside those of the workers.
    ///
    /// # Errors
    /// If the plugin refused or failed.
    pub(crate) fn start_on_main(&self, scope: &Arc<Scope>) -> Result<(), String> {
        let instance = Rc::new(self.start(scope)?);
        // SAFETY: this is the main thread.
        let validating = unsafe { abi::envoy_dynamic_module_callback_is_validation_mode() };
        if !validating {
            self.note_thread();
            let keep = |here: &Thread| {
                here.with_plugin(self.id, |started| started.instance = Some(instance));
            };
            thread::with(keep);
        }
        Ok(())
    }

    fn note_thread(&self) {
        let inbox = thread::with(|here| here.inbox.clone());
        let mut threads = lock(&self.threads);
        if let Some(inbox) = inbox
            && !threads.iter().any(|it| Arc::ptr_eq(it, &inbox))
        {
            threads.push(inbox);
        }
    }

    /// The plugin on this thread, made if need be. `None` if it cannot be had.
    pub(crate) fn instance(&self, scope: &Arc<Scope>) -> Option<Rc<Instance>> {
        thread::with(|here| self.instance_here(here, scope))?
    }

    fn instance_here(&self, here: &Thread, scope: &Arc<Scope>) -> Option<Rc<Instance>> {
        let found = |started: &mut Started| (started.instance.clone(), started.last_start);
        let (old, last_start) = here.with_plugin(self.id, found);
        if let Some(instance) = &old {
            let failed = instance.vm.vm.has_failed();
            if !failed && instance.config.is_closed() {
                // A route's plugin, whose first filter is gone.
                self.start_again(here, scope);
                return here.with_plugin(self.id, |started| started.instance.clone());
            }
            let reload = failed && self.config.failure_policy == FailurePolicy::FailReload;
            if !reload {
                return old;
            }
        }
        let again = last_start.is_some();
        let now = Instant::now();
        let waits = last_start.is_some_and(|last| now - last < self.config.reload_interval);
        if waits || (again && self.config.failure_policy != FailurePolicy::FailReload) {
            return old;
        }
        if old.is_none() && !again {
            self.start_with_others(here, scope);
            return here.with_plugin(self.id, |started| started.instance.clone());
        }
        here.with_plugin(self.id, |started| started.last_start = Some(now));
        if self.start_again(here, scope) && old.is_some() {
            scope.vm_metrics.reloaded(&scope.config);
        }
        here.with_plugin(self.id, |started| started.instance.clone())
    }

    /// Starts the plugin on this thread for the first time. With a new VM come all plugins that
    /// share it, in the order of their configurations: what one does may be for another.
    fn start_with_others(&self, here: &Thread, scope: &Arc<Scope>) {
        let others = match here.live_vm(&self.vm_key) {
            Some(_) => Vec::new(),
            None => configured(&self.vm_key),
        };
        for (other, its_scope) in &others {
            let is_here = |started: &mut Started| started.instance.is_some();
            if !here.with_plugin(other.id, is_here) {
                other.start_again(here, its_scope);
            }
        }
        if !others.iter().any(|(other, _)| other.id == self.id) {
            self.start_again(here, scope);
        }
    }

    /// Starts the plugin on this thread, instead of what is there. Says whether it did.
    fn start_again(&self, here: &Thread, scope: &Arc<Scope>) -> bool {
        self.note_thread();
        match self.start(scope) {
            Ok(instance) => {
                let instance = Some(Rc::new(instance));
                let replace =
                    |started: &mut Started| std::mem::replace(&mut started.instance, instance);
                let old = here.with_plugin(self.id, replace);
                // It ends in the plugin, which may come back here.
                drop(old);
                true
            }
            Err(error) => {
                here.with_plugin(self.id, |started| started.last_start = Some(Instant::now()));
                let name = log_name(&self.config);
                log(
                    LogLevel::Error,
                    &format!("Wasm plugin{name} cannot start: {error}"),
                );
                false
            }
        }
    }

    /// On this thread, in a VM that others use or in a new one.
    fn start(&self, scope: &Arc<Scope>) -> Result<Instance, String> {
        let live = thread::with(|here| here.live_vm(&self.vm_key)).flatten();
        let (vm, root) = match live {
            Some(vm) => {
                let root = vm.vm.add_plugin(&self.plugin(scope, Weak::new()))?;
                (vm, root)
            }
            None => self.start_vm(scope)?,
        };
        let config = scope.config.clone();
        Ok(Instance { vm, root, config })
    }

    /// The VM, and the plugin's root context in it.
    fn start_vm(&self, scope: &Arc<Scope>) -> Result<(Rc<ThreadVm>, u32), String> {
        let counted = CountedVm::new();
        let plugin = self.plugin(scope, Arc::downgrade(&counted));
        let vm = Vm::start(&self.program, &self.settings, &plugin)?;
        scope.vm_metrics.created(&scope.config);
        let vm = Rc::new(ThreadVm::new(vm, counted));
        // A tick may come before the plugin is there, and others may share it from now on.
        thread::with(|here| here.insert_vm(self.vm_key, &vm));
        let root = vm.vm.add_plugin(&plugin)?;
        Ok((vm, root))
    }

    fn plugin(&self, scope: &Arc<Scope>, vm: Weak<CountedVm>) -> Rc<Plugin> {
        let config = &self.config;
        Rc::new(Plugin {
            name: config.name.clone(),
            root_id: config.root_id.clone(),
            configuration: config.configuration.clone(),
            allow_on_headers_stop_iteration: config.allow_on_headers_stop_iteration,
            log_prefix: log_name(config),
            root_log_prefix: root_log_name(config),
            proxy: Box::new(EnvoyProxy {
                scope: scope.clone(),
                inbox: thread::with(|here| here.inbox.clone()).unwrap_or_default(),
                vm,
                name: log_name(config),
            }),
        })
    }

    /// Has those that share its VM start it with theirs.
    pub(crate) fn note_configured(self: &Arc<Self>, scope: &Arc<Scope>) {
        let mut configured = lock(&CONFIGURED);
        configured.retain(|it| it.0.strong_count() > 0);
        configured.push((Arc::downgrade(self), Arc::downgrade(scope)));
    }

    /// Ends the plugin on all threads, once its streams have ended: at once on this one.
    pub(crate) fn close(&self) {
        for inbox in std::mem::take(&mut *lock(&self.threads)) {
            let removed = thread::with(|here| {
                let is_here = Arc::ptr_eq(&here.inbox, &inbox);
                if is_here {
                    here.remove(self.id);
                }
                is_here
            });
            if removed != Some(true) {
                inbox.post(Message::Remove(self.id));
            }
        }
    }
}

/// Name, root and VM, each after a space, as Envoy's Wasm filter puts them into its log.
fn log_name(config: &PluginConfig) -> String {
    after_spaces(&[&config.name, &config.root_id, &config.vm.vm_id])
}

/// The same of what is logged in the root context.
fn root_log_name(config: &PluginConfig) -> String {
    after_spaces(&[&config.root_id, &config.vm.vm_id])
}

fn after_spaces(words: &[&str]) -> String {
    let words = words.iter().filter(|it| !it.is_empty());
    words.flat_map(|it| [" ", it]).collect()
}

fn program(code: &[u8], allow_precompiled: bool) -> Result<Arc<Program>, String> {
    let key = (Sha256::digest(code).into(), allow_precompiled);
    let mut programs = lock(&PROGRAMS);
    if let Some(program) = programs.get(&key).and_then(Weak::upgrade) {
        return Ok(program);
    }
    if let Some(warning) = rust_wasm::take_warning() {
        log(LogLevel::Warn, &format!("rust_wasm_module: {warning}"));
    }
    let program = Arc::new(Program::new(code, allow_precompiled)?);
    footprint::drop_compiler();
    let rejection = program.precompiled_rejection();
    if program.is_precompiled() {
        log(LogLevel::Info, "rust_wasm_module: precompiled code is used");
    } else if !rejection.is_empty() {
        log(LogLevel::Warn, &format!("rust_wasm_module: {rejection}"));
    }
    programs.retain(|_, program| program.strong_count() > 0);
    programs.insert(key, Arc::downgrade(&program));
    Ok(program)
}

/// What makes two plugins share a VM. Each part goes in with its length, and each list with
/// its own.
fn vm_key(settings: &VmSettings, code: &[u8]) -> VmKey {
    let mut hash = Sha256::new();
    let mut add = |part: &[u8]| {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    };
    add(settings.vm_id.as_bytes());
    add(&settings.configuration);
    add(code);
    add(&settings.environment.len().to_le_bytes());
    for (name, value) in &settings.environment {
        add(name.as_bytes());
        add(value.as_bytes());
    }
    add(format!("{:?}", settings.limits).as_bytes());
    if let Some(allowed) = &settings.allowed_capabilities {
        let mut allowed: Vec<_> = allowed.iter().collect();
        allowed.sort_unstable();
        add(b"capabilities");
        for capability in allowed {
            add(capability.as_bytes());
        }
    }
    hash.finalize().into()
}

/// The plugins of all filters, in the order of their configurations.
static CONFIGURED: Mutex<Vec<(Weak<WasmPlugin>, Weak<Scope>)>> = Mutex::new(Vec::new());

/// Those that share a VM.
fn configured(key: &VmKey) -> Vec<(Arc<WasmPlugin>, Arc<Scope>)> {
    let all = lock(&CONFIGURED);
    let there = |it: &(Weak<WasmPlugin>, Weak<Scope>)| Some((it.0.upgrade()?, it.1.upgrade()?));
    let mut found: Vec<_> = all.iter().filter_map(there).collect();
    // What is dropped here may be the last of it.
    drop(all);
    found.retain(|(plugin, scope)| plugin.vm_key == *key && !scope.config.is_closed());
    found
}
