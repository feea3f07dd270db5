//! Envoy's filter of one stream, in Rust's types.

use super::abi::{self, BodyType, EnvoyBuffer, EnvoyHeader, FilterPtr, HeaderType};
use super::abi::{MetadataSource, ModuleBuffer, ModuleHeader, ResetReason};
use super::plugin::RouteConfig;
use crate::host::abi::MapType;
use crate::host::proxy::{LocalResponse, OwnedPairs};

/// A pointer to Envoy's filter, which is alive; used on the stream's thread. Slices that
/// come from it live until Envoy's map or buffer changes, or the hook returns: their
/// lifetime is bound to the handle's borrow, and the host uses each at once.
pub(super) struct Handle(FilterPtr);

impl Handle {
    /// # Safety
    /// `filter` is Envoy's filter; the handle is used while it is alive, on its thread.
    pub(super) unsafe fn new(filter: FilterPtr) -> Self {
        Self(filter)
    }

    pub(super) fn as_ptr(&self) -> FilterPtr {
        self.0
    }

    pub(super) fn worker_index(&self) -> usize {
        // SAFETY: the filter is alive (as everywhere in this file).
        let index =
            unsafe { abi::envoy_dynamic_module_callback_http_filter_get_worker_index(self.0) };
        index as usize
    }

    /// What `per_route_config_new` returned for the stream's route, or null.
    pub(super) fn route_config(&self) -> *const RouteConfig {
        // SAFETY: the filter is alive.
        unsafe { abi::envoy_dynamic_module_callback_get_most_specific_route_config(self.0) }.cast()
    }

    pub(super) fn header(&self, map: HeaderType, name: &[u8]) -> Option<&[u8]> {
        let mut value = EnvoyBuffer::EMPTY;
        // SAFETY: the filter is alive; the out pointers are valid.
        unsafe {
            abi::envoy_dynamic_module_callback_http_get_header(
                self.0,
                map,
                name.into(),
                &raw mut value,
                0,
                std::ptr::null_mut(),
            )
            .then(|| value.bytes())
        }
    }

    pub(super) fn header_count(&self, map: HeaderType) -> usize {
        // SAFETY: the filter is alive.
        unsafe { abi::envoy_dynamic_module_callback_http_get_headers_size(self.0, map) }
    }

    pub(super) fn headers(&self, map: HeaderType) -> Vec<(&[u8], &[u8])> {
        let mut headers = vec![EnvoyHeader::EMPTY; self.header_count(map)];
        // SAFETY: the filter is alive, and there is room for all headers.
        let got = unsafe {
            abi::envoy_dynamic_module_callback_http_get_headers(self.0, map, headers.as_mut_ptr())
        };
        if !got {
            return Vec::new();
        }
        // SAFETY: Envoy's, see the type.
        let pair = |it: EnvoyHeader| unsafe { (it.key.bytes(), it.value.bytes()) };
        headers.into_iter().map(pair).collect()
    }

    pub(super) fn add_header(&self, map: HeaderType, name: &[u8], value: &[u8]) -> bool {
        // SAFETY: the filter is alive.
        unsafe {
            abi::envoy_dynamic_module_callback_http_add_header(
                self.0,
                map,
                name.into(),
                value.into(),
            )
        }
    }

    /// An empty value removes the header.
    pub(super) fn set_header(&self, map: HeaderType, name: &[u8], value: &[u8]) -> bool {
        // SAFETY: the filter is alive.
        unsafe {
            abi::envoy_dynamic_module_callback_http_set_header(
                self.0,
                map,
                name.into(),
                value.into(),
            )
        }
    }

    pub(super) fn body_size(&self, body: BodyType) -> usize {
        // SAFETY: the filter is alive.
        unsafe { abi::envoy_dynamic_module_callback_http_get_body_size(self.0, body) }
    }

    /// The body's pieces.
    pub(super) fn body_chunks(&self, body: BodyType) -> Vec<&[u8]> {
        // SAFETY: the filter is alive.
        let count =
            unsafe { abi::envoy_dynamic_module_callback_http_get_body_chunks_size(self.0, body) };
        let mut chunks = vec![EnvoyBuffer::EMPTY; count];
        // SAFETY: the filter is alive, and there is room for all pieces.
        let got = unsafe {
            abi::envoy_dynamic_module_callback_http_get_body_chunks(
                self.0,
                body,
                chunks.as_mut_ptr(),
            )
        };
        if !got {
            return Vec::new();
        }
        // SAFETY: Envoy's, see the type.
        chunks.into_iter().map(|it| unsafe { it.bytes() }).collect()
    }

