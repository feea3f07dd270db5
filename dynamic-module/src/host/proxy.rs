//! What the host asks of a proxy.

use std::borrow::Cow;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::abi::{Direction, HostResult, LogLevel, MapType, MetricKind, Status};
use super::lock::SharedVm;
use super::pairs::{Pairs, UsePairs};

/// Tells a VM that its queue (the token) has a new item.
pub type Wake = Arc<dyn Fn(u32) + Send + Sync>;

/// A root context, named from outside of its VM. It may be gone by the time it is used.
#[derive(Clone)]
pub struct Target {
    /// The VM.
    pub vm: Weak<SharedVm>,
    /// The root context's id.
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
pub trait Metric: Send + Sync {
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

/// The proxy as one plugin sees it, outside of any stream. Called on whichever thread
/// uses the VM.
pub trait Proxy: Send + Sync {
    /// Writes to the proxy's log.
    fn log(&self, level: LogLevel, message: &str);
    /// The least level that is logged, as a number; above all levels: none is.
    fn log_level(&self) -> u32;
    /// A property that does not depend on a stream.
    fn property(&self, path: &[&[u8]]) -> Option<Vec<u8>>;
    /// Makes or finds the metric of that name.
    ///
    /// # Errors
    /// If the proxy cannot.
    fn define_metric(&self, kind: MetricKind, name: &[u8]) -> HostResult<Arc<dyn Metric>>;
    /// Opens a call; what arrives goes to [`super::Entered::call_event`], not from within
    /// this call. `end`: the request is complete.
    ///
    /// # Errors
    /// If it cannot be opened.
    fn open_call(
        &self,
        from: Target,
        token: u32,
        request: &HttpRequest<'_>,
        end: bool,
    ) -> HostResult;
    /// Sends more of a request.
    ///
    /// # Errors
    /// If it cannot be sent.
    fn send_on_call(&self, from: Target, token: u32, data: &[u8], end: bool) -> HostResult;
    /// Gives up a call, if it has not ended.
    fn reset_call(&self, from: Target, token: u32);
    /// Has [`super::Entered::tick`] called at this interval, or no more if it is 0.
    fn set_tick_period(&self, root: Target, period: Duration);
    /// Has [`super::Entered::queue_ready`] called soon, not from within this call.
    fn queue_ready(&self, root: Target, token: u32);
    /// Whether the plugin is being tried out, in a VM that is thrown away.
    fn is_trial(&self) -> bool {
        false
    }
    /// The VM has failed; `error` is what happened, with the plugin's backtrace.
    fn vm_failed(&self, error: &str);
    /// The VM's memory has grown by so many bytes.
    fn memory_grown(&self, bytes: usize) {
        let _ = bytes;
    }
}

/// One HTTP stream. Called on the stream's own thread, but for [`Stream::remote`].
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
    fn body_size(&self, direction: Direction) -> usize;
    /// Copies from the body; the range lies within [`Stream::body_size`].
    fn read_body(&self, direction: Direction, start: usize, out: &mut [u8]);
    /// Replaces the first `remove` bytes.
    ///
    /// # Errors
    /// If the body cannot be changed now.
    fn replace_body(&self, direction: Direction, remove: usize, data: &[u8]) -> HostResult;
    /// Appends to the body.
    ///
    /// # Errors
    /// If the body cannot be changed now.
    fn append_body(&self, direction: Direction, data: &[u8]) -> HostResult;

    /// A property of the stream.
    fn property(&self, path: &[&[u8]]) -> Option<Cow<'_, [u8]>>;
    /// Sets a property.
    ///
    /// # Errors
    /// If the proxy cannot.
    fn set_property(&self, path: &[u8], value: &[u8]) -> HostResult;
    /// Makes one of the proxy's own objects from `value`, for its filters to read.
    ///
    /// # Errors
    /// If the proxy does not know such a one, or the value is not right for it.
    fn set_filter_state(&self, key: &[u8], value: &[u8]) -> HostResult {
        let _ = (key, value);
        Err(Status::Unimplemented)
    }
    /// Has the route chosen again.
    fn clear_route_cache(&self);
    /// Whether it is too late for calls of its own.
    fn is_ending(&self) -> bool {
        false
    }
    /// Opens a call that lives as long as the stream; see [`Proxy::open_call`].
    ///
    /// # Errors
    /// If it cannot be opened.
    fn open_call(&self, token: u32, request: &HttpRequest<'_>, end: bool) -> HostResult;
    /// Sends more of a request.
    ///
    /// # Errors
    /// If it cannot be sent.
    fn send_on_call(&self, token: u32, data: &[u8], end: bool) -> HostResult;
    /// Gives up a call, if it has not ended.
    fn reset_call(&self, token: u32);
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
    /// A handle through which another thread can ask for an action. Called from that
    /// thread, while it has entered the VM, which the stream must do before it ends.
    fn remote(&self) -> Option<Arc<dyn RemoteStream>>;
}

/// A stream, from another thread.
pub trait RemoteStream: Send + Sync {
    /// Has the action carried out on the stream's thread, if the stream is still there.
    fn act(&self, action: StreamAction);
}
