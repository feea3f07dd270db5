//! A filter configuration's side of Envoy, usable from any thread: its metrics, its
//! main-thread scheduler, the log.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::{self, ThreadId};
use std::time::Duration;

use super::abi::{self, ConfigPtr, EnvoyBuffer, EnvoyHeader, ModuleBuffer, SchedulerPtr};
use super::handle::{callout_result, module_headers};
use super::metrics::{Metrics, VmMetrics};
use super::timers;
use crate::config::node::Node;
use crate::host::abi::{HostResult, LogLevel, MetricKind, Status};
use crate::host::proxy::{CallResponse, HttpRequest, Metric, OwnedPairs, Proxy, Target};

/// Writes to Envoy's log.
pub(super) fn log(level: LogLevel, message: &str) {
    let level = match level {
        LogLevel::Trace => abi::LogLevel::Trace,
        LogLevel::Debug => abi::LogLevel::Debug,
        LogLevel::Info => abi::LogLevel::Info,
        LogLevel::Warn => abi::LogLevel::Warn,
        LogLevel::Error => abi::LogLevel::Error,
        LogLevel::Critical => abi::LogLevel::Critical,
    };
    // SAFETY: the message lives during the call.
    unsafe { abi::envoy_dynamic_module_callback_log(level, message.as_bytes().into()) }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What these mutexes guard is changed in single steps.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Something to do on the main thread.
pub(super) enum Event {
    /// The timer went off; the flag says that it is on its way.
    Tick(Target, Arc<AtomicBool>),
    QueueReady(Target, u32),
    HttpCall(Target, u32, OwnedRequest),
}

/// An [`HttpRequest`] on its way to another thread.
pub(super) struct OwnedRequest {
    upstream: Vec<u8>,
    headers: OwnedPairs,
    body: Vec<u8>,
    timeout_ms: u32,
}

/// Envoy's pointers, until the configuration is destroyed.
struct Raw {
    config: ConfigPtr,
    scheduler: SchedulerPtr,
}

// SAFETY: Envoy's configuration is made for use from several threads as `Link` uses it:
// metrics and the scheduler from any, the rest from the main thread.
unsafe impl Send for Raw {}
// SAFETY: as above.
unsafe impl Sync for Raw {}

pub(super) struct Link {
    raw: RwLock<Option<Raw>>,
    main_thread: ThreadId,
    events: Mutex<VecDeque<Event>>,
    /// Calls from the main thread, by Envoy's id.
    callouts: Mutex<HashMap<u64, (Target, u32)>>,
    metrics: Metrics,
    pub(super) vm_metrics: VmMetrics,
}

impl Link {
    /// # Safety
    /// `config` is Envoy's filter configuration that is being created on this, the main
    /// thread, and is alive until [`Link::close`].
    pub(super) unsafe fn new(config: ConfigPtr) -> Arc<Self> {
        // SAFETY: by contract.
        let scheduler =
            unsafe { abi::envoy_dynamic_module_callback_http_filter_config_scheduler_new(config) };
        let mut link = Self {
            raw: RwLock::new(Some(Raw { config, scheduler })),
            main_thread: thread::current().id(),
            events: Mutex::default(),
            callouts: Mutex::default(),
            metrics: Metrics::default(),
            vm_metrics: VmMetrics::default(),
        };
        link.vm_metrics = VmMetrics::define(&link);
        link.metrics = Metrics::new(&link);
        Arc::new(link)
    }

    /// Cuts the link, before Envoy's configuration goes.
    pub(super) fn close(&self) {
        let raw = self
            .raw
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(raw) = raw {
            // SAFETY: it was made in `new`, and nobody has it any more.
            unsafe {
                abi::envoy_dynamic_module_callback_http_filter_config_scheduler_delete(
                    raw.scheduler,
                );
            }
        }
        lock(&self.events).clear();
        lock(&self.callouts).clear();
    }

    /// Uses Envoy's configuration; `None` if it is gone.
    pub(super) fn with_config<T>(&self, f: impl FnOnce(ConfigPtr) -> T) -> Option<T> {
        let raw = self.raw.read().unwrap_or_else(PoisonError::into_inner);
        raw.as_ref().map(|raw| f(raw.config))
    }

    /// Has the main thread do something soon.
    pub(super) fn post(&self, event: Event) {
        lock(&self.events).push_back(event);
        let raw = self.raw.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(raw) = raw.as_ref() {
            // SAFETY: the scheduler is alive while the lock is held.
            unsafe {
                abi::envoy_dynamic_module_callback_http_filter_config_scheduler_commit(
                    raw.scheduler,
                    0,
                );
            }
        }
    }

    /// On the main thread: does what was posted.
    pub(super) fn run_events(&self) {
        loop {
            let event = lock(&self.events).pop_front();
            let Some(event) = event else { return };
            match event {
                Event::Tick(target, on_its_way) => {
                    on_its_way.store(false, Ordering::Relaxed);
                    if let Some(vm) = target.vm.upgrade() {
                        vm.enter().tick(target.context);
                    }
                }
                Event::QueueReady(target, token) => {
                    if let Some(vm) = target.vm.upgrade() {
                        vm.enter().queue_ready(target.context, token);
                    }
                }
                Event::HttpCall(target, token, request) => {
                    let request = HttpRequest {
                        upstream: &request.upstream,
                        headers: request
                            .headers
                            .iter()
                            .map(|(n, v)| (&n[..], &v[..]))
                            .collect(),
                        body: &request.body,
                        trailers: Vec::new(),
                        timeout_ms: request.timeout_ms,
                    };
                    let vm = target.vm.clone();
                    if self.http_callout(target, token, &request).is_err()
                        && let Some(vm) = vm.upgrade()
                    {
                        vm.enter()
                            .call_response(token, Err("the call could not be sent"));
                    }
                }
            }
        }
    }

    /// On the main thread.
    fn http_callout(&self, target: Target, token: u32, request: &HttpRequest<'_>) -> HostResult {
        let mut headers = module_headers(request);
        let mut id = 0;
        let result = self.with_config(|config| {
            // SAFETY: the configuration is alive, this is the main thread, and Envoy
            // copies what it is given.
            unsafe {
                abi::envoy_dynamic_module_callback_http_filter_config_http_callout(
                    config,
                    &raw mut id,
                    request.upstream.into(),
                    headers.as_mut_ptr(),
                    headers.len(),
                    request.body.into(),
                    request.timeout_ms.into(),
                )
            }
        });
        callout_result(result.ok_or(Status::InternalFailure)?)?;
        lock(&self.callouts).insert(id, (target, token));
        Ok(())
    }

    /// On the main thread: a callout has ended.
    pub(super) fn callout_done(&self, id: u64, response: Result<CallResponse, &str>) {
        let caller = lock(&self.callouts).remove(&id);
        if let Some((target, token)) = caller
            && let Some(vm) = target.vm.upgrade()
        {
            vm.enter().call_response(token, response);
        }
    }
}

/// A response as Envoy hands it over.
///
/// # Safety
/// The headers and pieces of body are as many as said, and alive.
pub(super) unsafe fn response(
    result: u32,
    headers: *const EnvoyHeader,
    header_count: usize,
    body: *const EnvoyBuffer,
    body_count: usize,
) -> Result<CallResponse, &'static str> {
    if result != abi::CALLOUT_SUCCEEDED {
        return Err("reset");
    }
    let mut response = CallResponse::default();
    if header_count > 0 {
        // SAFETY: by contract.
        for header in unsafe { std::slice::from_raw_parts(headers, header_count) } {
            // SAFETY: by contract.
            let (name, value) = unsafe { (header.key.bytes(), header.value.bytes()) };
            response.headers.push((name.to_vec(), value.to_vec()));
        }
    }
    if body_count > 0 {
        // SAFETY: by contract.
        for chunk in unsafe { std::slice::from_raw_parts(body, body_count) } {
            // SAFETY: by contract.
            response.body.extend_from_slice(unsafe { chunk.bytes() });
        }
    }
    Ok(response)
}

