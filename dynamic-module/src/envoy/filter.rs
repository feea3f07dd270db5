//! One stream: Envoy's filter on one side, a context of the plugin on the other.

use std::cell::{Cell, OnceCell, RefCell};
use std::ptr::NonNull;
use std::rc::{Rc, Weak};
use std::sync::{Arc, OnceLock};

use super::abi::{self, BodyStatus, HeadersStatus, TrailersStatus};
use super::body::Body;
use super::handle::Handle;
use super::link::Link;
use super::local::LocalReply;
use super::plugin::{FilterConfig, Instance, RouteConfig, WasmPlugin};
use super::properties;
use super::remote::Remote;
use crate::config::FailurePolicy;
use crate::host::abi::{DataAction, Direction, HeadersAction, MapType, TrailersAction};
use crate::host::grpc;
use crate::host::proxy::{CallEvent, LocalResponse, Stream};

/// What `filter_new` hands to Envoy.
///
/// A stream can end inside of a call that a hook makes to Envoy, which may then destroy this:
/// every hook, and every action, holds it until it has returned ([`Filter::hold`]).
pub(super) struct Filter {
    this: Weak<Self>,
    handle: Handle,
    link: Arc<Link>,
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
    pub(super) calls: RefCell<Vec<(u64, u32)>>,
    /// It is too late for calls, which would end with the stream, and for actions: soon
    /// Envoy's filter has let go of the stream.
    pub(super) ending: Cell<bool>,
    /// Made by whichever thread needs it.
    remote: OnceLock<Arc<Remote>>,
    pub(super) seen: properties::Seen,
}

struct Active {
    instance: Arc<Instance>,
    context: u32,
}

fn slot(direction: Direction) -> usize {
    match direction {
        Direction::Request => 0,
        Direction::Response => 1,
    }
}

impl Filter {
    pub(super) fn new(handle: Handle, config: &FilterConfig) -> Rc<Self> {
        Rc::new_cyclic(|this| Self {
            this: this.clone(),
            handle,
            link: config.link.clone(),
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
            remote: OnceLock::new(),
            seen: properties::Seen::default(),
        })
    }

    /// Keeps it, and with it the VM, whatever Envoy destroys meanwhile.
    pub(super) fn hold(&self) -> Option<Rc<Self>> {
        self.this.upgrade()
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }

    fn active(&self) -> Option<&Active> {
        self.active.get_or_init(|| self.activate()).as_ref()
    }

    pub(super) fn remote_handle(&self) -> &Arc<Remote> {
        self.remote
            .get_or_init(|| Arc::new(Remote::new(&self.handle)))
    }

    fn plugin(&self) -> &Arc<WasmPlugin> {
        self.plugin.get_or_init(|| {
            if !RouteConfig::exist() {
                return self.default_plugin.clone();
            }
            // SAFETY: ours; Envoy keeps the route's configuration for as long as the
            // stream has the route.
            let route = unsafe { self.handle.route_config().as_ref() };
            route.map_or(&self.default_plugin, |it| &it.plugin).clone()
        })
    }

    fn activate(&self) -> Option<Active> {
        let instance = self
            .plugin()
            .instance(&self.link, self.handle.worker_index())
            .filter(|it| !it.vm.shared.has_failed())?;
        let stream: &dyn Stream = self;
        let stream = NonNull::from(stream);
        // SAFETY: only the lifetime changes, which a raw pointer does not have.
        let stream: NonNull<dyn Stream> = unsafe { std::mem::transmute(stream) };
        // SAFETY: a filter stays in its `Rc`, and forgets its context before it goes (`end`).
        let context = unsafe { instance.vm.shared.enter().add_stream(instance.root, stream) }?;
        Some(Active { instance, context })
    }

