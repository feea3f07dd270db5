//! A configured plugin: its code, compiled once per process, and its VMs, one per worker
//! and VM key, shared with other plugins of the same key.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, Weak};
use std::time::Instant;

use sha2::{Digest as _, Sha256};

use super::abi;
use super::footprint;
use super::link::{EnvoyProxy, Link, lock, log};
use super::metrics::CountedVm;
use crate::config::node::Node;
use crate::config::{Code, FailurePolicy, PluginConfig};
use crate::host::abi::LogLevel;
use crate::host::{Plugin, Program, SharedVm, VmSettings};

type Hash32 = [u8; 32];

/// What is found again as long as somebody has it.
type Registry<K, V> = LazyLock<Mutex<HashMap<K, Weak<V>>>>;

/// Compiled code, by its bytecode's hash.
static PROGRAMS: Registry<(Hash32, bool), Program> = LazyLock::new(Mutex::default);
/// VMs in use, by worker and VM key.
static VMS: Registry<(usize, Hash32), WorkerVm> = LazyLock::new(Mutex::default);

/// A VM, counted.
pub(super) struct WorkerVm {
    pub(super) shared: Arc<SharedVm>,
    _counted: Arc<CountedVm>,
}

/// The plugin in one worker's VM, for as long as somebody needs it.
pub(super) struct Instance {
    pub(super) vm: Arc<WorkerVm>,
    pub(super) root: u32,
    /// Where its metrics, ticks and calls are.
    link: Arc<Link>,
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.vm.shared.enter().remove_plugin(self.root);
    }
}

#[derive(Default)]
struct Worker {
    instance: Option<Arc<Instance>>,
    last_start: Option<Instant>,
}

/// A plugin as configured.
pub(super) struct WasmPlugin {
    config: PluginConfig,
    program: Arc<Program>,
    settings: Arc<VmSettings>,
    vm_key: Hash32,
    workers: Box<[Mutex<Worker>]>,
}

impl WasmPlugin {
    /// Reads the configuration, loads and compiles the code; on the main thread.
    ///
    /// # Errors
    /// What is wrong, in a sentence.
    pub(super) fn load(json: &[u8]) -> Result<Self, String> {
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
        // SAFETY: this is the main thread.
        let concurrency = unsafe { abi::envoy_dynamic_module_callback_get_concurrency() };
        Ok(Self {
            config,
            program,
            settings: Arc::new(settings),
            vm_key,
            workers: (0..concurrency.max(1)).map(|_| Mutex::default()).collect(),
        })
    }

    pub(super) fn failure_policy(&self) -> FailurePolicy {
        self.config.failure_policy
    }

    /// Whether streams pass whose callback failed the VM.
    pub(super) fn passes_failed_streams(&self) -> bool {
        self.config.passes_failed_streams
    }

    /// Starts the plugin for the first time, on the main thread, while metrics can be
    /// defined: on the first worker's VM. If others use that, the plugin has to start in one
    /// of its own before, which then ends.
    ///
    /// # Errors
    /// If the plugin refused or failed.
    pub(super) fn try_out(&self, link: &Arc<Link>) -> Result<(), String> {
        // SAFETY: this is the main thread.
        let validating = unsafe { abi::envoy_dynamic_module_callback_is_validation_mode() };
        if validating || live_vm(0, &self.vm_key).is_some() {
            self.start_vm(link, true)?;
        }
        if !validating && let Some(worker) = self.workers.first() {
            let instance = self.start_on_worker(link, 0)?;
            lock(worker).instance = Some(Arc::new(instance));
        }
        Ok(())
    }

    /// The plugin on a worker, made if need be. `None` if it cannot be had.
    pub(super) fn instance(&self, link: &Arc<Link>, index: usize) -> Option<Arc<Instance>> {
        let mut worker = lock(self.workers.get(index)?);
        if let Some(instance) = &worker.instance {
            let failed = instance.vm.shared.has_failed();
            if !failed && instance.link.is_closed() {
                // A route's plugin, whose first filter is gone.
                let old = worker.instance.take();
                self.start_again(&mut worker, link, index);
                let instance = worker.instance.clone();
                drop(worker);
                // It ends in the plugin, which may come back here.
                drop(old);
                return instance;
            }
            let reload = failed && self.config.failure_policy == FailurePolicy::FailReload;
            if !reload {
                return Some(instance.clone());
            }
        }
        let again = worker.last_start.is_some();
        let now = Instant::now();
        let waits = worker
            .last_start
            .is_some_and(|last| now - last < self.config.reload_interval);
        if waits || (again && self.config.failure_policy != FailurePolicy::FailReload) {
            return worker.instance.clone();
        }
        if worker.instance.is_some() || again {
            worker.last_start = Some(now);
        }
        let old = worker.instance.clone();
        if self.start_again(&mut worker, link, index) && old.is_some() {
            link.vm_metrics.reloaded(link);
        }
        let instance = worker.instance.clone();
        drop(worker);
        drop(old);
        instance
    }