    pub(super) fn append_body(&self, body: BodyType, data: &[u8]) -> bool {
        // SAFETY: the filter is alive.
        unsafe { abi::envoy_dynamic_module_callback_http_append_body(self.0, body, data.into()) }
    }

    pub(super) fn drain_body(&self, body: BodyType, size: usize) -> bool {
        // SAFETY: the filter is alive.
        unsafe { abi::envoy_dynamic_module_callback_http_drain_body(self.0, body, size) }
    }

    /// Whether what was received is what was buffered before.
    pub(super) fn received_is_buffered(&self, body: BodyType) -> bool {
        // SAFETY: the filter is alive.
        unsafe {
            match body {
                BodyType::ReceivedRequest | BodyType::BufferedRequest => {
                    abi::envoy_dynamic_module_callback_http_received_buffered_request_body(self.0)
                }
                BodyType::ReceivedResponse | BodyType::BufferedResponse => {
                    abi::envoy_dynamic_module_callback_http_received_buffered_response_body(self.0)
                }
            }
        }
    }

    pub(super) fn send_response(&self, response: &LocalResponse) {
        let headers = response.headers.iter();
        let mut headers: Vec<ModuleHeader> =
            headers.map(|(name, value)| header(name, value)).collect();
        // SAFETY: the filter is alive; Envoy copies what it is given.
        unsafe {
            abi::envoy_dynamic_module_callback_http_send_response(
                self.0,
                response.status,
                headers.as_mut_ptr(),
                headers.len(),
                ModuleBuffer::from(&response.body[..]),
                ModuleBuffer::from(&response.details[..]),
            );
        }
    }

    /// Sends a response that has nothing else.
    pub(super) fn send_response_headers(&self, headers: &OwnedPairs) {
        let headers = headers.iter();
        let mut headers: Vec<_> = headers.map(|(name, value)| header(name, value)).collect();
        // SAFETY: the filter is alive; Envoy copies what it is given.
        unsafe {
            abi::envoy_dynamic_module_callback_http_send_response_headers(
                self.0,
                headers.as_mut_ptr(),
                headers.len(),
                true,
            );
        }
    }

    pub(super) fn continue_decoding(&self) {
        // SAFETY: the filter is alive.
        unsafe { abi::envoy_dynamic_module_callback_http_filter_continue_decoding(self.0) }
    }

    pub(super) fn continue_encoding(&self) {
        // SAFETY: the filter is alive.
        unsafe { abi::envoy_dynamic_module_callback_http_filter_continue_encoding(self.0) }
    }

    pub(super) fn reset(&self, details: &[u8]) {
        // SAFETY: the filter is alive.
        unsafe {
            abi::envoy_dynamic_module_callback_http_filter_reset_stream(
                self.0,
                ResetReason::LocalReset,
                details.into(),
            );
        }
    }

    pub(super) fn clear_route_cache(&self) {
        // SAFETY: the filter is alive.
        unsafe { abi::envoy_dynamic_module_callback_http_clear_route_cache(self.0) }
    }

    pub(super) fn set_upstream_host(&self, host: &[u8]) -> bool {
        // SAFETY: the filter is alive.
        unsafe {
            abi::envoy_dynamic_module_callback_http_set_upstream_override_host(
                self.0,
                host.into(),
                false,
            )
        }
    }

    pub(super) fn attribute_string(&self, attribute: u32) -> Option<&[u8]> {
        let mut value = EnvoyBuffer::EMPTY;
        // SAFETY: the filter is alive; the out pointer is valid.
        unsafe {
            abi::envoy_dynamic_module_callback_http_filter_get_attribute_string(
                self.0,
                attribute,
                &raw mut value,
            )
            .then(|| value.bytes())
        }
    }

    pub(super) fn attribute_int(&self, attribute: u32) -> Option<u64> {
        let mut value = 0;
        // SAFETY: the filter is alive; the out pointer is valid.
        unsafe {
            abi::envoy_dynamic_module_callback_http_filter_get_attribute_int(
                self.0,
                attribute,
                &raw mut value,
            )
        }
        .then_some(value)
    }

