//! The part of Envoy's dynamic-module ABI, v0.2.0, that the module uses: types and
//! functions as `abi.h` has them, without the prefixes.
//!
//! `tests/artifact.rs` compares the names with an Envoy binary.

use std::ffi::{CStr, c_char, c_void};

/// The ABI's version.
pub(crate) const VERSION: &CStr = c"v0.2.0";

/// Bytes of Envoy's. Live as the hook or callback that gives them says.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct EnvoyBuffer {
    pub(crate) ptr: *const c_char,
    pub(crate) length: usize,
}

impl EnvoyBuffer {
    pub(crate) const EMPTY: Self = Self {
        ptr: std::ptr::null(),
        length: 0,
    };

    /// # Safety
    /// The bytes are alive and unchanged for `'a`.
    pub(crate) unsafe fn bytes<'a>(self) -> &'a [u8] {
        if self.length == 0 {
            return &[];
        }
        // SAFETY: by contract.
        unsafe { std::slice::from_raw_parts(self.ptr.cast(), self.length) }
    }
}

/// Bytes of ours. Envoy reads them during the call only.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct ModuleBuffer {
    pub(crate) ptr: *const c_char,
    pub(crate) length: usize,
}

impl From<&[u8]> for ModuleBuffer {
    fn from(bytes: &[u8]) -> Self {
        Self {
            ptr: bytes.as_ptr().cast(),
            length: bytes.len(),
        }
    }
}

/// A header of Envoy's.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct EnvoyHeader {
    pub(crate) key: EnvoyBuffer,
    pub(crate) value: EnvoyBuffer,
}

impl EnvoyHeader {
    pub(crate) const EMPTY: Self = Self {
        key: EnvoyBuffer::EMPTY,
        value: EnvoyBuffer::EMPTY,
    };
}

/// A header of ours.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct ModuleHeader {
    pub(crate) key: ModuleBuffer,
    pub(crate) value: ModuleBuffer,
}