    /// Starts the plugin on a worker, instead of what is there. Says whether it did.
    fn start_again(&self, worker: &mut Worker, link: &Arc<Link>, index: usize) -> bool {
        match self.start_on_worker(link, index) {
            Ok(instance) => {
                worker.instance = Some(Arc::new(instance));
                true
            }
            Err(error) => {
                worker.last_start = Some(Instant::now());
                log(
                    LogLevel::Error,
                    &format!(
                        "Wasm plugin{} cannot start: {error}",
                        log_name(&self.config)
                    ),
                );
                false
            }
        }
    }

    fn start_on_worker(&self, link: &Arc<Link>, index: usize) -> Result<Instance, String> {
        let (vm, root) = if let Some(vm) = live_vm(index, &self.vm_key) {
            let plugin = self.plugin(link, false, Weak::new());
            let root = vm.shared.enter().add_plugin(&plugin)?;
            (vm, root)
        } else {
            let (vm, root) = self.start_vm(link, false)?;
            lock(&VMS).insert((index, self.vm_key), Arc::downgrade(&vm));
            (vm, root)
        };
        let link = link.clone();
        Ok(Instance { vm, root, link })
    }

    /// The VM, and the plugin's root context in it.
    fn start_vm(&self, link: &Arc<Link>, trial: bool) -> Result<(Arc<WorkerVm>, u32), String> {
        let counted = CountedVm::new();
        let plugin = self.plugin(link, trial, Arc::downgrade(&counted));
        let shared = SharedVm::start(&self.program, &self.settings, &plugin)?;
        link.vm_metrics.created(link);
        let vm = Arc::new(WorkerVm {
            shared,
            _counted: counted,
        });
        let root = vm.shared.enter().add_plugin(&plugin)?;
        Ok((vm, root))
    }

    fn plugin(&self, link: &Arc<Link>, trial: bool, vm: Weak<CountedVm>) -> Arc<Plugin> {
        let config = &self.config;
        Arc::new(Plugin {
            name: config.name.clone(),
            root_id: config.root_id.clone(),
            configuration: config.configuration.clone(),
            allow_on_headers_stop_iteration: config.allow_on_headers_stop_iteration,
            log_prefix: log_name(config),
            root_log_prefix: root_log_name(config),
            proxy: Box::new(EnvoyProxy {
                link: link.clone(),
                trial,
                vm,
                name: log_name(config),
            }),
        })
    }

    /// Ends the plugin in all VMs, once its streams have ended.
    pub(super) fn close(&self) {
        for worker in &self.workers {
            let instance = lock(worker).instance.take();
            drop(instance);
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

fn live_vm(worker: usize, key: &Hash32) -> Option<Arc<WorkerVm>> {
    let mut vms = lock(&VMS);
    vms.retain(|_, vm| vm.strong_count() > 0);
    let vm = vms.get(&(worker, *key))?.upgrade()?;
    (!vm.shared.has_failed()).then_some(vm)
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
fn vm_key(settings: &VmSettings, code: &[u8]) -> Hash32 {
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

/// A filter's configuration: what `config_new` hands to Envoy.
pub(super) struct FilterConfig {
    pub(super) link: Arc<Link>,
    pub(super) plugin: Arc<WasmPlugin>,
}

impl Drop for FilterConfig {
    fn drop(&mut self) {
        self.plugin.close();
        self.link.close();
    }
}

/// A route's own plugin: what `per_route_config_new` hands to Envoy. It has no metrics
/// and no scheduler of its own, and starts with the filter's when it is first needed.
pub(super) struct RouteConfig {
    pub(super) plugin: Arc<WasmPlugin>,
}

/// How many there are: without any, streams need not ask Envoy for theirs.
static ROUTE_CONFIGS: AtomicUsize = AtomicUsize::new(0);

impl RouteConfig {
    pub(super) fn new(plugin: WasmPlugin) -> Self {
        ROUTE_CONFIGS.fetch_add(1, Ordering::Relaxed);
        let plugin = Arc::new(plugin);
        Self { plugin }
    }

    pub(super) fn exist() -> bool {
        ROUTE_CONFIGS.load(Ordering::Relaxed) > 0
    }
}

impl Drop for RouteConfig {
    fn drop(&mut self) {
        ROUTE_CONFIGS.fetch_sub(1, Ordering::Relaxed);
        self.plugin.close();
    }
}
