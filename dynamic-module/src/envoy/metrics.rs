//! Metrics. Envoy lets a module define them only while its configuration is created,
//! which is when the plugin starts for the first time. Metrics that a plugin defines
//! later become one metric per kind with the plugin's name for it as a label.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, OnceLock, Weak};

use crate::envoy::abi::{self, ModuleBuffer};
use crate::envoy::config_handle::ConfigHandle;
use crate::envoy::inbox::{Inbox, Message, lock};
use proxy_wasm_host::abi::{HostResult, MetricKind, Status};
use proxy_wasm_host::proxy::Metric;

type Name = (MetricKind, Vec<u8>);

/// The metrics of one configuration.
#[derive(Default)]
pub(crate) struct Metrics {
    ids: Mutex<HashMap<Name, usize>>,
    /// By kind, for what comes later.
    late: [Option<usize>; 3],
}

/// What plugins read back, for as long as one has the metric. Envoy does not tell.
static VALUES: LazyLock<Mutex<HashMap<Name, Weak<AtomicU64>>>> = LazyLock::new(Mutex::default);

fn value_of(name: Name) -> Arc<AtomicU64> {
    let mut values = lock(&VALUES);
    if let Some(value) = values.get(&name).and_then(Weak::upgrade) {
        return value;
    }
    if values.len() == values.capacity() {
        values.retain(|_, value| value.strong_count() > 0);
    }
    let value = Arc::default();
    values.insert(name, Arc::downgrade(&value));
    value
}

#[derive(Clone)]
enum Place {
    Own(usize),
    /// With the name as the label.
    Late(usize, Vec<u8>),
}

struct EnvoyMetric {
    config: Arc<ConfigHandle>,
    kind: MetricKind,
    place: Place,
    value: Arc<AtomicU64>,
}

const KINDS: [(MetricKind, &str); 3] = [
    (MetricKind::Counter, "wasm.late_counter"),
    (MetricKind::Gauge, "wasm.late_gauge"),
    (MetricKind::Histogram, "wasm.late_histogram"),
];

impl Metrics {
    /// While the configuration is created.
    pub(crate) fn new(config: &ConfigHandle) -> Self {
        let mut label = ModuleBuffer::from(&b"name"[..]);
        let late =
            KINDS.map(|(kind, name)| define(config, kind, name.as_bytes(), (&raw mut label, 1)));
        Self {
            ids: Mutex::default(),
            late,
        }
    }

    pub(crate) fn define(
        &self,
        config: &Arc<ConfigHandle>,
        kind: MetricKind,
        name: &[u8],
    ) -> HostResult<Rc<dyn Metric>> {
        let key = (kind, name.to_vec());
        let mut ids = lock(&self.ids);
        let known = ids.get(&key).copied();
        let place = match known.or_else(|| define(config, kind, name, no_labels())) {
            Some(id) => {
                ids.insert(key.clone(), id);
                Place::Own(id)
            }
            None => {
                let late = self.late[kind as usize].ok_or(Status::InternalFailure)?;
                Place::Late(late, name.to_vec())
            }
        };
        drop(ids);
        let value = value_of(key);
        Ok(Rc::new(EnvoyMetric {
            config: config.clone(),
            kind,
            place,
            value,
        }))
    }
}

fn define(
    config: &ConfigHandle,
    kind: MetricKind,
    name: &[u8],
    labels: (*mut ModuleBuffer, usize),
) -> Option<usize> {
    let function = match kind {
        MetricKind::Counter => abi::envoy_dynamic_module_callback_http_filter_config_define_counter,
        MetricKind::Gauge => abi::envoy_dynamic_module_callback_http_filter_config_define_gauge,
        MetricKind::Histogram => {
            abi::envoy_dynamic_module_callback_http_filter_config_define_histogram
        }
    };
    let mut id = 0;
    let result = config.with(|config| {
        // SAFETY: the configuration is alive; Envoy refuses after its creation.
        unsafe { function(config, name.into(), labels.0, labels.1, &raw mut id) }
    });
    (result == Some(abi::METRIC_OK)).then_some(id)
}

#[derive(Clone, Copy)]
enum Change {
    Up,
    Down,
    Set,
}

fn change(
    config: &ConfigHandle,
    kind: MetricKind,
    place: &Place,
    change: Change,
    value: u64,
) -> HostResult {
    let function = match (kind, change) {
        (MetricKind::Counter, _) => {
            abi::envoy_dynamic_module_callback_http_filter_config_increment_counter
        }
        (MetricKind::Gauge, Change::Up) => {
            abi::envoy_dynamic_module_callback_http_filter_config_increment_gauge
        }
        (MetricKind::Gauge, Change::Down) => {
            abi::envoy_dynamic_module_callback_http_filter_config_decrement_gauge
        }
        (MetricKind::Gauge, Change::Set) => {
            abi::envoy_dynamic_module_callback_http_filter_config_set_gauge
        }
        (MetricKind::Histogram, _) => {
            abi::envoy_dynamic_module_callback_http_filter_config_record_histogram_value
        }
    };
    let mut label;
    let (id, labels) = match place {
        Place::Own(id) => (*id, no_labels()),
        Place::Late(id, name) => {
            label = ModuleBuffer::from(&name[..]);
            (*id, (&raw mut label, 1))
        }
    };
    let result = config.with(|config| {
        // SAFETY: the configuration is alive; metrics change from any thread.
        unsafe { function(config, id, labels.0, labels.1, value) }
    });
    match result {
        // The plugin's last words, after its configuration is gone, are not its mistake.
        Some(abi::METRIC_OK) | None => Ok(()),
        Some(_) => Err(Status::InternalFailure),
    }
}