    pub(super) fn attribute_bool(&self, attribute: u32) -> Option<bool> {
        let mut value = false;
        // SAFETY: the filter is alive; the out pointer is valid.
        unsafe {
            abi::envoy_dynamic_module_callback_http_filter_get_attribute_bool(
                self.0,
                attribute,
                &raw mut value,
            )
        }
        .then_some(value)
    }

    pub(super) fn cluster_name(&self) -> Option<&[u8]> {
        let mut value = EnvoyBuffer::EMPTY;
        // SAFETY: the filter is alive; the out pointer is valid.
        unsafe {
            abi::envoy_dynamic_module_callback_http_get_cluster_name(self.0, &raw mut value)
                .then(|| value.bytes())
        }
    }

    pub(super) fn metadata_string(
        &self,
        source: MetadataSource,
        namespace: &[u8],
        key: &[u8],
    ) -> Option<&[u8]> {
        let mut value = EnvoyBuffer::EMPTY;
        // SAFETY: the filter is alive; the out pointer is valid.
        unsafe {
            abi::envoy_dynamic_module_callback_http_get_metadata_string(
                self.0,
                source,
                namespace.into(),
                key.into(),
                &raw mut value,
            )
            .then(|| value.bytes())
        }
    }

    pub(super) fn metadata_number(
        &self,
        source: MetadataSource,
        namespace: &[u8],
        key: &[u8],
    ) -> Option<f64> {
        let mut value = 0.0;
        // SAFETY: the filter is alive; the out pointer is valid.
        unsafe {
            abi::envoy_dynamic_module_callback_http_get_metadata_number(
                self.0,
                source,
                namespace.into(),
                key.into(),
                &raw mut value,
            )
        }
        .then_some(value)
    }

    pub(super) fn metadata_bool(
        &self,
        source: MetadataSource,
        namespace: &[u8],
        key: &[u8],
    ) -> Option<bool> {
        let mut value = false;
        // SAFETY: the filter is alive; the out pointer is valid.
        unsafe {
            abi::envoy_dynamic_module_callback_http_get_metadata_bool(
                self.0,
                source,
                namespace.into(),
                key.into(),
                &raw mut value,
            )
        }
        .then_some(value)
    }

    pub(super) fn filter_state(&self, key: &[u8]) -> Option<&[u8]> {
        let mut value = EnvoyBuffer::EMPTY;
        // SAFETY: the filter is alive; the out pointer is valid.
        unsafe {
            (abi::envoy_dynamic_module_callback_http_get_filter_state_bytes(
                self.0,
                key.into(),
                &raw mut value,
            ) || abi::envoy_dynamic_module_callback_http_get_filter_state_typed(
                self.0,
                key.into(),
                &raw mut value,
            ))
            .then(|| value.bytes())
        }
    }

    /// An object that Envoy's filters read.
    pub(super) fn set_typed_filter_state(&self, key: &[u8], value: &[u8]) -> bool {
        // SAFETY: the filter is alive.
        unsafe {
            abi::envoy_dynamic_module_callback_http_set_filter_state_typed(
                self.0,
                key.into(),
                value.into(),
            )
        }
    }

    pub(super) fn set_filter_state(&self, key: &[u8], value: &[u8]) -> bool {
        // SAFETY: the filter is alive.
        unsafe {
            abi::envoy_dynamic_module_callback_http_set_filter_state_bytes(
                self.0,
                key.into(),
                value.into(),
            )
        }
    }
}

pub(super) fn header(name: &[u8], value: &[u8]) -> ModuleHeader {
    ModuleHeader {
        key: name.into(),
        value: value.into(),
    }
}

/// The map in Envoy's terms, if it is one of the stream's.
pub(super) fn header_type(map: MapType) -> Option<HeaderType> {
    match map {
        MapType::RequestHeaders => Some(HeaderType::RequestHeader),
        MapType::RequestTrailers => Some(HeaderType::RequestTrailer),
        MapType::ResponseHeaders => Some(HeaderType::ResponseHeader),
        MapType::ResponseTrailers => Some(HeaderType::ResponseTrailer),
        _ => None,
    }
}
