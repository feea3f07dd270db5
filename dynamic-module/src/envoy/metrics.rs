//! Metrics. Envoy lets a module define them only while its configuration is created,
//! which is when the plugin starts for the first time. Metrics that a plugin defines
//! later become one metric per kind with the plugin's name for it as a label.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, Weak};

use super::abi::{self, ModuleBuffer};
use super::link::{Link, lock, no_labels};
use crate::host::abi::{HostResult, MetricKind, Status};
use crate::host::proxy::Metric;

type Name = (MetricKind, Vec<u8>);

/// The metrics of one configuration.
#[derive(Default)]
pub(super) struct Metrics {
    ids: Mutex<HashMap<Name, usize>>,
    /// By kind, for what comes later.
    late: [Option<usize>; 3],
}

/// What plugins read back. Envoy does not tell.
static VALUES: LazyLock<Mutex<HashMap<Name, Arc<AtomicU64>>>> = LazyLock::new(Mutex::default);

#[derive(Clone)]
enum Place {
    Own(usize),
    /// With the name as the label.
    Late(usize, Vec<u8>),
}

struct EnvoyMetric {
    link: Arc<Link>,
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
    pub(super) fn new(link: &Link) -> Self {
        let mut label = ModuleBuffer::from(&b"name"[..]);
        let late =
            KINDS.map(|(kind, name)| define(link, kind, name.as_bytes(), (&raw mut label, 1)));
        Self {
            ids: Mutex::default(),
            late,
        }
    }

    pub(super) fn define(
        &self,
        link: &Arc<Link>,
        kind: MetricKind,
        name: &[u8],
    ) -> HostResult<Arc<dyn Metric>> {
        let key = (kind, name.to_vec());
        let mut ids = lock(&self.ids);
        let known = ids.get(&key).copied();
        let place = match known.or_else(|| define(link, kind, name, no_labels())) {
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
        let value = lock(&VALUES).entry(key).or_default().clone();
        Ok(Arc::new(EnvoyMetric {
            link: link.clone(),
            kind,
            place,
            value,
        }))
    }
}

fn define(
    link: &Link,
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
    let result = link.with_config(|config| {
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

fn change(link: &Link, kind: MetricKind, place: &Place, change: Change, value: u64) -> HostResult {
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
    let result = link.with_config(|config| {
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
            &self.link,
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
        change(&self.link, self.kind, &self.place, Change::Set, value)?;
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
#[derive(Default)]
pub(super) struct VmMetrics {
    created: Option<usize>,
    failed: Option<usize>,
    reloaded: Option<usize>,
    active: Option<usize>,
    memory: Option<usize>,
}

impl VmMetrics {
    /// While the configuration is created.
    pub(super) fn define(link: &Link) -> Self {
        let one = |kind, name: &str| define(link, kind, name.as_bytes(), no_labels());
        Self {
            created: one(MetricKind::Counter, "wasm.vm_created"),
            failed: one(MetricKind::Counter, "wasm.vm_failed"),
            reloaded: one(MetricKind::Counter, "wasm.vm_reloaded"),
            active: one(MetricKind::Gauge, "wasm.vm_active"),
            memory: one(MetricKind::Gauge, "wasm.vm_memory_bytes"),
        }
    }

    pub(super) fn created(&self, link: &Link) {
        one_more(link, self.created);
    }

    pub(super) fn failed(&self, link: &Link) {
        one_more(link, self.failed);
    }

    pub(super) fn reloaded(&self, link: &Link) {
        one_more(link, self.reloaded);
    }
}

// A metric that Envoy refuses is no reason to fail.

fn one_more(link: &Link, counter: Option<usize>) {
    if let Some(id) = counter {
        let _ = change(link, MetricKind::Counter, &Place::Own(id), Change::Up, 1);
    }
}

fn set(link: &Link, gauge: Option<usize>, value: usize) {
    if let Some(id) = gauge {
        let place = Place::Own(id);
        let _ = change(link, MetricKind::Gauge, &place, Change::Set, value as u64);
    }
}

/// All VMs of the process. A VM may live longer than the link of the plugin it was made for,
/// so the gauges of every link are set to the sums.
#[derive(Default)]
struct Vms {
    active: usize,
    memory: usize,
    links: Vec<Weak<Link>>,
}

static ALL_VMS: LazyLock<Mutex<Vms>> = LazyLock::new(Mutex::default);

/// Shows the link's gauges what there is already.
pub(super) fn show_vms(link: &Arc<Link>) {
    Vms::change(|vms| vms.links.push(Arc::downgrade(link)));
}

impl Vms {
    fn change(how: impl FnOnce(&mut Self)) {
        let mut vms = lock(&ALL_VMS);
        how(&mut vms);
        let (active, memory) = (vms.active, vms.memory);
        // Dropped after the lock: nobody else may have them any more.
        let mut links = Vec::new();
        vms.links.retain(|link| {
            let link = link.upgrade().filter(|link| !link.is_closed());
            let open = link.is_some();
            links.extend(link);
            open
        });
        for link in &links {
            set(link, link.vm_metrics.active, active);
            set(link, link.vm_metrics.memory, memory);
        }
        drop(vms);
    }
}

/// One VM in the gauges.
pub(super) struct CountedVm {
    memory: AtomicUsize,
}

impl CountedVm {
    pub(super) fn new() -> Arc<Self> {
        Vms::change(|vms| vms.active += 1);
        let memory = AtomicUsize::new(0);
        Arc::new(Self { memory })
    }

    pub(super) fn memory_grown(&self, bytes: usize) {
        Vms::change(|vms| {
            vms.memory += bytes;
            self.memory.fetch_add(bytes, Ordering::Relaxed);
        });
    }
}

impl Drop for CountedVm {
    fn drop(&mut self) {
        Vms::change(|vms| {
            vms.active -= 1;
            vms.memory -= *self.memory.get_mut();
        });
    }
}
