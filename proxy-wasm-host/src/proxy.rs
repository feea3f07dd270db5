//! What the host asks of a proxy.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::abi::{Direction, HostResult, LogLevel, MapType, MetricKind, Status};
use crate::pairs::{Pairs, UsePairs};

/// A root context that listens to queues, from any thread and also when it is gone.
pub trait QueueListener: Send + Sync {
    /// Whether its thread can be had to call it soon. One that cannot hears of new items only if
    /// nobody else listens.
    fn is_reachable(&self) -> bool;
    /// Has [`crate::Vm::queue_ready`] called soon, on the VM's thread, and not from within this
    /// call.
    fn item_ready(&self, token: u32);
}

/// Names a VM of this process, on any thread and when it is gone. No other ever has the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VmId(pub(crate) u64);

/// Names a root context, on any thread and when it is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RootId {
    /// The VM.
    pub vm: VmId,
    /// The root context's id in it.
    pub context: u32,
}

/// What opens a call of a plugin's.
pub struct HttpRequest<'a> {
    /// The cluster.
    pub upstream: &'a [u8],
    /// Headers, `:method`, `:path` and `:authority` among them.
    pub headers: Pairs<'a>,
    /// Body, or its beginning, or empty.
    pub body: &'a [u8],
    /// 0 for none.
    pub timeout_ms: u32,
}

/// The response to an HTTP call.
#[derive(Default)]
pub struct CallResponse {
    /// Headers; none if the call failed.
    pub headers: OwnedPairs,
    /// Body.
    pub body: Vec<u8>,
    /// Trailers.
    pub trailers: OwnedPairs,
}

/// What arrives for a call; `true` is the end.
#[derive(Debug)]
pub enum CallEvent {
    /// The response's headers.
    Headers(OwnedPairs, bool),
    /// A piece of its body.
    Data(Vec<u8>, bool),
    /// Its trailers, which end it.
    Trailers(OwnedPairs),
    /// It ended early, for this reason.
    Failed(&'static str),
}

impl CallEvent {
    /// Whether nothing comes after it.
    pub fn is_end(&self) -> bool {
        match self {
            Self::Headers(_, end) | Self::Data(_, end) => *end,
            Self::Trailers(_) | Self::Failed(_) => true,
        }
    }
}

/// Names and values, owned.
pub type OwnedPairs = Vec<(Vec<u8>, Vec<u8>)>;

/// A response made by the plugin instead of an upstream.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalResponse {
    /// HTTP status.
    pub status: u32,
    /// For the proxy's access log.
    pub details: Vec<u8>,
    /// Body.
    pub body: Vec<u8>,
    /// Further headers.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// gRPC status, if the plugin gave one.
    pub grpc_status: Option<u32>,
}

/// What a plugin asks of a stream, to be done once the plugin has returned.
#[derive(Clone, Debug, PartialEq)]
pub enum StreamAction {
    /// Go on after a pause.
    Resume(Direction),
    /// Reset the stream.
    Close,
    /// Answer.
    Respond(LocalResponse),
}

/// A metric that a plugin defined.
pub trait Metric {
    /// Its kind.
    fn kind(&self) -> MetricKind;
    /// Adds to a counter or gauge.
    ///
    /// # Errors
    /// [`Status::BadArgument`] for what this kind cannot do.
    fn add(&self, offset: i64) -> HostResult;
    /// Sets a gauge, adds to a counter, records into a histogram.
    ///
    /// # Errors
    /// If the proxy refused.
    fn record(&self, value: u64) -> HostResult;
    /// The value of a counter or gauge.
    fn value(&self) -> u64;
}

/// Hears of nothing.
struct Nobody;

impl QueueListener for Nobody {
    fn is_reachable(&self) -> bool {
        false
    }

    fn item_ready(&self, _: u32) {}
}

/// The proxy as one plugin sees it on one thread, outside of any stream. Called on the VM's
/// thread. What has a default, a proxy may be without: its plugins are told `Unimplemented`.
pub trait Proxy {
    /// Writes to the proxy's log.
    fn log(&self, level: LogLevel, message: &str);
    /// The least level that is logged, as a number; above all levels: none is.
    fn log_level(&self) -> u32;
    /// A property that does not depend on a stream.
    fn property(&self, path: &[&[u8]]) -> Option<Vec<u8>> {
        let _ = path;
        None
    }
    /// Makes or finds the metric of that name.
    ///
    /// # Errors
    /// If the proxy cannot.
    fn define_metric(&self, kind: MetricKind, name: &[u8]) -> HostResult<Rc<dyn Metric>> {
        let _ = (kind, name);
        Err(Status::Unimplemented)
    }
    /// Opens a call; what arrives goes to [`crate::Vm::call_event`], not from within
    /// this call. `end`: the request is complete.
    ///
    /// # Errors
    /// If it cannot be opened.
    fn open_call(
        &self,
        from: RootId,
        token: u32,
        request: &HttpRequest<'_>,
        end: bool,
    ) -> HostResult {
        let _ = (from, token, request, end);
        Err(Status::Unimplemented)
    }
    /// Sends more of a request.
    ///
    /// # Errors
    /// If it cannot be sent.
    fn send_on_call(&self, from: RootId, token: u32, data: &[u8], end: bool) -> HostResult {
        let _ = (from, token, data, end);
        Err(Status::Unimplemented)
    }
    /// Gives up a call, if it has not ended.
    fn reset_call(&self, from: RootId, token: u32) {
        let _ = (from, token);
    }
    /// Has [`crate::Vm::tick`] called at this interval, or no more if it is 0.
    fn set_tick_period(&self, root: RootId, period: Duration) {
        let _ = (root, period);
    }
    /// The root context, as one that listens to queues.
    fn queue_listener(&self, root: RootId) -> Arc<dyn QueueListener> {
        let _ = root;
        Arc::new(Nobody)
    }
    /// The VM has failed, and is not called any more; `error` is what happened, with the plugin's
    /// backtrace.
    fn vm_failed(&self, vm: VmId, error: &str);
    /// The VM's memory has grown by so many bytes.
    fn memory_grown(&self, bytes: usize) {
        let _ = bytes;
    }
}

