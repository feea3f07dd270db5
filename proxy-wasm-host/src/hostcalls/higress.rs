//! What Higress' SDKs import besides. Envoy's ABI has no Redis client, does not list the
//! upstream's hosts, and does not let a filter feed the chain by itself.

use super::entry::host_functions;
use super::foreign::unavailable;
use crate::abi::{HostResult, Status};

host_functions! {
    InCallbacks fn proxy_redis_init(
        vm, _1: u32, _2: u32, _3: u32, _4: u32, _5: u32, _6: u32, _7: u32,
    ) -> HostResult {
        unavailable(vm, b"proxy_redis_init");
        Err(Status::Unimplemented)
    }

    InCallbacks fn proxy_redis_call(
        vm, _1: u32, _2: u32, _3: u32, _4: u32, _5: u32,
    ) -> HostResult {
        unavailable(vm, b"proxy_redis_call");
        Err(Status::Unimplemented)
    }

    InCallbacks fn proxy_inject_encoded_data_to_filter_chain(
        vm, _1: u32, _2: u32, _3: u32,
    ) -> HostResult {
        unavailable(vm, b"proxy_inject_encoded_data_to_filter_chain");
        Err(Status::Unimplemented)
    }

    InCallbacks fn proxy_get_upstream_hosts(vm, _1: u32, _2: u32) -> HostResult {
        unavailable(vm, b"proxy_get_upstream_hosts");
        Err(Status::Unimplemented)
    }

    InCallbacks fn proxy_set_upstream_override_host(vm, host: u32, size: u32) -> HostResult {
        let host = vm.bytes(host, size)?;
        vm.context().stream().ok_or(Status::NotFound)?.set_upstream_host(host)
    }
}