/// The proxy as a plugin sees it.
pub(super) struct EnvoyProxy {
    pub(super) link: Arc<Link>,
    /// The plugin is being tried out, in a VM that is thrown away.
    pub(super) trial: Arc<AtomicBool>,
    /// Stands before what the host says of the plugin.
    pub(super) name: String,
}

impl Proxy for EnvoyProxy {
    fn log(&self, level: LogLevel, message: &str) {
        log(level, message);
    }

    fn log_level(&self) -> u32 {
        // SAFETY: callable from any thread.
        unsafe { abi::envoy_dynamic_module_callback_get_log_level() }
    }

    fn property(&self, path: &[&[u8]]) -> Option<Vec<u8>> {
        match path {
            [b"xds", b"node", path @ ..] => Node::from_env().ok()?.property(path),
            _ => None,
        }
    }

    fn define_metric(&self, kind: MetricKind, name: &[u8]) -> HostResult<Arc<dyn Metric>> {
        self.link.metrics.define(&self.link, kind, name)
    }

    fn http_call(&self, from: Target, token: u32, request: &HttpRequest<'_>) -> HostResult {
        if self.trial.load(Ordering::Relaxed) {
            return Err(Status::InternalFailure);
        }
        if thread::current().id() == self.link.main_thread {
            return self.link.http_callout(from, token, request);
        }
        let own = |(name, value): &(&[u8], &[u8])| (name.to_vec(), value.to_vec());
        let request = OwnedRequest {
            upstream: request.upstream.to_vec(),
            headers: request.headers.iter().map(own).collect(),
            body: request.body.to_vec(),
            timeout_ms: request.timeout_ms,
        };
        self.link.post(Event::HttpCall(from, token, request));
        Ok(())
    }

    fn set_tick_period(&self, root: Target, period: Duration) {
        if !self.trial.load(Ordering::Relaxed) {
            timers::set(&self.link, root, period);
        }
    }

    fn queue_ready(&self, root: Target, token: u32) {
        self.link.post(Event::QueueReady(root, token));
    }

    fn vm_failed(&self, error: &str) {
        self.link.vm_metrics.failed(&self.link);
        log(
            LogLevel::Error,
            &format!("Wasm VM failed{}: {error}", self.name),
        );
    }

    fn memory_grown(&self, bytes: usize) {
        if !self.trial.load(Ordering::Relaxed) {
            self.link.vm_metrics.memory(&self.link, bytes, true);
        }
    }
}

/// Without labels.
pub(super) fn no_labels() -> (*mut ModuleBuffer, usize) {
    (std::ptr::null_mut(), 0)
}
