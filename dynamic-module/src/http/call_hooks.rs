//! What Envoy calls for plugins' calls: one set of hooks for a filter's streams, one for a
//! configuration's. Every body is one guarded call.

use crate::envoy::abi::{ConfigPtr, EnvoyBuffer, EnvoyHeader, FilterPtr};
use crate::envoy::calls::{owned_data, owned_headers};
use crate::envoy::guard::guard;
use crate::http::filter::Filter;
use crate::http::filter_config::FilterConfig;
use crate::http::hooks::with_filter;
use proxy_wasm_host::proxy::CallEvent;

/// Runs the body of a configuration's hook.
fn with_config(hook: &str, config: *const FilterConfig, body: impl FnOnce(&FilterConfig)) {
    guard(
        hook,
        || (),
        || {
            // SAFETY: from `config_new`, alive, or null.
            if let Some(config) = unsafe { config.as_ref() } {
                body(config);
            }
        },
    );
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_headers(
    _envoy: FilterPtr,
    filter: *const Filter,
    id: u64,
    headers: *const EnvoyHeader,
    count: usize,
    end: bool,
) {
    with_filter("http_stream_headers", filter, [(); 2], |it| {
        // SAFETY: as many as Envoy says, alive during the hook.
        let event = CallEvent::Headers(unsafe { owned_headers(headers, count) }, end);
        it.call_event(id, event);
    });
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_data(
    _envoy: FilterPtr,
    filter: *const Filter,
    id: u64,
    data: *const EnvoyBuffer,
    count: usize,
    end: bool,
) {
    with_filter("http_stream_data", filter, [(); 2], |it| {
        // SAFETY: as many as Envoy says, alive during the hook.
        let event = CallEvent::Data(unsafe { owned_data(data, count) }, end);
        it.call_event(id, event);
    });
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_trailers(
    _envoy: FilterPtr,
    filter: *const Filter,
    id: u64,
    trailers: *const EnvoyHeader,
    count: usize,
) {
    with_filter("http_stream_trailers", filter, [(); 2], |it| {
        // SAFETY: as many as Envoy says, alive during the hook.
        let event = CallEvent::Trailers(unsafe { owned_headers(trailers, count) });
        it.call_event(id, event);
    });
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_complete(
    _envoy: FilterPtr,
    filter: *const Filter,
    id: u64,
) {
    with_filter("http_stream_complete", filter, [(); 2], |it| {
        // The response has ended before, or else never will.
        it.call_event(id, CallEvent::Failed("no response"));
    });
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_reset(
    _envoy: FilterPtr,
    filter: *const Filter,
    id: u64,
    _reason: u32,
) {
    with_filter("http_stream_reset", filter, [(); 2], |it| {
        it.call_event(id, CallEvent::Failed("reset"));
    });
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_http_stream_headers(
    _envoy: ConfigPtr,
    config: *const FilterConfig,
    id: u64,
    headers: *const EnvoyHeader,
    count: usize,
    end: bool,
) {
    with_config("config_http_stream_headers", config, |it| {
        // SAFETY: as many as Envoy says, alive during the hook.
        let event = CallEvent::Headers(unsafe { owned_headers(headers, count) }, end);
        it.scope.call_event(id, event);
    });
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_http_stream_data(
    _envoy: ConfigPtr,
    config: *const FilterConfig,
    id: u64,
    data: *const EnvoyBuffer,
    count: usize,
    end: bool,
) {
    with_config("config_http_stream_data", config, |it| {
        // SAFETY: as many as Envoy says, alive during the hook.
        let event = CallEvent::Data(unsafe { owned_data(data, count) }, end);
        it.scope.call_event(id, event);
    });
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_http_stream_trailers(
    _envoy: ConfigPtr,
    config: *const FilterConfig,
    id: u64,
    trailers: *const EnvoyHeader,
    count: usize,
) {
    with_config("config_http_stream_trailers", config, |it| {
        // SAFETY: as many as Envoy says, alive during the hook.
        let event = CallEvent::Trailers(unsafe { owned_headers(trailers, count) });
        it.scope.call_event(id, event);
    });
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_http_stream_complete(
    _envoy: ConfigPtr,
    config: *const FilterConfig,
    id: u64,
) {
    with_config("config_http_stream_complete", config, |it| {
        // The response has ended before, or else never will.
        it.scope.call_event(id, CallEvent::Failed("no response"));
    });
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_http_stream_reset(
    _envoy: ConfigPtr,
    config: *const FilterConfig,
    id: u64,
    _reason: u32,
) {
    with_config("config_http_stream_reset", config, |it| {
        it.scope.call_event(id, CallEvent::Failed("reset"));
    });
}