impl Metric for EnvoyMetric {
    fn kind(&self) -> MetricKind {
        self.kind
    }

    fn add(&self, offset: i64) -> HostResult {
        let way = if offset < 0 { Change::Down } else { Change::Up };
        change(
            &self.config,
            self.kind,
            &self.place,
            way,
            offset.unsigned_abs(),
        )?;
        self.value
            .fetch_add(offset.cast_unsigned(), Ordering::Relaxed);
        Ok(())
    }

    fn record(&self, value: u64) -> HostResult {
        change(&self.config, self.kind, &self.place, Change::Set, value)?;
        match self.kind {
            MetricKind::Gauge => self.value.store(value, Ordering::Relaxed),
            _ => {
                self.value.fetch_add(value, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    fn value(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }
}

/// What the module says of its VMs.
#[derive(Clone, Copy)]
pub(crate) struct VmMetrics {
    created: Option<usize>,
    failed: Option<usize>,
    reloaded: Option<usize>,
    active: Option<usize>,
    memory: Option<usize>,
}

impl VmMetrics {
    /// While the configuration is created.
    pub(crate) fn define(config: &ConfigHandle) -> Self {
        let one = |kind, name: &str| define(config, kind, name.as_bytes(), no_labels());
        Self {
            created: one(MetricKind::Counter, "wasm.vm_created"),
            failed: one(MetricKind::Counter, "wasm.vm_failed"),
            reloaded: one(MetricKind::Counter, "wasm.vm_reloaded"),
            active: one(MetricKind::Gauge, "wasm.vm_active"),
            memory: one(MetricKind::Gauge, "wasm.vm_memory_bytes"),
        }
    }

    pub(crate) fn created(&self, config: &ConfigHandle) {
        one_more(config, self.created);
    }

    pub(crate) fn failed(&self, config: &ConfigHandle) {
        one_more(config, self.failed);
    }

    pub(crate) fn reloaded(&self, config: &ConfigHandle) {
        one_more(config, self.reloaded);
    }
}

// A metric that Envoy refuses is no reason to fail.

fn one_more(config: &ConfigHandle, counter: Option<usize>) {
    if let Some(id) = counter {
        let _ = change(config, MetricKind::Counter, &Place::Own(id), Change::Up, 1);
    }
}

fn set(config: &ConfigHandle, gauge: Option<usize>, value: usize) {
    if let Some(id) = gauge {
        let place = Place::Own(id);
        let _ = change(config, MetricKind::Gauge, &place, Change::Set, value as u64);
    }
}

/// All VMs of the process. A VM may live longer than the configuration that it was made for,
/// so the gauges of all are set to the sums: by the main thread, once for all that
/// changed meanwhile.
static ACTIVE: AtomicUsize = AtomicUsize::new(0);
static MEMORY: AtomicUsize = AtomicUsize::new(0);
static ARE_SHOWN: AtomicBool = AtomicBool::new(true);
static SHOWING: Mutex<Vec<(Weak<ConfigHandle>, VmMetrics)>> = Mutex::new(Vec::new());
static MAIN_THREAD: OnceLock<Arc<Inbox>> = OnceLock::new();

/// On the main thread, whose inbox it is: shows a configuration's gauges what there is already.
pub(crate) fn show_in(config: &Arc<ConfigHandle>, gauges: VmMetrics, inbox: &Arc<Inbox>) {
    MAIN_THREAD.get_or_init(|| inbox.clone());
    lock(&SHOWING).push((Arc::downgrade(config), gauges));
    show_vms();
}

/// On the main thread.
pub(crate) fn show_vms() {
    ARE_SHOWN.store(true, Ordering::SeqCst);
    let (active, memory) = (ACTIVE.load(Ordering::SeqCst), MEMORY.load(Ordering::SeqCst));
    lock(&SHOWING).retain(|(config, gauges)| {
        let Some(config) = config.upgrade().filter(|it| !it.is_closed()) else {
            return false;
        };
        set(&config, gauges.active, active);
        set(&config, gauges.memory, memory);
        true
    });
}

fn changed() {
    if ARE_SHOWN.swap(false, Ordering::SeqCst)
        && let Some(main_thread) = MAIN_THREAD.get()
    {
        main_thread.post(Message::ShowVms);
    }
}

/// One VM in the gauges.
pub(crate) struct CountedVm {
    memory: AtomicUsize,
}

impl CountedVm {
    pub(crate) fn new() -> Arc<Self> {
        ACTIVE.fetch_add(1, Ordering::SeqCst);
        changed();
        let memory = AtomicUsize::new(0);
        Arc::new(Self { memory })
    }

    pub(crate) fn memory_grown(&self, bytes: usize) {
        self.memory.fetch_add(bytes, Ordering::Relaxed);
        MEMORY.fetch_add(bytes, Ordering::SeqCst);
        changed();
    }
}

impl Drop for CountedVm {
    fn drop(&mut self) {
        ACTIVE.fetch_sub(1, Ordering::SeqCst);
        MEMORY.fetch_sub(*self.memory.get_mut(), Ordering::SeqCst);
        changed();
    }
}

/// Without labels.
fn no_labels() -> (*mut ModuleBuffer, usize) {
    (std::ptr::null_mut(), 0)
}
