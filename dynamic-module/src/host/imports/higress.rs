//! What Higress' SDKs import besides.

use super::super::abi::{HostResult, Status};
use super::entry::host_functions;

host_functions! {
    InCallbacks fn proxy_redis_init(
        vm, _1: u32, _2: u32, _3: u32, _4: u32, _5: u32, _6: u32, _7: u32,
    ) -> HostResult {
        let _ = vm;
        Err(Status::Unimplemented)
    }

    InCallbacks fn proxy_redis_call(
        vm, _1: u32, _2: u32, _3: u32, _4: u32, _5: u32,
    ) -> HostResult {
        let _ = vm;
        Err(Status::Unimplemented)
    }

    InCallbacks fn proxy_inject_encoded_data_to_filter_chain(
        vm, _1: u32, _2: u32, _3: u32,
    ) -> HostResult {
        let _ = vm;
        Err(Status::Unimplemented)
    }

    InCallbacks fn proxy_get_upstream_hosts(vm, _1: u32, _2: u32) -> HostResult {
        let _ = vm;
        Err(Status::Unimplemented)
    }

    InCallbacks fn proxy_set_upstream_override_host(vm, host: u32, size: u32) -> HostResult {
        let host = vm.bytes(host, size)?;
        vm.context().stream().ok_or(Status::NotFound)?.set_upstream_host(host)
    }
}
