//! HTTP calls and local responses.

use super::entry::host_functions;
use crate::abi::HostResult;
use crate::pairs;
use crate::pending::CallKind;
use crate::pending::Deferred;
use crate::proxy::{HttpRequest, LocalResponse, StreamAction};

/// gRPC's status codes end here; SDKs pass -1 for "none".
const MAX_GRPC_STATUS: u32 = 16;

host_functions! {
    InCallbacks fn proxy_http_call(
        vm, upstream: u32, upstream_size: u32, headers: u32, headers_size: u32,
        body: u32, body_size: u32, trailers: u32, trailers_size: u32,
        timeout_ms: u32, token_out: u32,
    ) -> HostResult {
        let body = vm.bytes(body, body_size)?;
        let mut headers = pairs::decode(vm.bytes(headers, headers_size)?)?;
        let length = body.len().to_string();
        if !body.is_empty() {
            headers.retain(|(name, _)| !name.eq_ignore_ascii_case(b"content-length"));
            headers.push((b"content-length", length.as_bytes()));
        }
        // Envoy's Wasm filter takes them, and does not send them.
        pairs::decode(vm.bytes(trailers, trailers_size)?)?;
        // Nothing is sent that cannot be told of.
        vm.bytes(token_out, 4)?;
        let upstream = vm.bytes(upstream, upstream_size)?;
        let request = HttpRequest { upstream, headers, body, timeout_ms };
        let token = vm.open_call(CallKind::Http, &request, true)?;
        vm.write_u32(token_out, token)
    }

    InCallbacks fn proxy_send_local_response(
        vm, status: u32, details: u32, details_size: u32, body: u32, body_size: u32,
        headers: u32, headers_size: u32, grpc_status: u32,
    ) -> HostResult {
        let own = |(name, value): (&[u8], &[u8])| (name.to_vec(), value.to_vec());
        let headers = pairs::decode(vm.bytes(headers, headers_size)?)?;
        let response = LocalResponse {
            status,
            details: vm.bytes(details, details_size)?.to_vec(),
            body: vm.bytes(body, body_size)?.to_vec(),
            headers: headers.into_iter().map(own).collect(),
            grpc_status: (grpc_status <= MAX_GRPC_STATUS).then_some(grpc_status),
        };
        let context = vm.context();
        // Without a stream there is nothing to answer. proxy-wasm-cpp-host says Ok, and SDKs
        // panic at anything else.
        if !context.is_root() {
            vm.defer(Deferred::Stream(context, StreamAction::Respond(response)));
            vm.stop_iteration.set(true);
        }
        Ok(())
    }
}
