//! One stream: Envoy's filter on one side, a context of the plugin on the other.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use crate::config::FailurePolicy;
use crate::envoy::abi::{self, BodyStatus, HeadersStatus, TrailersStatus};
use crate::envoy::inbox::Waker;
use crate::envoy::plugin::WasmPlugin;
use crate::envoy::scope::Scope;
use crate::envoy::thread::{self, Instance, LiveStream};
use crate::http::body::Body;
use crate::http::envoy_filter::EnvoyFilter;
use crate::http::filter_config::{FilterConfig, RouteConfig};
use crate::http::local_reply::LocalReply;
use crate::http::stream_times::StreamTimes;
use proxy_wasm_host::abi::{DataAction, Direction, HeadersAction, MapType, TrailersAction};
use proxy_wasm_host::proxy::{CallEvent, LocalResponse, Stream};
use proxy_wasm_host::{Vm, grpc};

/// What `filter_new` hands to Envoy.
///
/// A stream can end inside of a call that a hook makes to Envoy, which may then destroy this:
/// every hook, and every action, holds it until it has returned ([`Filter::hold`]).
pub(crate) struct Filter {
    this: Weak<Self>,
    envoy: EnvoyFilter,
    scope: Arc<Scope>,
    /// The filter's plugin, unless the route has its own.
    default_plugin: Arc<WasmPlugin>,
    /// The plugin's context, from the first event on.
    active: OnceCell<Option<Active>>,
    plugin: OnceCell<Arc<WasmPlugin>>,
    /// The plugin's own response, while its callbacks see it.
    local: RefCell<Option<Rc<LocalReply>>>,
    /// By direction: the plugin asked Envoy to keep the body.
    buffering: [Cell<bool>; 2],
    /// Whose piece of body is being handled.
    receiving: Cell<Option<Direction>>,
    /// The stream was answered here: by the plugin, or since the VM has failed.
    answered: Cell<bool>,
    logged: Cell<bool>,
    /// Open calls: Envoy's id and the plugin's token.
    pub(crate) calls: RefCell<Vec<(u64, u32)>>,
    /// It is too late for calls, which would end with the stream, and for actions: soon
    /// Envoy's filter has let go of the stream.
    pub(crate) ending: Cell<bool>,
    /// Its place among the thread's streams.
    place: Cell<usize>,
    is_listed: Cell<bool>,
    pub(crate) times: StreamTimes,
}

struct Active {
    instance: Rc<Instance>,
    context: u32,
}

impl Active {
    fn vm(&self) -> &Vm {
        &self.instance.vm.vm
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        // It is gone, unless something unwound.
        self.vm().abandon_stream(self.context);
    }
}

fn slot(direction: Direction) -> usize {
    match direction {
        Direction::Request => 0,
        Direction::Response => 1,
    }
}

impl Filter {
    pub(crate) fn new(envoy: EnvoyFilter, config: &FilterConfig) -> Rc<Self> {
        Rc::new_cyclic(|this| Self {
            this: this.clone(),
            envoy,
            scope: config.scope.clone(),
            default_plugin: config.plugin.clone(),
            active: OnceCell::new(),
            plugin: OnceCell::new(),
            local: RefCell::default(),
            buffering: [Cell::new(false), Cell::new(false)],
            receiving: Cell::new(None),
            answered: Cell::new(false),
            logged: Cell::new(false),
            calls: RefCell::default(),
            ending: Cell::new(false),
            place: Cell::new(0),
            is_listed: Cell::new(false),
            times: StreamTimes::default(),
        })
    }

    /// Keeps it, and with it the VM, whatever Envoy destroys meanwhile.
    pub(crate) fn hold(&self) -> Option<Rc<Self>> {
        self.this.upgrade()
    }

    pub(crate) fn envoy(&self) -> &EnvoyFilter {
        &self.envoy
    }

    fn active(&self) -> Option<&Active> {
        self.active.get_or_init(|| self.activate()).as_ref()
    }

    fn plugin(&self) -> &Arc<WasmPlugin> {
        self.plugin.get_or_init(|| {
            if !RouteConfig::exist() {
                return self.default_plugin.clone();
            }
            // SAFETY: ours; Envoy keeps the route's configuration for as long as the
            // stream has the route.
            let route = unsafe { self.envoy.route_config().cast::<RouteConfig>().as_ref() };
            route.map_or(&self.default_plugin, |it| &it.plugin).clone()
        })
    }

