//! Envoy's filter of one stream, in Rust's types.

use std::cell::RefCell;
use std::ffi::c_void;

use crate::envoy::abi::{
    self, BodyType, EnvoyBuffer, EnvoyHeader, FilterPtr, HeaderType, SchedulerPtr,
};
use crate::envoy::abi::{ModuleBuffer, ModuleHeader, ResetReason, header};
use crate::envoy::guard;
use crate::envoy::inbox::Waker;
use proxy_wasm_host::abi::MapType;
use proxy_wasm_host::proxy::{LocalResponse, OwnedPairs};

/// A pointer to Envoy's filter, which is alive; used on the stream's thread. Slices that
/// come from it live until Envoy's map or buffer changes, or the hook returns: their
/// lifetime is bound to the handle's borrow, and the host uses each at once.
pub(crate) struct EnvoyFilter {
    filter: FilterPtr,
    headers: RefCell<HeaderList>,
}

/// All headers of a map. One is cheap to ask for; for a second one in the same hook, all
/// are fetched, since each time Envoy copies the name and searches. They are Envoy's: other
/// filters may change them once the hook has ended, or while another runs inside of it.
#[derive(Default)]
struct HeaderList {
    map: Option<HeaderType>,
    /// When they were asked for, see [`guard::hooks`].
    hook: u64,
    list: Vec<EnvoyHeader>,
}

/// Envoy's, which does nothing once its filter is gone.
pub(crate) struct FilterScheduler(SchedulerPtr);

// SAFETY: Envoy's scheduler is made for use from any thread.
unsafe impl Send for FilterScheduler {}
// SAFETY: as above.
unsafe impl Sync for FilterScheduler {}

impl Waker for FilterScheduler {
    fn wake(&self) {
        // SAFETY: the scheduler is alive; Envoy sees whether its filter is.
        unsafe {
            abi::envoy_dynamic_module_callback_http_filter_scheduler_commit(self.0, 0);
        }
    }
}

impl Drop for FilterScheduler {
    fn drop(&mut self) {
        // SAFETY: it was made in `EnvoyFilter::scheduler`, and this is its end.
        unsafe {
            abi::envoy_dynamic_module_callback_http_filter_scheduler_delete(self.0);
        }
    }
}

impl EnvoyFilter {
    /// # Safety
    /// `filter` is Envoy's filter; the handle is used while it is alive, on its thread.
    pub(crate) unsafe fn new(filter: FilterPtr) -> Self {
        Self {
            filter,
            headers: RefCell::default(),
        }
    }

    pub(crate) fn as_ptr(&self) -> FilterPtr {
        self.filter
    }

    /// Has Envoy call the filter soon, from any thread.
    pub(crate) fn scheduler(&self) -> FilterScheduler {
        // SAFETY: the filter is alive, and Envoy counts references to it atomically.
        FilterScheduler(unsafe {
            abi::envoy_dynamic_module_callback_http_filter_scheduler_new(self.filter)
        })
    }

    /// What `per_route_config_new` returned for the stream's route, or null.
    pub(crate) fn route_config(&self) -> *const c_void {
        // SAFETY: the filter is alive.
        unsafe { abi::envoy_dynamic_module_callback_get_most_specific_route_config(self.filter) }
            .cast()
    }

    pub(crate) fn header(&self, map: HeaderType, name: &[u8]) -> Option<&[u8]> {
        let mut headers = self.headers.borrow_mut();
        let hook = guard::hooks();
        if headers.map == Some(map) && headers.hook == hook {
            if headers.list.is_empty() {
                self.fetch_headers(map, &mut headers.list);
            }
            return find(map, name, &headers.list);
        }
        headers.map = Some(map);
        headers.hook = hook;
        headers.list.clear();
        drop(headers);
        let mut value = EnvoyBuffer::EMPTY;
        // SAFETY: the filter is alive; the out pointers are valid.
        unsafe {
            abi::envoy_dynamic_module_callback_http_get_header(
                self.filter,
                map,
                name.into(),
                &raw mut value,
                0,
                std::ptr::null_mut(),
            )
            .then(|| value.bytes())
        }
    }

    pub(crate) fn header_count(&self, map: HeaderType) -> usize {
        // SAFETY: the filter is alive.
        unsafe { abi::envoy_dynamic_module_callback_http_get_headers_size(self.filter, map) }
    }

    /// Whether the response has begun, be it Envoy's own.
    pub(crate) fn has_response(&self) -> bool {
        self.header_count(HeaderType::ResponseHeader) > 0
    }

    pub(crate) fn headers(&self, map: HeaderType) -> Vec<(&[u8], &[u8])> {
        let mut headers = Vec::new();
        self.fetch_headers(map, &mut headers);
        // SAFETY: Envoy's, see the type.
        let pair = |it: EnvoyHeader| unsafe { (it.key.bytes(), it.value.bytes()) };
        headers.into_iter().map(pair).collect()
    }

    fn fetch_headers(&self, map: HeaderType, headers: &mut Vec<EnvoyHeader>) {
        headers.resize(self.header_count(map), EnvoyHeader::EMPTY);
        let list = headers.as_mut_ptr();
        // SAFETY: the filter is alive, and there is room for all headers.
        let got =
            unsafe { abi::envoy_dynamic_module_callback_http_get_headers(self.filter, map, list) };
        if !got {
            headers.clear();
        }
    }

    pub(crate) fn add_header(&self, map: HeaderType, name: &[u8], value: &[u8]) -> bool {
        guard::turn();
        // SAFETY: the filter is alive.
        unsafe {
            abi::envoy_dynamic_module_callback_http_add_header(
                self.filter,
                map,
                name.into(),
                value.into(),
            )
        }
    }

