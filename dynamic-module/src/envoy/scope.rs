//! A filter configuration's side of Envoy as its plugin sees it: metrics, calls, timers, queues.

use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread::ThreadId;
use std::time::Duration;

use crate::config::node::Node;
use crate::envoy::abi::{self, ConfigPtr};
use crate::envoy::calls::OF_CONFIG;
use crate::envoy::config_handle::ConfigHandle;
use crate::envoy::inbox::{Inbox, Message, Waker, lock};
use crate::envoy::log::log;
use crate::envoy::metrics::{self, CountedVm, Metrics, VmMetrics};
use crate::envoy::thread;
use crate::envoy::ticks;
use proxy_wasm_host::abi::{HostResult, LogLevel, MetricKind, Status};
use proxy_wasm_host::proxy::{
    CallEvent, HttpRequest, Metric, OwnedPairs, Proxy, QueueListener, RootId, VmId,
};

/// Something to do on the main thread for a plugin of another.
struct Event {
    caller: Caller,
    action: CallAction,
}

/// Whose call it is: a VM's, by its token for it.
#[derive(Clone)]
struct Caller {
    inbox: Arc<Inbox>,
    vm: VmId,
    token: u32,
}

impl Caller {
    fn is(&self, other: &Self) -> bool {
        self.vm == other.vm && self.token == other.token
    }

    /// On the main thread: something arrived.
    fn tell(&self, event: CallEvent) {
        let is_here = thread::with(|here| Arc::ptr_eq(&here.inbox, &self.inbox));
        if is_here == Some(true) {
            thread::with(|here| here.call_event(self.vm, self.token, event));
        } else {
            self.inbox.post(Message::Call(self.vm, self.token, event));
        }
    }
}

/// What a plugin wants with a call.
enum CallAction {
    Open(OwnedRequest, bool),
    Send(Vec<u8>, bool),
    Reset,
}

/// An [`HttpRequest`] on its way to another thread.
struct OwnedRequest {
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

/// How many there are whose configuration is not gone.
static OPEN: AtomicUsize = AtomicUsize::new(0);

pub(crate) struct Scope {
    pub(crate) config: Arc<ConfigHandle>,
    main_thread: ThreadId,
    /// The main thread's.
    inbox: Arc<Inbox>,
    events: Mutex<Vec<Event>>,
    /// Open calls, by Envoy's id.
    calls: Mutex<Vec<(u64, Caller)>>,
    metrics: Metrics,
    pub(crate) vm_metrics: VmMetrics,
}

impl Scope {
    /// # Safety
    /// As for [`ConfigHandle::new`].
    pub(crate) unsafe fn new(config: ConfigPtr) -> Arc<Self> {
        // SAFETY: by contract.
        let config = Arc::new(unsafe { ConfigHandle::new(config) });
        let inbox = thread::with(|here| here.inbox.clone()).unwrap_or_default();
        let vm_metrics = VmMetrics::define(&config);
        OPEN.fetch_add(1, Ordering::Relaxed);
        inbox.add_waker(config.clone());
        metrics::show_in(&config, vm_metrics, &inbox);
        Arc::new(Self {
            main_thread: std::thread::current().id(),
            inbox,
            events: Mutex::default(),
            calls: Mutex::default(),
            metrics: Metrics::new(&config),
            vm_metrics,
            config,
        })
    }

    /// Lets go of Envoy's configuration, before that goes.
    pub(crate) fn close(&self) {
        if !self.config.close() {
            return;
        }
        let waker: Arc<dyn Waker> = self.config.clone();
        self.inbox.remove_waker(&waker);
        lock(&self.events).clear();
        lock(&self.calls).clear();
        if OPEN.fetch_sub(1, Ordering::Relaxed) == 1 {
            ticks::stop();
        }
    }

    /// Has the main thread do something soon.
    fn post(&self, caller: Caller, action: CallAction) {
        if !self.config.is_closed() {
            lock(&self.events).push(Event { caller, action });
            self.config.wake();
        }
    }

    /// On the main thread: does what was posted. What is posted meanwhile is left to Envoy's
    /// next call, which each post asks for.
    pub(crate) fn run_events(&self) {
        // Not in the loop's head, where the lock would be held until its end.
        let events = std::mem::take(&mut *lock(&self.events));
        for Event { caller, action } in events {
            match action {
                CallAction::Open(request, end) => {
                    let opened = self.open_call(&caller, &request.borrowed(), end);
                    if opened.is_err() {
                        caller.tell(CallEvent::Failed("the call could not be sent"));
                    }
                }
                CallAction::Send(data, end) => {
                    self.send_on_call(&caller, &data, end);
                }
                CallAction::Reset => {
                    self.reset_call(&caller);
                }
            }
        }
    }

