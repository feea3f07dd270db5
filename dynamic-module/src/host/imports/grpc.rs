//! gRPC calls: not served, see the README.

use super::super::abi::{HostResult, Status};
use super::entry::host_functions;

host_functions! {
    InCallbacks fn proxy_grpc_call(
        vm, _upstream: u32, _upstream_size: u32, _service: u32, _service_size: u32,
        _method: u32, _method_size: u32, _metadata: u32, _metadata_size: u32,
        _message: u32, _message_size: u32, _timeout_ms: u32, _token_out: u32,
    ) -> HostResult {
        let _ = vm;
        Err(Status::Unimplemented)
    }

    InCallbacks fn proxy_grpc_stream(
        vm, _upstream: u32, _upstream_size: u32, _service: u32, _service_size: u32,
        _method: u32, _method_size: u32, _metadata: u32, _metadata_size: u32, _token_out: u32,
    ) -> HostResult {
        let _ = vm;
        Err(Status::Unimplemented)
    }

    InCallbacks fn proxy_grpc_send(
        vm, _token: u32, _message: u32, _message_size: u32, _end_of_stream: u32,
    ) -> HostResult {
        let _ = vm;
        Err(Status::Unimplemented)
    }

    InCallbacks fn proxy_grpc_close(vm, _token: u32) -> HostResult {
        let _ = vm;
        Err(Status::Unimplemented)
    }

    InCallbacks fn proxy_grpc_cancel(vm, _token: u32) -> HostResult {
        let _ = vm;
        Err(Status::Unimplemented)
    }
}