    /// Runs a callback; `None` if the stream must not go on, since the VM has failed or the
    /// stream has ended meanwhile.
    fn event<T>(
        &self,
        otherwise: T,
        callback: impl FnOnce(&crate::host::Entered<'_>, u32) -> T,
    ) -> Option<T> {
        let result = self.active().map(|active| {
            let vm = &active.instance.vm.shared;
            let result = callback(&vm.enter(), active.context);
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
            let response = LocalResponse {
                status: 503,
                details: b"wasm_fail_stream".to_vec(),
                body: Vec::new(),
                headers: Vec::new(),
                grpc_status: Some(grpc::UNAVAILABLE),
            };
            LocalReply::new(response, self.is_grpc()).send(&self.handle);
        }
    }

    pub(super) fn headers_event(&self, direction: Direction, end: bool) -> HeadersStatus {
        let map = match direction {
            Direction::Request => abi::HeaderType::RequestHeader,
            Direction::Response => abi::HeaderType::ResponseHeader,
        };
        if direction == Direction::Response && self.active.get().is_none() {
            return HeadersStatus::Continue;
        }
        let count = u32::try_from(self.handle.header_count(map)).unwrap_or(u32::MAX);
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

    pub(super) fn body_event(&self, direction: Direction, end: bool) -> BodyStatus {
        if self.active.get().is_none() {
            return BodyStatus::Continue;
        }
        self.receiving.set(Some(direction));
        let body = self.body(direction);
        let size = body.size();
        if direction == Direction::Request {
            let received = &self.seen.received;
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

    pub(super) fn trailers_event(&self, direction: Direction) -> TrailersStatus {
        if self.active.get().is_none() {
            return TrailersStatus::Continue;
        }
        let map = match direction {
            Direction::Request => abi::HeaderType::RequestTrailer,
            Direction::Response => abi::HeaderType::ResponseTrailer,
        };
        let count = u32::try_from(self.handle.header_count(map)).unwrap_or(u32::MAX);
        let action = self.event(TrailersAction::Continue, |vm, context| {
            vm.trailers(context, direction, count)
        });
        match action {
            Some(TrailersAction::Continue) => TrailersStatus::Continue,
            Some(TrailersAction::Stop) | None => TrailersStatus::StopIteration,
        }
    }

    fn is_grpc(&self) -> bool {
        let content_type = self
            .handle
            .header(abi::HeaderType::RequestHeader, b"content-type");
        content_type.is_some_and(grpc::is_grpc)
    }

    /// Answers the stream. Envoy does not pass a module its own response, so the plugin's
    /// callbacks see it here, as they would in Envoy's Wasm filter. Once a response has begun,
    /// none sees another: Envoy replaces its headers past all filters, or resets the stream.
    pub(super) fn respond(&self, response: LocalResponse) {
        if self.answered.replace(true) {
            return;
        }
        let reply = Rc::new(LocalReply::new(response, self.is_grpc()));
        if !self.handle.has_response()
            && let Some(Some(active)) = self.active.get()
        {
            self.local.replace(Some(reply.clone()));
            let vm = active.instance.vm.shared.enter();
            let (headers, size) = (reply.header_count(), reply.body_size());
            vm.headers(active.context, Direction::Response, headers, size == 0);
            if size > 0 {
                vm.body(active.context, Direction::Response, size, true);
            }
            self.local.replace(None);
        }
        // The callbacks may have closed the stream.
        if self.ending.get() {
            return;
        }
        reply.send(&self.handle);
    }

    /// The plugin's own response, if the map or body is its.
    pub(super) fn local_map(&self, map: MapType) -> Option<Rc<LocalReply>> {
        let local = self.local.borrow();
        local
            .as_ref()
            .filter(|_| map == MapType::ResponseHeaders)
            .cloned()
    }

    pub(super) fn local_body(&self, direction: Direction) -> Option<Rc<LocalReply>> {
        let local = self.local.borrow();
        local
            .as_ref()
            .filter(|_| direction == Direction::Response)
            .cloned()
    }

    /// Something arrived for a call of the stream's.
    pub(super) fn call_event(&self, id: u64, event: CallEvent) {
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
            let vm = &active.instance.vm.shared;
            vm.enter().call_event(token, event);
            if vm.has_failed() && !self.passes(true) {
                self.fail();
            }
        }
    }

    pub(super) fn run_remote(&self) {
        let actions = self.remote.get().map(|it| it.take());
        for action in actions.into_iter().flatten() {
            self.act(action);
        }
    }

    pub(super) fn log(&self) {
        self.ending.set(true);
        if self.logged.replace(true) {
            return;
        }
        self.seen.stream_is_complete();
        if let Some(active) = self.active() {
            active.instance.vm.shared.enter().log_stream(active.context);
        }
    }

    /// Ends the context.
    pub(super) fn end(&self) {
        self.ending.set(true);
        let Some(Some(active)) = self.active.get() else {
            return;
        };
        self.log();
        let vm = active.instance.vm.shared.enter();
        vm.delete_stream(active.context);
    }

    pub(super) fn body(&self, direction: Direction) -> Body<'_> {
        let buffering = self.buffering[slot(direction)].get();
        let receiving = self.receiving.get() == Some(direction);
        Body::new(&self.handle, direction, buffering, receiving)
    }
}
