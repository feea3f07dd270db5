//! What Envoy calls, in the order of a configuration's and a stream's life. Every body
//! is one guarded call.

use std::ffi::{c_char, c_void};

use crate::envoy::abi::{
    self, BodyStatus, ConfigPtr, EnvoyBuffer, EnvoyHeader, FilterPtr, HeadersStatus,
    LocalReplyStatus, TrailersStatus,
};
use crate::envoy::guard::{contain, guard, guard_last};
use crate::envoy::log::log;
use crate::envoy::plugin::WasmPlugin;
use crate::envoy::scope::Scope;
use crate::http::envoy_filter::EnvoyFilter;
use crate::http::filter::Filter;
use crate::http::filter_config::{FilterConfig, RouteConfig};
use crate::http::local_reply::LocalReply;
use proxy_wasm_host::abi::{Direction, LogLevel};
use std::rc::Rc;
use std::sync::Arc;

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_program_init() -> *const c_char {
    guard("program_init", std::ptr::null, || {
        // Symbols are bound when they are first called, which is too late to find out.
        for name in abi::CALLBACKS {
            // SAFETY: a string with its end.
            let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
            if found.is_null() {
                // No log: its function may be the one that is missing.
                let name = name.to_string_lossy();
                eprintln!("rust_wasm_module: this Envoy does not have {name}");
                return std::ptr::null();
            }
        }
        abi::VERSION.as_ptr()
    })
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_new(
    envoy: ConfigPtr,
    _name: EnvoyBuffer,
    config: EnvoyBuffer,
) -> *const FilterConfig {
    guard("config_new", std::ptr::null, || {
        // SAFETY: Envoy's, alive during the hook.
        let json = unsafe { config.bytes() };
        // SAFETY: Envoy calls this on the main thread, and `config_destroy` before the
        // configuration goes.
        let scope = unsafe { Scope::new(envoy) };
        match new_config(&scope, json) {
            Ok(plugin) => Box::into_raw(Box::new(FilterConfig::new(scope, plugin))),
            Err(error) => {
                log(LogLevel::Error, &format!("rust_wasm_module: {error}"));
                scope.close();
                std::ptr::null()
            }
        }
    })
}

fn new_config(scope: &Arc<Scope>, json: &[u8]) -> Result<Arc<WasmPlugin>, String> {
    let plugin = WasmPlugin::load(json)?;
    plugin.start_on_main(scope)?;
    Ok(Arc::new(plugin))
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_destroy(config: *mut FilterConfig) {
    guard(
        "config_destroy",
        || (),
        || {
            if !config.is_null() {
                // SAFETY: from `config_new`, and Envoy does not use it again.
                drop(unsafe { Box::from_raw(config) });
            }
        },
    );
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_scheduled(
    _envoy: ConfigPtr,
    config: *const FilterConfig,
    _event: u64,
) {
    guard(
        "config_scheduled",
        || (),
        || {
            // SAFETY: from `config_new`, alive, or null.
            if let Some(config) = unsafe { config.as_ref() } {
                // What runs may end the configuration's plugin, not its scope.
                config.scope.clone().run_events();
            }
        },
    );
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_per_route_config_new(
    _name: EnvoyBuffer,
    config: EnvoyBuffer,
) -> *const RouteConfig {
    guard("per_route_config_new", std::ptr::null, || {
        // SAFETY: Envoy's, alive during the hook.
        match WasmPlugin::load(unsafe { config.bytes() }) {
            Ok(plugin) => Box::into_raw(Box::new(RouteConfig::new(plugin))),
            Err(error) => {
                log(LogLevel::Error, &format!("rust_wasm_module: {error}"));
                std::ptr::null()
            }
        }
    })
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_per_route_config_destroy(
    config: *mut RouteConfig,
) {
    guard(
        "per_route_config_destroy",
        || (),
        || {
            if !config.is_null() {
                // SAFETY: from `per_route_config_new`, and Envoy does not use it again.
                drop(unsafe { Box::from_raw(config) });
            }
        },
    );
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_new(
    config: *const FilterConfig,
    envoy: FilterPtr,
) -> *const Filter {
    guard("filter_new", std::ptr::null, || {
        // SAFETY: from `config_new`, alive.
        let config = unsafe { &*config };
        // SAFETY: Envoy's filter lives longer than ours, and stays on this thread.
        Rc::into_raw(Filter::new(unsafe { EnvoyFilter::new(envoy) }, config))
    })
}

/// Runs the body of a stream's hook. After a panic the stream goes on with `open` if the plugin's
/// failure policy says so; else it is answered, and the hook returns `closed`.
pub(crate) fn with_filter<T: Copy>(
    hook: &str,
    filter: *const Filter,
    [open, closed]: [T; 2],
    body: impl FnOnce(&Filter) -> T,
) -> T {
    // SAFETY: from `filter_new`, alive, on its thread.
    let Some(filter) = (unsafe { filter.as_ref() }) else {
        return open;
    };
    let _held = filter.hold();
    let after_panic = || match contain(hook, || filter.passes_panic()) {
        Some(true) => open,
        _ => closed,
    };
    guard(hook, after_panic, || match filter.has_ended() {
        // By what was left for the thread.
        true => closed,
        false => body(filter),
    })
}

const HEADERS: [HeadersStatus; 2] = [
    HeadersStatus::Continue,
    HeadersStatus::StopAllIterationAndWatermark,
];
const BODY: [BodyStatus; 2] = [BodyStatus::Continue, BodyStatus::StopIterationNoBuffer];
const TRAILERS: [TrailersStatus; 2] = [TrailersStatus::Continue, TrailersStatus::StopIteration];

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_request_headers(
    envoy: FilterPtr,
    filter: *const Filter,
    end: bool,
) -> HeadersStatus {
    if filter.is_null() {
        // It could not be made, so its policy is not known.
        contain("request_headers", || {
            // SAFETY: Envoy's, alive during the hook.
            LocalReply::failed(false).send(&unsafe { EnvoyFilter::new(envoy) });
        });
        return HEADERS[1];
    }
    with_filter("request_headers", filter, HEADERS, |it| {
        it.headers_event(Direction::Request, end)
    })
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_request_body(
    _envoy: FilterPtr,
    filter: *const Filter,
    end: bool,
) -> BodyStatus {
    with_filter("request_body", filter, BODY, |it| {
        it.body_event(Direction::Request, end)
    })
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_request_trailers(
    _envoy: FilterPtr,
    filter: *const Filter,
) -> TrailersStatus {
    with_filter("request_trailers", filter, TRAILERS, |it| {
        it.trailers_event(Direction::Request)
    })
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_response_headers(
    _envoy: FilterPtr,
    filter: *const Filter,
    end: bool,
) -> HeadersStatus {
    with_filter("response_headers", filter, HEADERS, |it| {
        it.headers_event(Direction::Response, end)
    })
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_response_body(
    _envoy: FilterPtr,
    filter: *const Filter,
    end: bool,
) -> BodyStatus {
    with_filter("response_body", filter, BODY, |it| {
        it.body_event(Direction::Response, end)
    })
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_response_trailers(
    _envoy: FilterPtr,
    filter: *const Filter,
) -> TrailersStatus {
    with_filter("response_trailers", filter, TRAILERS, |it| {
        it.trailers_event(Direction::Response)
    })
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_scheduled(
    _envoy: FilterPtr,
    filter: *const Filter,
    _event: u64,
) {
    // What was left for the thread has been done before.
    with_filter("scheduled", filter, [(); 2], |_| ());
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_stream_complete(
    _envoy: FilterPtr,
    filter: *const Filter,
) {
    with_filter("stream_complete", filter, [(); 2], Filter::log);
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_destroy(filter: *const Filter) {
    guard_last("filter_destroy", || {
        if !filter.is_null() {
            // SAFETY: from `filter_new`, and Envoy does not use it again. Hooks under way
            // hold it too.
            let filter = unsafe { Rc::from_raw(filter) };
            filter.end();
        }
    });
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_local_reply(
    _envoy: FilterPtr,
    _filter: *const Filter,
    _status: u32,
    _details: EnvoyBuffer,
    _reset_imminent: bool,
) -> LocalReplyStatus {
    let on = || LocalReplyStatus::Continue;
    guard("local_reply", on, on)
}

/// Hooks that Envoy asks for and the module has no use for.
macro_rules! unused_hooks {
    ($(fn $name:ident($($param:ident: $ty:ty),* $(,)?);)*) => {
        $(#[unsafe(no_mangle)]
        extern "C" fn $name($($param: $ty),*) {
            $(let _ = $param;)*
        })*
    };
}

unused_hooks! {
    fn envoy_dynamic_module_on_http_filter_config_http_callout_done(
        envoy: ConfigPtr, config: *const c_void, id: u64, result: u32,
        headers: *const EnvoyHeader, header_count: usize, body: *const EnvoyBuffer,
        body_count: usize,
    );
    fn envoy_dynamic_module_on_http_filter_http_callout_done(
        envoy: FilterPtr, filter: *const c_void, id: u64, result: u32,
        headers: *const EnvoyHeader, header_count: usize, body: *const EnvoyBuffer,
        body_count: usize,
    );
    fn envoy_dynamic_module_on_http_filter_downstream_above_write_buffer_high_watermark(
        envoy: FilterPtr, filter: *const c_void,
    );
    fn envoy_dynamic_module_on_http_filter_downstream_below_write_buffer_low_watermark(
        envoy: FilterPtr, filter: *const c_void,
    );
}