    fn activate(&self) -> Option<Active> {
        let this = self.this.upgrade()?;
        let instance = self.plugin().instance(&self.scope)?;
        let vm = &instance.vm.vm;
        if vm.has_failed() {
            return None;
        }
        let stream: Weak<dyn Stream> = self.this.clone();
        let context = vm.add_stream(instance.root, stream)?;
        thread::with(|here| here.add_stream(&this));
        self.is_listed.set(true);
        Some(Active { instance, context })
    }

    /// Leaves the thread's streams, before Envoy's filter goes.
    fn leave(&self) {
        if self.is_listed.replace(false) {
            thread::with(|here| here.remove_stream(self));
        }
    }

    /// Runs a callback; `None` if the stream must not go on, since the VM has failed or the
    /// stream has ended meanwhile.
    fn event<T>(&self, otherwise: T, callback: impl FnOnce(&Vm, u32) -> T) -> Option<T> {
        let result = self.active().map(|active| {
            let vm = active.vm();
            let result = callback(vm, active.context);
            (result, vm.has_failed())
        });
        if self.ending.get() {
            return None;
        }
        let failed_here = match result {
            Some((result, false)) => return Some(result),
            Some((_, true)) => true,
            None => false,
        };
        if self.answered.get() || self.passes(failed_here) {
            return Some(otherwise);
        }
        self.fail();
        None
    }

    /// Whether the stream goes on without the plugin, whose VM failed: under this stream,
    /// or before it began.
    fn passes(&self, failed_here: bool) -> bool {
        let plugin = self.plugin();
        if failed_here {
            plugin.passes_failed_streams()
        } else {
            plugin.failure_policy() == FailurePolicy::FailOpen
        }
    }

    fn fail(&self) {
        if !self.ending.get() && !self.answered.replace(true) {
            LocalReply::failed(self.is_grpc()).send(&self.envoy);
        }
    }

    pub(crate) fn headers_event(&self, direction: Direction, end: bool) -> HeadersStatus {
        let map = match direction {
            Direction::Request => abi::HeaderType::RequestHeader,
            Direction::Response => abi::HeaderType::ResponseHeader,
        };
        if direction == Direction::Response && self.active.get().is_none() {
            return HeadersStatus::Continue;
        }
        let count = u32::try_from(self.envoy.header_count(map)).unwrap_or(u32::MAX);
        let action = self.event(HeadersAction::Continue, |vm, context| {
            vm.headers(context, direction, count, end)
        });
        match action {
            Some(HeadersAction::Continue) => HeadersStatus::Continue,
            Some(HeadersAction::StopIteration) => HeadersStatus::StopIteration,
            Some(HeadersAction::StopAllAndBuffer) => HeadersStatus::StopAllIterationAndBuffer,
            Some(HeadersAction::StopAllAndWatermark) | None => {
                HeadersStatus::StopAllIterationAndWatermark
            }
        }
    }

    pub(crate) fn body_event(&self, direction: Direction, end: bool) -> BodyStatus {
        if self.active.get().is_none() {
            return BodyStatus::Continue;
        }
        self.receiving.set(Some(direction));
        let body = self.body(direction);
        let size = body.size();
        if direction == Direction::Request {
            let received = &self.times.received;
            received.set(received.get() + body.news() as u64);
        }
        let action = self.event(DataAction::Continue, |vm, context| {
            vm.body(context, direction, size, end)
        });
        self.receiving.set(None);
        self.buffering[slot(direction)].set(action == Some(DataAction::StopAndBuffer));
        match action {
            Some(DataAction::Continue) => BodyStatus::Continue,
            Some(DataAction::StopAndBuffer) => BodyStatus::StopIterationAndBuffer,
            Some(DataAction::StopAndWatermark) => BodyStatus::StopIterationAndWatermark,
            Some(DataAction::StopNoBuffer) | None => BodyStatus::StopIterationNoBuffer,
        }
    }

    pub(crate) fn trailers_event(&self, direction: Direction) -> TrailersStatus {
        if self.active.get().is_none() {
            return TrailersStatus::Continue;
        }
        let map = match direction {
            Direction::Request => abi::HeaderType::RequestTrailer,
            Direction::Response => abi::HeaderType::ResponseTrailer,
        };
        let count = u32::try_from(self.envoy.header_count(map)).unwrap_or(u32::MAX);
        let action = self.event(TrailersAction::Continue, |vm, context| {
            vm.trailers(context, direction, count)
        });
        match action {
            Some(TrailersAction::Continue) => TrailersStatus::Continue,
            Some(TrailersAction::Stop) | None => TrailersStatus::StopIteration,
        }
    }