    /// An empty value removes the header.
    pub(crate) fn set_header(&self, map: HeaderType, name: &[u8], value: &[u8]) -> bool {
        guard::turn();
        // SAFETY: the filter is alive.
        unsafe {
            abi::envoy_dynamic_module_callback_http_set_header(
                self.filter,
                map,
                name.into(),
                value.into(),
            )
        }
    }

    pub(crate) fn body_size(&self, body: BodyType) -> usize {
        // SAFETY: the filter is alive.
        unsafe { abi::envoy_dynamic_module_callback_http_get_body_size(self.filter, body) }
    }

    /// The body's pieces.
    pub(crate) fn body_chunks(&self, body: BodyType) -> Vec<&[u8]> {
        // SAFETY: the filter is alive.
        let count = unsafe {
            abi::envoy_dynamic_module_callback_http_get_body_chunks_size(self.filter, body)
        };
        let mut chunks = vec![EnvoyBuffer::EMPTY; count];
        // SAFETY: the filter is alive, and there is room for all pieces.
        let got = unsafe {
            abi::envoy_dynamic_module_callback_http_get_body_chunks(
                self.filter,
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

    pub(crate) fn append_body(&self, body: BodyType, data: &[u8]) -> bool {
        // SAFETY: the filter is alive.
        unsafe {
            abi::envoy_dynamic_module_callback_http_append_body(self.filter, body, data.into())
        }
    }

    pub(crate) fn drain_body(&self, body: BodyType, size: usize) -> bool {
        // SAFETY: the filter is alive.
        unsafe { abi::envoy_dynamic_module_callback_http_drain_body(self.filter, body, size) }
    }

    /// Whether what was received is what was buffered before.
    pub(crate) fn received_is_buffered(&self, body: BodyType) -> bool {
        // SAFETY: the filter is alive.
        unsafe {
            match body {
                BodyType::ReceivedRequest | BodyType::BufferedRequest => {
                    abi::envoy_dynamic_module_callback_http_received_buffered_request_body(
                        self.filter,
                    )
                }
                BodyType::ReceivedResponse | BodyType::BufferedResponse => {
                    abi::envoy_dynamic_module_callback_http_received_buffered_response_body(
                        self.filter,
                    )
                }
            }
        }
    }

    pub(crate) fn send_response(&self, response: &LocalResponse) {
        guard::turn();
        let headers = response.headers.iter();
        let mut headers: Vec<ModuleHeader> =
            headers.map(|(name, value)| header(name, value)).collect();
        // SAFETY: the filter is alive; Envoy copies what it is given.
        unsafe {
            abi::envoy_dynamic_module_callback_http_send_response(
                self.filter,
                response.status,
                headers.as_mut_ptr(),
                headers.len(),
                ModuleBuffer::from(&response.body[..]),
                ModuleBuffer::from(&response.details[..]),
            );
        }
    }

    /// Sends a response that has nothing else.
    pub(crate) fn send_response_headers(&self, headers: &OwnedPairs) {
        guard::turn();
        let headers = headers.iter();
        let mut headers: Vec<_> = headers.map(|(name, value)| header(name, value)).collect();
        // SAFETY: the filter is alive; Envoy copies what it is given.
        unsafe {
            abi::envoy_dynamic_module_callback_http_send_response_headers(
                self.filter,
                headers.as_mut_ptr(),
                headers.len(),
                true,
            );
        }
    }

    pub(crate) fn continue_decoding(&self) {
        // SAFETY: the filter is alive.
        unsafe { abi::envoy_dynamic_module_callback_http_filter_continue_decoding(self.filter) }
        // The filters after this one have run.
        guard::turn();
    }

    pub(crate) fn continue_encoding(&self) {
        // SAFETY: the filter is alive.
        unsafe { abi::envoy_dynamic_module_callback_http_filter_continue_encoding(self.filter) }
        // The filters after this one have run.
        guard::turn();
    }

    pub(crate) fn reset(&self, details: &[u8]) {
        guard::turn();
        // SAFETY: the filter is alive.
        unsafe {
            abi::envoy_dynamic_module_callback_http_filter_reset_stream(
                self.filter,
                ResetReason::LocalReset,
                details.into(),
            );
        }
    }

    pub(crate) fn clear_route_cache(&self) {
        // SAFETY: the filter is alive.
        unsafe { abi::envoy_dynamic_module_callback_http_clear_route_cache(self.filter) }
        guard::turn();
    }

    pub(crate) fn set_upstream_host(&self, host: &[u8]) -> bool {
        // SAFETY: the filter is alive.
        unsafe {
            abi::envoy_dynamic_module_callback_http_set_upstream_override_host(
                self.filter,
                host.into(),
                false,
            )
        }
    }
}

/// The first value of a header. Names are in lower case at Envoy's.
fn find<'a>(map: HeaderType, mut name: &[u8], list: &[EnvoyHeader]) -> Option<&'a [u8]> {
    // Envoy's own name for it.
    if map == HeaderType::RequestHeader && name.eq_ignore_ascii_case(b"host") {
        name = b":authority";
    }
    list.iter().find_map(|header| {
        // SAFETY: Envoy's, see the type.
        let (key, value) = unsafe { (header.key.bytes(), header.value.bytes()) };
        key.eq_ignore_ascii_case(name).then_some(value)
    })
}

/// The map in Envoy's terms, if it is one of the stream's.
pub(crate) fn header_type(map: MapType) -> Option<HeaderType> {
    match map {
        MapType::RequestHeaders => Some(HeaderType::RequestHeader),
        MapType::RequestTrailers => Some(HeaderType::RequestTrailer),
        MapType::ResponseHeaders => Some(HeaderType::ResponseHeader),
        MapType::ResponseTrailers => Some(HeaderType::ResponseTrailer),
        _ => None,
    }
}
