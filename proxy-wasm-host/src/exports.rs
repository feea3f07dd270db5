//! The functions that a plugin exports for the host.

use rust_wasm::{FuncId, FunctionType, Type, Vm};

use crate::abi::AbiVersion;

/// A function that the host calls, with the name it fails under.
#[derive(Clone, Copy)]
pub(crate) struct Export {
    pub(crate) name: &'static str,
    pub(crate) func: FuncId,
}

pub(crate) type Optional = Option<Export>;

macro_rules! exports {
    ($($field:ident = $name:literal ($params:expr) -> $results:literal;)*) => {
        /// All of them, looked up once; `None` is a function that the plugin lacks or
        /// must not have.
        pub(crate) struct Exports { $(pub(crate) $field: Optional,)* }

        impl Exports {
            /// # Errors
            /// If one has the wrong type: a callback that is silently never called
            /// would let requests bypass the plugin.
            pub(crate) fn find(
                vm: &Vm,
                abi: AbiVersion,
                allowed: impl Fn(&str) -> bool,
            ) -> Result<Self, String> {
                let _ = abi;
                $(let $field = if allowed($name) {
                    find(vm, $name, headers_params(abi, $name, $params), $results)?
                } else {
                    None
                };)*
                Ok(Self { $($field,)* })
            }
        }
    };
}

exports! {
    initialize = "_initialize" (0) -> 0;
    start = "_start" (0) -> 0;
    main = "main" (2) -> 1;
    main_void = "__main_void" (0) -> 1;
    malloc = "malloc" (1) -> 1;
    memory_allocate = "proxy_on_memory_allocate" (1) -> 1;
    context_create = "proxy_on_context_create" (2) -> 0;
    vm_start = "proxy_on_vm_start" (2) -> 1;
    configure = "proxy_on_configure" (2) -> 1;
    tick = "proxy_on_tick" (1) -> 0;
    queue_ready = "proxy_on_queue_ready" (2) -> 0;
    done = "proxy_on_done" (1) -> 1;
    log = "proxy_on_log" (1) -> 0;
    delete = "proxy_on_delete" (1) -> 0;
    request_headers = "proxy_on_request_headers" (3) -> 1;
    request_body = "proxy_on_request_body" (3) -> 1;
    request_trailers = "proxy_on_request_trailers" (2) -> 1;
    response_headers = "proxy_on_response_headers" (3) -> 1;
    response_body = "proxy_on_response_body" (3) -> 1;
    response_trailers = "proxy_on_response_trailers" (2) -> 1;
    http_call_response = "proxy_on_http_call_response" (5) -> 0;
    grpc_initial_metadata = "proxy_on_grpc_receive_initial_metadata" (3) -> 0;
    grpc_receive = "proxy_on_grpc_receive" (3) -> 0;
    grpc_trailing_metadata = "proxy_on_grpc_receive_trailing_metadata" (3) -> 0;
    grpc_close = "proxy_on_grpc_close" (3) -> 0;
}

/// ABI 0.1.0 does not tell header callbacks whether the stream ends.
fn headers_params(abi: AbiVersion, name: &str, params: usize) -> usize {
    let headers = name.ends_with("_headers");
    params - usize::from(headers && abi == AbiVersion::V0_1_0)
}

fn find(vm: &Vm, name: &'static str, params: usize, results: usize) -> Result<Optional, String> {
    let ty = FunctionType::new(vec![Type::I32; params], vec![Type::I32; results]);
    let func = vm.func(name, &ty).map_err(|error| error.to_string())?;
    Ok(func.map(|func| Export { name, func }))
}
