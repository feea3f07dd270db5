//! A filter configuration's side of Envoy, usable from any thread: its metrics, its
//! main-thread scheduler, the log.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::thread::{self, ThreadId};
use std::time::Duration;

use super::abi::{self, ConfigPtr, ModuleBuffer, SchedulerPtr};
use super::calls::OF_CONFIG;
use super::metrics::{self, CountedVm, Metrics, VmMetrics};
use super::timers;
use crate::config::node::Node;
use crate::host::abi::{HostResult, LogLevel, MetricKind, Status};
use crate::host::proxy::{CallEvent, HttpRequest, Metric, OwnedPairs, Proxy, Target};

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
    Call(Target, u32, CallAction),
}

/// What a plugin wants with a call.
pub(super) enum CallAction {
    Open(OwnedRequest, bool),
    Send(Vec<u8>, bool),
    Reset,
}

/// An [`HttpRequest`] on its way to another thread.
pub(super) struct OwnedRequest {
    upstream: Vec<u8>,
    headers: OwnedPairs,
    body: Vec<u8>,
    timeout_ms: u32,
}

impl OwnedRequest {
    fn new(request: &HttpRequest<'_>) -> Self {
        let own = |(name, value): &(&[u8], &[u8])| (name.to_vec(), value.to_vec());
        Self {
            upstream: request.upstream.to_vec(),
            headers: request.headers.iter().map(own).collect(),
            body: request.body.to_vec(),
            timeout_ms: request.timeout_ms,
        }
    }

    fn borrowed(&self) -> HttpRequest<'_> {
        let headers = self.headers.iter();
        HttpRequest {
            upstream: &self.upstream,
            headers: headers.map(|(n, v)| (&n[..], &v[..])).collect(),
            body: &self.body,
            timeout_ms: self.timeout_ms,
        }
    }
}

/// Envoy's pointers, until the configuration is destroyed.
struct Raw {
    config: ConfigPtr,
    scheduler: Arc<Scheduler>,
}

/// Envoy's, which does nothing once its configuration is destroyed.
struct Scheduler(SchedulerPtr);

// SAFETY: Envoy's scheduler is made for use from any thread.
unsafe impl Send for Scheduler {}
// SAFETY: as above.
unsafe impl Sync for Scheduler {}

impl Drop for Scheduler {
    fn drop(&mut self) {
        // SAFETY: it was made in `Link::new`, and this is its end.
        unsafe {
            abi::envoy_dynamic_module_callback_http_filter_config_scheduler_delete(self.0);
        }
    }
}

// SAFETY: Envoy's configuration is made for use from several threads as `Link` uses it:
// metrics and the scheduler from any, the rest from the main thread.
unsafe impl Send for Raw {}
// SAFETY: as above.
unsafe impl Sync for Raw {}