    fn is_head(&self) -> bool {
        let method = self
            .envoy
            .header(abi::HeaderType::RequestHeader, b":method");
        method == Some(b"HEAD")
    }

    fn is_grpc(&self) -> bool {
        let content_type = self
            .envoy
            .header(abi::HeaderType::RequestHeader, b"content-type");
        content_type.is_some_and(grpc::is_grpc)
    }

    /// Answers the stream. Envoy does not pass a module its own response, so the plugin's
    /// callbacks see it here, as they would in Envoy's Wasm filter. Once a response has begun,
    /// none sees another: Envoy replaces its headers past all filters, or resets the stream.
    pub(crate) fn respond(&self, response: LocalResponse) {
        if self.answered.replace(true) {
            return;
        }
        let reply = Rc::new(LocalReply::new(response, self.is_grpc()));
        if !self.envoy.has_response()
            && let Some(Some(active)) = self.active.get()
        {
            self.local.replace(Some(reply.clone()));
            let vm = active.vm();
            let (headers, size) = (reply.header_count(), reply.body_size());
            // Envoy sends no body in answer to HEAD.
            let has_body = size > 0 && !self.is_head();
            vm.headers(active.context, Direction::Response, headers, !has_body);
            if has_body {
                vm.body(active.context, Direction::Response, size, true);
            }
            self.local.replace(None);
        }
        // The callbacks may have closed the stream.
        if self.ending.get() {
            return;
        }
        reply.send(&self.envoy);
    }

    /// The plugin's own response, if the map or body is its.
    pub(crate) fn local_map(&self, map: MapType) -> Option<Rc<LocalReply>> {
        let local = self.local.borrow();
        local
            .as_ref()
            .filter(|_| map == MapType::ResponseHeaders)
            .cloned()
    }

    pub(crate) fn local_body(&self, direction: Direction) -> Option<Rc<LocalReply>> {
        let local = self.local.borrow();
        local
            .as_ref()
            .filter(|_| direction == Direction::Response)
            .cloned()
    }

    /// Something arrived for a call of the stream's.
    pub(crate) fn call_event(&self, id: u64, event: CallEvent) {
        let Some(token) = self
            .calls
            .borrow()
            .iter()
            .find(|it| it.0 == id)
            .map(|it| it.1)
        else {
            return;
        };
        if event.is_end() {
            self.calls.borrow_mut().retain(|it| it.0 != id);
        }
        if let Some(Some(active)) = self.active.get() {
            let vm = active.vm();
            vm.call_event(token, event);
            if vm.has_failed() && !self.passes(true) {
                self.fail();
            }
        }
    }

    /// After a panic of our own: whether the stream goes on. Else it is answered.
    pub(crate) fn passes_panic(&self) -> bool {
        let passes = self.plugin().failure_policy() == FailurePolicy::FailOpen;
        if !passes {
            self.fail();
        }
        passes
    }

    pub(crate) fn log(&self) {
        self.ending.set(true);
        if self.logged.replace(true) {
            return;
        }
        self.times.stream_is_complete();
        if let Some(active) = self.active() {
            active.vm().log_stream(active.context);
        }
    }

    /// Whether Envoy's filter is gone, or goes soon.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.active.get(), Some(Some(_))) && !self.is_listed.get()
    }

    /// Ends the context.
    pub(crate) fn end(&self) {
        self.ending.set(true);
        self.leave();
        let Some(Some(active)) = self.active.get() else {
            return;
        };
        self.log();
        active.vm().delete_stream(active.context);
    }

    pub(crate) fn body(&self, direction: Direction) -> Body<'_> {
        let buffering = self.buffering[slot(direction)].get();
        let receiving = self.receiving.get() == Some(direction);
        Body::new(&self.envoy, direction, buffering, receiving)
    }
}

impl LiveStream for Filter {
    fn place(&self) -> &Cell<usize> {
        &self.place
    }

    fn waker(&self) -> Arc<dyn Waker> {
        Arc::new(self.envoy.scheduler())
    }
}