macro_rules! enumeration {
    ($($(#[$doc:meta])* $name:ident { $($variant:ident = $value:literal),* $(,)? })*) => {
        $($(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(C)]
        #[allow(dead_code, reason = "complete as in the ABI")]
        pub(crate) enum $name { $($variant = $value),* })*
    };
}

enumeration! {
    /// `http_header_type`
    HeaderType {
        RequestHeader = 0, RequestTrailer = 1, ResponseHeader = 2, ResponseTrailer = 3,
    }
    /// `log_level`
    LogLevel { Trace = 0, Debug = 1, Info = 2, Warn = 3, Error = 4, Critical = 5 }
    /// `http_body_type`
    BodyType { ReceivedRequest = 0, BufferedRequest = 1, ReceivedResponse = 2, BufferedResponse = 3 }
    /// `on_http_filter_request_headers_status` and its twin for responses
    HeadersStatus {
        Continue = 0, StopIteration = 1, ContinueAndDontEndStream = 2,
        StopAllIterationAndBuffer = 3, StopAllIterationAndWatermark = 4,
    }
    /// `on_http_filter_request_body_status` and its twin for responses
    BodyStatus {
        Continue = 0, StopIterationAndBuffer = 1, StopIterationAndWatermark = 2,
        StopIterationNoBuffer = 3,
    }
    /// `on_http_filter_request_trailers_status` and its twin for responses
    TrailersStatus { Continue = 0, StopIteration = 1 }
    /// `on_http_filter_local_reply_status`
    LocalReplyStatus { Continue = 0, ContinueAndResetStream = 1 }
    /// `http_filter_stream_reset_reason`
    ResetReason { LocalReset = 0, LocalRefusedStreamReset = 1 }
    /// `metadata_source`
    MetadataSource { Dynamic = 0, Route = 1, Cluster = 2, Host = 3, HostLocality = 4 }
}

/// `http_callout_init_result`: this is success.
pub(crate) const CALLOUT_STARTED: u32 = 0;
/// `http_callout_init_result`: a header is missing.
pub(crate) const CALLOUT_HEADER_MISSING: u32 = 1;
/// `http_callout_init_result`: there is no such cluster.
pub(crate) const CALLOUT_NO_CLUSTER: u32 = 2;
/// `metrics_result`: this is success.
pub(crate) const METRIC_OK: u32 = 0;

/// Envoy's configuration of a filter.
pub(crate) type ConfigPtr = *mut c_void;
/// Envoy's filter of one stream.
pub(crate) type FilterPtr = *mut c_void;
/// A way to have something run on a stream's thread or on the main thread.
pub(crate) type SchedulerPtr = *mut c_void;

macro_rules! callbacks {
    ($(fn $name:ident($($param:ident: $ty:ty),* $(,)?) $(-> $result:ty)?;)*) => {
        unsafe extern "C" {
            $(pub(crate) fn $name($($param: $ty),*) $(-> $result)?;)*
        }
        /// The functions that Envoy must export.
        pub(crate) const CALLBACKS: &[&CStr] = &[$({
            match CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()) {
                Ok(name) => name,
                Err(_) => panic!(),
            }
        }),*];
    };
}

callbacks! {
    fn envoy_dynamic_module_callback_log(level: LogLevel, message: ModuleBuffer);
    fn envoy_dynamic_module_callback_get_log_level() -> u32;
    fn envoy_dynamic_module_callback_is_validation_mode() -> bool;

    fn envoy_dynamic_module_callback_http_filter_config_define_counter(
        config: ConfigPtr, name: ModuleBuffer, labels: *mut ModuleBuffer, count: usize,
        id_out: *mut usize,
    ) -> u32;
    fn envoy_dynamic_module_callback_http_filter_config_define_gauge(
        config: ConfigPtr, name: ModuleBuffer, labels: *mut ModuleBuffer, count: usize,
        id_out: *mut usize,
    ) -> u32;
    fn envoy_dynamic_module_callback_http_filter_config_define_histogram(
        config: ConfigPtr, name: ModuleBuffer, labels: *mut ModuleBuffer, count: usize,
        id_out: *mut usize,
    ) -> u32;
    fn envoy_dynamic_module_callback_http_filter_config_increment_counter(
        config: ConfigPtr, id: usize, labels: *mut ModuleBuffer, count: usize, value: u64,
    ) -> u32;
    fn envoy_dynamic_module_callback_http_filter_config_increment_gauge(
        config: ConfigPtr, id: usize, labels: *mut ModuleBuffer, count: usize, value: u64,
    ) -> u32;
    fn envoy_dynamic_module_callback_http_filter_config_decrement_gauge(
        config: ConfigPtr, id: usize, labels: *mut ModuleBuffer, count: usize, value: u64,
    ) -> u32;
    fn envoy_dynamic_module_callback_http_filter_config_set_gauge(
        config: ConfigPtr, id: usize, labels: *mut ModuleBuffer, count: usize, value: u64,
    ) -> u32;
    fn envoy_dynamic_module_callback_http_filter_config_record_histogram_value(
        config: ConfigPtr, id: usize, labels: *mut ModuleBuffer, count: usize, value: u64,
    ) -> u32;

    fn envoy_dynamic_module_callback_http_filter_config_scheduler_new(
        config: ConfigPtr,
    ) -> SchedulerPtr;
    fn envoy_dynamic_module_callback_http_filter_config_scheduler_commit(
        scheduler: SchedulerPtr, event: u64,
    );
    fn envoy_dynamic_module_callback_http_filter_config_scheduler_delete(scheduler: SchedulerPtr);

    fn envoy_dynamic_module_callback_http_filter_config_start_http_stream(
        config: ConfigPtr, id_out: *mut u64, cluster: ModuleBuffer, headers: *mut ModuleHeader,
        count: usize, body: ModuleBuffer, end: bool, timeout_ms: u64,
    ) -> u32;
    fn envoy_dynamic_module_callback_http_filter_config_stream_send_data(
        config: ConfigPtr, id: u64, data: ModuleBuffer, end: bool,
    ) -> bool;
    fn envoy_dynamic_module_callback_http_filter_config_reset_http_stream(
        config: ConfigPtr, id: u64,
    );
    fn envoy_dynamic_module_callback_http_filter_start_http_stream(
        filter: FilterPtr, id_out: *mut u64, cluster: ModuleBuffer, headers: *mut ModuleHeader,
        count: usize, body: ModuleBuffer, end: bool, timeout_ms: u64,
    ) -> u32;
    fn envoy_dynamic_module_callback_http_stream_send_data(
        filter: FilterPtr, id: u64, data: ModuleBuffer, end: bool,
    ) -> bool;
    fn envoy_dynamic_module_callback_http_filter_reset_http_stream(filter: FilterPtr, id: u64);

    fn envoy_dynamic_module_callback_get_most_specific_route_config(
        filter: FilterPtr,
    ) -> *const c_void;
    fn envoy_dynamic_module_callback_http_filter_scheduler_new(filter: FilterPtr) -> SchedulerPtr;
    fn envoy_dynamic_module_callback_http_filter_scheduler_commit(
        scheduler: SchedulerPtr, event: u64,
    );
    fn envoy_dynamic_module_callback_http_filter_scheduler_delete(scheduler: SchedulerPtr);

    fn envoy_dynamic_module_callback_http_get_header(
        filter: FilterPtr, map: HeaderType, key: ModuleBuffer, result: *mut EnvoyBuffer,
        index: usize, count_out: *mut usize,
    ) -> bool;
    fn envoy_dynamic_module_callback_http_get_headers_size(
        filter: FilterPtr, map: HeaderType,
    ) -> usize;
    fn envoy_dynamic_module_callback_http_get_headers(
        filter: FilterPtr, map: HeaderType, result: *mut EnvoyHeader,
    ) -> bool;
    fn envoy_dynamic_module_callback_http_add_header(
        filter: FilterPtr, map: HeaderType, key: ModuleBuffer, value: ModuleBuffer,
    ) -> bool;
    fn envoy_dynamic_module_callback_http_set_header(
        filter: FilterPtr, map: HeaderType, key: ModuleBuffer, value: ModuleBuffer,
    ) -> bool;

    fn envoy_dynamic_module_callback_http_get_body_size(filter: FilterPtr, body: BodyType) -> usize;
    fn envoy_dynamic_module_callback_http_get_body_chunks_size(
        filter: FilterPtr, body: BodyType,
    ) -> usize;
    fn envoy_dynamic_module_callback_http_get_body_chunks(
        filter: FilterPtr, body: BodyType, result: *mut EnvoyBuffer,
    ) -> bool;
    fn envoy_dynamic_module_callback_http_append_body(
        filter: FilterPtr, body: BodyType, data: ModuleBuffer,
    ) -> bool;
    fn envoy_dynamic_module_callback_http_drain_body(
        filter: FilterPtr, body: BodyType, size: usize,
    ) -> bool;
    fn envoy_dynamic_module_callback_http_received_buffered_request_body(filter: FilterPtr) -> bool;
    fn envoy_dynamic_module_callback_http_received_buffered_response_body(
        filter: FilterPtr,
    ) -> bool;

    fn envoy_dynamic_module_callback_http_send_response(
        filter: FilterPtr, status: u32, headers: *mut ModuleHeader, count: usize,
        body: ModuleBuffer, details: ModuleBuffer,
    );
    fn envoy_dynamic_module_callback_http_send_response_headers(
        filter: FilterPtr, headers: *mut ModuleHeader, count: usize, end: bool,
    );
    fn envoy_dynamic_module_callback_http_filter_continue_decoding(filter: FilterPtr);
    fn envoy_dynamic_module_callback_http_filter_continue_encoding(filter: FilterPtr);
    fn envoy_dynamic_module_callback_http_filter_reset_stream(
        filter: FilterPtr, reason: ResetReason, details: ModuleBuffer,
    );
    fn envoy_dynamic_module_callback_http_clear_route_cache(filter: FilterPtr);
    fn envoy_dynamic_module_callback_http_set_upstream_override_host(
        filter: FilterPtr, host: ModuleBuffer, strict: bool,
    ) -> bool;

    fn envoy_dynamic_module_callback_http_filter_get_attribute_string(
        filter: FilterPtr, attribute: u32, result: *mut EnvoyBuffer,
    ) -> bool;
    fn envoy_dynamic_module_callback_http_filter_get_attribute_int(
        filter: FilterPtr, attribute: u32, result: *mut u64,
    ) -> bool;
    fn envoy_dynamic_module_callback_http_filter_get_attribute_bool(
        filter: FilterPtr, attribute: u32, result: *mut bool,
    ) -> bool;
    fn envoy_dynamic_module_callback_http_get_cluster_name(
        filter: FilterPtr, result: *mut EnvoyBuffer,
    ) -> bool;
    fn envoy_dynamic_module_callback_http_get_metadata_string(
        filter: FilterPtr, source: MetadataSource, namespace: ModuleBuffer, key: ModuleBuffer,
        result: *mut EnvoyBuffer,
    ) -> bool;
    fn envoy_dynamic_module_callback_http_get_metadata_number(
        filter: FilterPtr, source: MetadataSource, namespace: ModuleBuffer, key: ModuleBuffer,
        result: *mut f64,
    ) -> bool;
    fn envoy_dynamic_module_callback_http_get_metadata_bool(
        filter: FilterPtr, source: MetadataSource, namespace: ModuleBuffer, key: ModuleBuffer,
        result: *mut bool,
    ) -> bool;
    fn envoy_dynamic_module_callback_http_get_filter_state_bytes(
        filter: FilterPtr, key: ModuleBuffer, result: *mut EnvoyBuffer,
    ) -> bool;
    fn envoy_dynamic_module_callback_http_get_filter_state_typed(
        filter: FilterPtr, key: ModuleBuffer, result: *mut EnvoyBuffer,
    ) -> bool;
    fn envoy_dynamic_module_callback_http_set_filter_state_bytes(
        filter: FilterPtr, key: ModuleBuffer, value: ModuleBuffer,
    ) -> bool;
    fn envoy_dynamic_module_callback_http_set_filter_state_typed(
        filter: FilterPtr, key: ModuleBuffer, value: ModuleBuffer,
    ) -> bool;
}

/// A header for Envoy, which lives as long as the two do.
pub(crate) fn header(name: &[u8], value: &[u8]) -> ModuleHeader {
    ModuleHeader {
        key: name.into(),
        value: value.into(),
    }
}
