//! Plugins' calls, as Envoy's HTTP streams: those of a stream's filter, on its thread, and
//! those of a configuration, on the main thread.

use std::ffi::c_void;

use crate::envoy::abi::header;
use crate::envoy::abi::{self, EnvoyBuffer, EnvoyHeader, ModuleBuffer, ModuleHeader};
use proxy_wasm_host::abi::{HostResult, Status};
use proxy_wasm_host::proxy::{HttpRequest, OwnedPairs};

type Start = unsafe extern "C" fn(
    *mut c_void,
    *mut u64,
    ModuleBuffer,
    *mut ModuleHeader,
    usize,
    ModuleBuffer,
    bool,
    u64,
) -> u32;

/// Envoy's functions for the streams of one kind of owner.
pub(crate) struct Calls {
    start: Start,
    send: unsafe extern "C" fn(*mut c_void, u64, ModuleBuffer, bool) -> bool,
    reset: unsafe extern "C" fn(*mut c_void, u64),
}

pub(crate) const OF_FILTER: Calls = Calls {
    start: abi::envoy_dynamic_module_callback_http_filter_start_http_stream,
    send: abi::envoy_dynamic_module_callback_http_stream_send_data,
    reset: abi::envoy_dynamic_module_callback_http_filter_reset_http_stream,
};

pub(crate) const OF_CONFIG: Calls = Calls {
    start: abi::envoy_dynamic_module_callback_http_filter_config_start_http_stream,
    send: abi::envoy_dynamic_module_callback_http_filter_config_stream_send_data,
    reset: abi::envoy_dynamic_module_callback_http_filter_config_reset_http_stream,
};

impl Calls {
    /// Opens a stream; returns Envoy's id of it.
    ///
    /// # Safety
    /// `owner` is alive and of this kind, and this is its thread.
    pub(crate) unsafe fn open(
        &self,
        owner: *mut c_void,
        request: &HttpRequest<'_>,
        end: bool,
    ) -> HostResult<u64> {
        let headers = request.headers.iter();
        let mut headers: Vec<_> = headers.map(|(name, value)| header(name, value)).collect();
        let mut id = 0;
        // SAFETY: by contract; Envoy copies what it is given.
        let result = unsafe {
            (self.start)(
                owner,
                &raw mut id,
                request.upstream.into(),
                headers.as_mut_ptr(),
                headers.len(),
                request.body.into(),
                end,
                request.timeout_ms.into(),
            )
        };
        match result {
            abi::CALLOUT_STARTED => Ok(id),
            abi::CALLOUT_HEADER_MISSING | abi::CALLOUT_NO_CLUSTER => Err(Status::BadArgument),
            _ => Err(Status::InternalFailure),
        }
    }

    /// Sends on a stream, if it is still open.
    ///
    /// # Safety
    /// As for [`Calls::open`].
    pub(crate) unsafe fn send(&self, owner: *mut c_void, id: u64, data: &[u8], end: bool) {
        // SAFETY: by contract; Envoy copies what it is given.
        unsafe { (self.send)(owner, id, data.into(), end) };
    }

    /// Ends a stream, if it is still open. Envoy calls the hook for it at once.
    ///
    /// # Safety
    /// As for [`Calls::open`].
    pub(crate) unsafe fn reset(&self, owner: *mut c_void, id: u64) {
        // SAFETY: by contract.
        unsafe { (self.reset)(owner, id) };
    }
}

/// Headers as Envoy hands them over.
///
/// # Safety
/// They are as many as said, and alive.
pub(crate) unsafe fn owned_headers(headers: *const EnvoyHeader, count: usize) -> OwnedPairs {
    if count == 0 {
        return Vec::new();
    }
    // SAFETY: by contract.
    let headers = unsafe { std::slice::from_raw_parts(headers, count) };
    // SAFETY: by contract.
    let own = |it: &EnvoyHeader| unsafe { (it.key.bytes().to_vec(), it.value.bytes().to_vec()) };
    headers.iter().map(own).collect()
}

/// Pieces of a body, put together.
///
/// # Safety
/// They are as many as said, and alive.
pub(crate) unsafe fn owned_data(pieces: *const EnvoyBuffer, count: usize) -> Vec<u8> {
    let mut data = Vec::new();
    if count > 0 {
        // SAFETY: by contract.
        for piece in unsafe { std::slice::from_raw_parts(pieces, count) } {
            // SAFETY: by contract.
            data.extend_from_slice(unsafe { piece.bytes() });
        }
    }
    data
}