pub(super) struct Link {
    raw: RwLock<Option<Raw>>,
    /// The same as `raw` being gone: streams ask, and should not wait.
    closed: AtomicBool,
    main_thread: ThreadId,
    events: Mutex<Vec<Event>>,
    /// Open calls: Envoy's id, whose they are, and the plugin's token.
    calls: Mutex<Vec<(u64, Target, u32)>>,
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
        let scheduler = Arc::new(Scheduler(scheduler));
        let mut link = Self {
            raw: RwLock::new(Some(Raw { config, scheduler })),
            closed: AtomicBool::new(false),
            main_thread: thread::current().id(),
            events: Mutex::default(),
            calls: Mutex::default(),
            metrics: Metrics::default(),
            vm_metrics: VmMetrics::default(),
        };
        link.vm_metrics = VmMetrics::define(&link);
        link.metrics = Metrics::new(&link);
        let link = Arc::new(link);
        metrics::show_vms(&link);
        link
    }

    /// Whether Envoy's configuration is gone.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Cuts the link, before Envoy's configuration goes.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        let mut raw = self.raw.write().unwrap_or_else(PoisonError::into_inner);
        drop(raw.take());
        drop(raw);
        lock(&self.events).clear();
        lock(&self.calls).clear();
    }

    /// Uses Envoy's configuration; `None` if it is gone.
    pub(super) fn with_config<T>(&self, f: impl FnOnce(ConfigPtr) -> T) -> Option<T> {
        let raw = self.raw.read().unwrap_or_else(PoisonError::into_inner);
        raw.as_ref().map(|raw| f(raw.config))
    }

    /// Has the main thread do something soon.
    pub(super) fn post(&self, event: Event) {
        let raw = self.raw.read().unwrap_or_else(PoisonError::into_inner);
        let scheduler = raw.as_ref().map(|raw| raw.scheduler.clone());
        // Envoy may hold the last reference to the configuration while it commits: then its
        // destruction, which closes the link, is on this thread.
        drop(raw);
        let Some(scheduler) = scheduler else { return };
        lock(&self.events).push(event);
        // SAFETY: the scheduler is alive, and Envoy sees whether its configuration is.
        unsafe {
            abi::envoy_dynamic_module_callback_http_filter_config_scheduler_commit(scheduler.0, 0);
        }
    }

    /// On the main thread: does what was posted. What is posted meanwhile is left to Envoy's
    /// next call, which each post asks for.
    pub(super) fn run_events(&self) {
        // Not in the loop's head, where the lock would be held until its end.
        let events = std::mem::take(&mut *lock(&self.events));
        for event in events {
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
                Event::Call(target, token, action) => self.call(&target, token, &action),
            }
        }
    }

    /// On the main thread.
    fn call(&self, target: &Target, token: u32, action: &CallAction) {
        match action {
            CallAction::Open(request, end) => {
                let opened = self.open_call(target, token, &request.borrowed(), *end);
                if opened.is_err()
                    && let Some(vm) = target.vm.upgrade()
                {
                    let event = CallEvent::Failed("the call could not be sent");
                    vm.enter().call_event(token, event);
                }
            }
            CallAction::Send(data, end) => {
                self.send_on_call(target, token, data, *end);
            }
            CallAction::Reset => {
                self.reset_call(target, token);
            }
        }
    }

    /// On the main thread.
    fn open_call(
        &self,
        target: &Target,
        token: u32,
        request: &HttpRequest<'_>,
        end: bool,
    ) -> HostResult {
        // SAFETY: the configuration is alive, and this is the main thread.
        let id = self.with_config(|config| unsafe { OF_CONFIG.open(config, request, end) });
        let id = id.ok_or(Status::InternalFailure)??;
        lock(&self.calls).push((id, target.clone(), token));
        Ok(())
    }

    fn call_id(&self, target: &Target, token: u32) -> Option<u64> {
        let calls = lock(&self.calls);
        let found = calls
            .iter()
            .find(|it| it.2 == token && it.1.vm.ptr_eq(&target.vm));
        found.map(|it| it.0)
    }

    /// On the main thread; says whether there is such a call.
    fn send_on_call(&self, target: &Target, token: u32, data: &[u8], end: bool) -> bool {
        let id = self.call_id(target, token);
        if let Some(id) = id {
            // SAFETY: the configuration is alive, and this is the main thread.
            self.with_config(|config| unsafe { OF_CONFIG.send(config, id, data, end) });
        }
        id.is_some()
    }

    /// On the main thread; says whether there is such a call.
    fn reset_call(&self, target: &Target, token: u32) -> bool {
        let id = self.call_id(target, token);
        if let Some(id) = id {
            lock(&self.calls).retain(|it| it.0 != id);
            // SAFETY: the configuration is alive, and this is the main thread.
            self.with_config(|config| unsafe { OF_CONFIG.reset(config, id) });
        }
        id.is_some()
    }

    fn on_main_thread(&self) -> bool {
        thread::current().id() == self.main_thread
    }

    /// On the main thread: something arrived for a call.
    pub(super) fn call_event(&self, id: u64, event: CallEvent) {
        let mut calls = lock(&self.calls);
        let caller = calls.iter().find(|it| it.0 == id);
        let caller = caller.map(|it| (it.1.clone(), it.2));
        if event.is_end() {
            calls.retain(|it| it.0 != id);
        }
        drop(calls);
        if let Some((target, token)) = caller
            && let Some(vm) = target.vm.upgrade()
        {
            vm.enter().call_event(token, event);
        }
    }
}

/// The proxy as a plugin sees it.
pub(super) struct EnvoyProxy {
    pub(super) link: Arc<Link>,
    /// The plugin is being tried out, in a VM that is thrown away.
    pub(super) trial: bool,
    /// The VM that was made for the plugin, if any.
    pub(super) vm: Weak<CountedVm>,
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

    fn open_call(
        &self,
        from: Target,
        token: u32,
        request: &HttpRequest<'_>,
        end: bool,
    ) -> HostResult {
        if self.trial {
            return Err(Status::InternalFailure);
        }
        if self.link.on_main_thread() {
            return self.link.open_call(&from, token, request, end);
        }
        let action = CallAction::Open(OwnedRequest::new(request), end);
        self.link.post(Event::Call(from, token, action));
        Ok(())
    }

    fn send_on_call(&self, from: Target, token: u32, data: &[u8], end: bool) -> HostResult {
        // One that is not there may be on its way.
        let link = &self.link;
        if !link.on_main_thread() || !link.send_on_call(&from, token, data, end) {
            let action = CallAction::Send(data.to_vec(), end);
            link.post(Event::Call(from, token, action));
        }
        Ok(())
    }

    fn reset_call(&self, from: Target, token: u32) {
        let link = &self.link;
        if !link.on_main_thread() || !link.reset_call(&from, token) {
            link.post(Event::Call(from, token, CallAction::Reset));
        }
    }

    fn set_tick_period(&self, root: Target, period: Duration) {
        if !self.trial {
            timers::set(&self.link, root, period);
        }
    }

    fn queue_ready(&self, root: Target, token: u32) {
        self.link.post(Event::QueueReady(root, token));
    }

    fn is_trial(&self) -> bool {
        self.trial
    }

    fn vm_failed(&self, error: &str) {
        self.link.vm_metrics.failed(&self.link);
        log(
            LogLevel::Error,
            &format!("Wasm VM failed{}: {error}", self.name),
        );
    }

    fn memory_grown(&self, bytes: usize) {
        if let Some(vm) = self.vm.upgrade() {
            vm.memory_grown(bytes);
        }
    }
}

/// Without labels.
pub(super) fn no_labels() -> (*mut ModuleBuffer, usize) {
    (std::ptr::null_mut(), 0)
}