    /// On the main thread.
    fn open_call(&self, caller: &Caller, request: &HttpRequest<'_>, end: bool) -> HostResult {
        // SAFETY: the configuration is alive, and this is the main thread.
        let id = self
            .config
            .with(|config| unsafe { OF_CONFIG.open(config, request, end) });
        let id = id.ok_or(Status::InternalFailure)??;
        lock(&self.calls).push((id, caller.clone()));
        Ok(())
    }

    fn call_id(&self, caller: &Caller) -> Option<u64> {
        let calls = lock(&self.calls);
        let found = calls.iter().find(|it| it.1.is(caller));
        found.map(|it| it.0)
    }

    /// On the main thread; says whether there is such a call.
    fn send_on_call(&self, caller: &Caller, data: &[u8], end: bool) -> bool {
        let id = self.call_id(caller);
        if let Some(id) = id {
            // SAFETY: the configuration is alive, and this is the main thread.
            self.config
                .with(|config| unsafe { OF_CONFIG.send(config, id, data, end) });
        }
        id.is_some()
    }

    /// On the main thread; says whether there is such a call.
    fn reset_call(&self, caller: &Caller) -> bool {
        let id = self.call_id(caller);
        if let Some(id) = id {
            lock(&self.calls).retain(|it| it.0 != id);
            // SAFETY: the configuration is alive, and this is the main thread.
            self.config
                .with(|config| unsafe { OF_CONFIG.reset(config, id) });
        }
        id.is_some()
    }

    fn on_main_thread(&self) -> bool {
        std::thread::current().id() == self.main_thread
    }

    /// On the main thread: something arrived for a call.
    pub(crate) fn call_event(&self, id: u64, event: CallEvent) {
        let mut calls = lock(&self.calls);
        let caller = calls.iter().find(|it| it.0 == id);
        let caller = caller.map(|it| it.1.clone());
        if event.is_end() {
            calls.retain(|it| it.0 != id);
        }
        drop(calls);
        if let Some(caller) = caller {
            caller.tell(event);
        }
    }
}

/// The proxy as a plugin sees it on one thread.
pub(crate) struct EnvoyProxy {
    pub(crate) scope: Arc<Scope>,
    /// The thread's.
    pub(crate) inbox: Arc<Inbox>,
    /// The VM that was made for the plugin, if any.
    pub(crate) vm: Weak<CountedVm>,
    /// Stands before what the host says of the plugin.
    pub(crate) name: String,
}

impl EnvoyProxy {
    fn caller(&self, from: RootId, token: u32) -> Caller {
        self.inbox.await_messages();
        Caller {
            inbox: self.inbox.clone(),
            vm: from.vm,
            token,
        }
    }
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

    fn define_metric(&self, kind: MetricKind, name: &[u8]) -> HostResult<Rc<dyn Metric>> {
        self.scope.metrics.define(&self.scope.config, kind, name)
    }

    fn open_call(
        &self,
        from: RootId,
        token: u32,
        request: &HttpRequest<'_>,
        end: bool,
    ) -> HostResult {
        let caller = self.caller(from, token);
        if self.scope.on_main_thread() {
            return self.scope.open_call(&caller, request, end);
        }
        let action = CallAction::Open(OwnedRequest::new(request), end);
        self.scope.post(caller, action);
        thread::with(thread::Thread::find_waker);
        Ok(())
    }

    fn send_on_call(&self, from: RootId, token: u32, data: &[u8], end: bool) -> HostResult {
        // One that is not there may be on its way.
        let (scope, caller) = (&self.scope, self.caller(from, token));
        if !scope.on_main_thread() || !scope.send_on_call(&caller, data, end) {
            scope.post(caller, CallAction::Send(data.to_vec(), end));
        }
        Ok(())
    }

    fn reset_call(&self, from: RootId, token: u32) {
        let (scope, caller) = (&self.scope, self.caller(from, token));
        if !scope.on_main_thread() || !scope.reset_call(&caller) {
            scope.post(caller, CallAction::Reset);
        }
    }

    fn set_tick_period(&self, root: RootId, period: Duration) {
        ticks::set(&self.inbox, root, period);
        thread::with(thread::Thread::find_waker);
    }

    fn queue_listener(&self, root: RootId) -> Arc<dyn QueueListener> {
        self.inbox.await_messages();
        thread::with(thread::Thread::find_waker);
        Arc::new(Listener {
            inbox: self.inbox.clone(),
            root,
        })
    }

    fn vm_failed(&self, vm: VmId, error: &str) {
        ticks::forget(vm);
        self.scope.vm_metrics.failed(&self.scope.config);
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

struct Listener {
    inbox: Arc<Inbox>,
    root: RootId,
}

impl QueueListener for Listener {
    fn is_reachable(&self) -> bool {
        self.inbox.is_reachable()
    }

    fn item_ready(&self, token: u32) {
        self.inbox.post(Message::QueueReady(self.root, token));
    }
}
