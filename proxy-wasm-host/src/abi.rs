//! Numbers of the Proxy-Wasm ABI, as the specification gives them.

/// What a hostcall returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Status {
    /// Done.
    Ok = 0,
    /// There is no such thing, or not now.
    NotFound = 1,
    /// An argument that can never be right.
    BadArgument = 2,
    /// A value that cannot be encoded.
    SerializationFailure = 3,
    /// An argument that cannot be decoded.
    ParseFailure = 4,
    /// A pointer outside of the linear memory.
    InvalidMemoryAccess = 6,
    /// The queue has no item.
    Empty = 7,
    /// The shared value changed since it was read.
    CasMismatch = 8,
    /// The host could not do it.
    InternalFailure = 10,
    /// The other side went away.
    BrokenConnection = 11,
    /// Not served by this host.
    Unimplemented = 12,
}

/// Result of a hostcall; the error is never [`Status::Ok`].
pub type HostResult<T = ()> = Result<T, Status>;

/// Version of the ABI that a plugin was built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AbiVersion {
    /// 0.1.0
    V0_1_0,
    /// 0.2.0
    V0_2_0,
    /// 0.2.1
    V0_2_1,
    /// Higress' dialect of 0.2.1.
    V0_2_100,
}

impl AbiVersion {
    /// All versions with the export that marks them, the newest first.
    pub const MARKERS: [(&str, Self); 4] = [
        ("proxy_abi_version_0_2_100", Self::V0_2_100),
        ("proxy_abi_version_0_2_1", Self::V0_2_1),
        ("proxy_abi_version_0_2_0", Self::V0_2_0),
        ("proxy_abi_version_0_1_0", Self::V0_1_0),
    ];
}

macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $value:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u32)]
        pub enum $name { $($(#[$variant_doc])* $variant = $value,)* }

        impl TryFrom<u32> for $name {
            type Error = Status;
            fn try_from(value: u32) -> HostResult<Self> {
                match value {
                    $($value => Ok(Self::$variant),)*
                    _ => Err(Status::BadArgument),
                }
            }
        }
    };
}

numbered! {
    /// Levels of log messages; Envoy's have the same numbers.
    LogLevel {
        /// trace
        Trace = 0,
        /// debug
        Debug = 1,
        /// info
        Info = 2,
        /// warning
        Warn = 3,
        /// error
        Error = 4,
        /// critical
        Critical = 5,
    }
}

numbered! {
    /// Maps of headers, trailers and the like.
    MapType {
        /// Request headers.
        RequestHeaders = 0,
        /// Request trailers.
        RequestTrailers = 1,
        /// Response headers.
        ResponseHeaders = 2,
        /// Response trailers.
        ResponseTrailers = 3,
        /// Initial metadata of a gRPC response.
        GrpcInitialMetadata = 4,
        /// Trailing metadata of a gRPC response.
        GrpcTrailingMetadata = 5,
        /// Headers of the response to an HTTP call.
        CallResponseHeaders = 6,
        /// Trailers of the response to an HTTP call.
        CallResponseTrailers = 7,
    }
}

numbered! {
    /// Buffers.
    BufferType {
        /// Request body.
        RequestBody = 0,
        /// Response body.
        ResponseBody = 1,
        /// Bytes from the client of a TCP connection.
        DownstreamData = 2,
        /// Bytes from the server of a TCP connection.
        UpstreamData = 3,
        /// Body of the response to an HTTP call.
        CallResponseBody = 4,
        /// A gRPC message.
        GrpcMessage = 5,
        /// The VM's configuration.
        VmConfiguration = 6,
        /// The plugin's configuration.
        PluginConfiguration = 7,
        /// What a callback was called with.
        CallData = 8,
        /// Higress: response to a Redis call.
        RedisCallResponse = 9,
    }
}

numbered! {
    /// Kinds of metric.
    MetricKind {
        /// Only grows.
        Counter = 0,
        /// Goes up and down.
        Gauge = 1,
        /// A distribution.
        Histogram = 2,
    }
}

/// Direction of an HTTP stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Towards the upstream.
    Request,
    /// Towards the client.
    Response,
}

/// What the proxy does after a callback for headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadersAction {
    /// Go on.
    Continue,
    /// Hold the headers, go on with the body.
    StopIteration,
    /// Hold everything; buffer what arrives.
    StopAllAndBuffer,
    /// Hold everything; stop reading when the buffer is full.
    StopAllAndWatermark,
}

/// What the proxy does after a callback for a piece of body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataAction {
    /// Go on.
    Continue,
    /// Keep it and hand it over again with the next piece.
    StopAndBuffer,
    /// As above, and stop reading when the buffer is full.
    StopAndWatermark,
    /// Drop it.
    StopNoBuffer,
}

/// What the proxy does after a callback for trailers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrailersAction {
    /// Go on.
    Continue,
    /// Hold them.
    Stop,
}