/// One HTTP stream, on the VM's thread. What has a default, a proxy may be without, as in
/// [`Proxy`].
///
/// Slices that it returns live until the stream is changed or its callback ends.
pub trait Stream {
    /// Whether there is such a map now.
    fn has_map(&self, map: MapType) -> bool;
    /// The first value of a header.
    fn header(&self, map: MapType, name: &[u8]) -> Option<Cow<'_, [u8]>>;
    /// Hands over all headers, none if there is no such map.
    fn headers(&self, map: MapType, use_them: &mut UsePairs<'_>);
    /// Appends a header.
    ///
    /// # Errors
    /// If there is no such map.
    fn add_header(&self, map: MapType, name: &[u8], value: &[u8]) -> HostResult;
    /// Sets a header, replacing what it had.
    ///
    /// # Errors
    /// If there is no such map.
    fn set_header(&self, map: MapType, name: &[u8], value: &[u8]) -> HostResult;
    /// Removes a header.
    ///
    /// # Errors
    /// If there is no such map.
    fn remove_header(&self, map: MapType, name: &[u8]) -> HostResult;

    /// Bytes of body that the plugin can see now.
    fn body_size(&self, direction: Direction) -> usize {
        let _ = direction;
        0
    }
    /// Copies from the body; the range lies within [`Stream::body_size`].
    fn read_body(&self, direction: Direction, start: usize, out: &mut [u8]) {
        let _ = (direction, start, out);
    }
    /// Replaces the first `remove` bytes.
    ///
    /// # Errors
    /// If the body cannot be changed now.
    fn replace_body(&self, direction: Direction, remove: usize, data: &[u8]) -> HostResult {
        let _ = (direction, remove, data);
        Err(Status::Unimplemented)
    }
    /// Appends to the body.
    ///
    /// # Errors
    /// If the body cannot be changed now.
    fn append_body(&self, direction: Direction, data: &[u8]) -> HostResult {
        let _ = (direction, data);
        Err(Status::Unimplemented)
    }

    /// A property of the stream.
    fn property(&self, path: &[&[u8]]) -> Option<Cow<'_, [u8]>> {
        let _ = path;
        None
    }
    /// Sets a property.
    ///
    /// # Errors
    /// If the proxy cannot.
    fn set_property(&self, path: &[u8], value: &[u8]) -> HostResult {
        let _ = (path, value);
        Err(Status::Unimplemented)
    }
    /// Makes one of the proxy's own objects from `value`, for its filters to read.
    ///
    /// # Errors
    /// If the proxy does not know such a one, or the value is not right for it.
    fn set_filter_state(&self, key: &[u8], value: &[u8]) -> HostResult {
        let _ = (key, value);
        Err(Status::Unimplemented)
    }
    /// Has the route chosen again.
    fn clear_route_cache(&self) {}
    /// Whether it is too late for calls of its own.
    fn is_ending(&self) -> bool {
        false
    }
    /// Opens a call that lives as long as the stream; see [`Proxy::open_call`].
    ///
    /// # Errors
    /// If it cannot be opened.
    fn open_call(&self, token: u32, request: &HttpRequest<'_>, end: bool) -> HostResult {
        let _ = (token, request, end);
        Err(Status::Unimplemented)
    }
    /// Sends more of a request.
    ///
    /// # Errors
    /// If it cannot be sent.
    fn send_on_call(&self, token: u32, data: &[u8], end: bool) -> HostResult {
        let _ = (token, data, end);
        Err(Status::Unimplemented)
    }
    /// Gives up a call, if it has not ended.
    fn reset_call(&self, token: u32) {
        let _ = token;
    }
    /// Chooses the upstream host.
    ///
    /// # Errors
    /// If the proxy cannot.
    fn set_upstream_host(&self, host: &[u8]) -> HostResult {
        let _ = host;
        Err(Status::Unimplemented)
    }
    /// Carries out what was deferred.
    fn act(&self, action: StreamAction);
}
