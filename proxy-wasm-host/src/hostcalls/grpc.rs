//! gRPC calls: of one message each way, and streams.

use super::entry::host_functions;
use crate::abi::{HostResult, Status};
use crate::grpc::{framed, request_headers};
use crate::pairs::{self, Pairs};
use crate::pending::CallKind;
use crate::proto;
use crate::proxy::{HttpRequest, OwnedPairs};
use crate::vm::Vm;

host_functions! {
    InCallbacks fn proxy_grpc_call(
        vm, upstream: u32, upstream_size: u32, service: u32, service_size: u32,
        method: u32, method_size: u32, metadata: u32, metadata_size: u32,
        message: u32, message_size: u32, timeout_ms: u32, token_out: u32,
    ) -> HostResult {
        let target = Target::of(vm.bytes(upstream, upstream_size)?)?;
        let (service, method) = (vm.bytes(service, service_size)?, vm.bytes(method, method_size)?);
        let metadata = pairs::decode(vm.bytes(metadata, metadata_size)?)?;
        let headers = target.headers(service, method, Some(timeout_ms), metadata);
        let body = framed(vm.bytes(message, message_size)?)?;
        let call = (CallKind::GrpcCall, &body[..], timeout_ms);
        open(vm, &target, &headers, call, token_out)
    }

    InCallbacks fn proxy_grpc_stream(
        vm, upstream: u32, upstream_size: u32, service: u32, service_size: u32,
        method: u32, method_size: u32, metadata: u32, metadata_size: u32, token_out: u32,
    ) -> HostResult {
        let target = Target::of(vm.bytes(upstream, upstream_size)?)?;
        let (service, method) = (vm.bytes(service, service_size)?, vm.bytes(method, method_size)?);
        let metadata = pairs::decode(vm.bytes(metadata, metadata_size)?)?;
        let headers = target.headers(service, method, None, metadata);
        open(vm, &target, &headers, (CallKind::GrpcStream, &[], 0), token_out)
    }

    InCallbacks fn proxy_grpc_send(
        vm, token: u32, message: u32, message_size: u32, end_of_stream: u32,
    ) -> HostResult {
        if CallKind::of(token)? != CallKind::GrpcStream {
            return Err(Status::BadArgument);
        }
        let frame = framed(vm.bytes(message, message_size)?)?;
        vm.send_on_call(token, &frame, end_of_stream != 0)
    }

    /// Ends the request of a stream, gives up a call.
    InCallbacks fn proxy_grpc_close(vm, token: u32) -> HostResult {
        match CallKind::of(token)? {
            CallKind::GrpcStream => vm.send_on_call(token, &[], true),
            CallKind::GrpcCall => vm.cancel_call(token),
            CallKind::Http => Err(Status::BadArgument),
        }
    }

    InCallbacks fn proxy_grpc_cancel(vm, token: u32) -> HostResult {
        if CallKind::of(token)? == CallKind::Http {
            return Err(Status::BadArgument);
        }
        vm.cancel_call(token)
    }
}

fn open(
    vm: &Vm,
    target: &Target<'_>,
    headers: &OwnedPairs,
    (kind, body, timeout_ms): (CallKind, &[u8], u32),
    token_out: u32,
) -> HostResult {
    // Nothing is sent that cannot be told of.
    vm.bytes(token_out, 4)?;
    let request = HttpRequest {
        upstream: target.cluster,
        headers: headers.iter().map(|(n, v)| (&n[..], &v[..])).collect(),
        body,
        timeout_ms,
    };
    let opened = vm.open_call(kind, &request, kind == CallKind::GrpcCall);
    let token = opened.map_err(|status| match status {
        // What Envoy's Wasm filter says of a cluster that is not there.
        Status::BadArgument if !target.is_message => Status::ParseFailure,
        Status::BadArgument => Status::InternalFailure,
        other => other,
    })?;
    vm.write_u32(token_out, token)
}

/// Whom to call: a serialized `envoy.config.core.v3.GrpcService`, or a cluster's name.
struct Target<'a> {
    is_message: bool,
    cluster: &'a [u8],
    authority: &'a [u8],
    metadata: Pairs<'a>,
}

impl<'a> Target<'a> {
    fn of(text: &'a [u8]) -> HostResult<Self> {
        let Some(fields) = proto::bytes_fields(text) else {
            return Ok(Self {
                is_message: false,
                cluster: text,
                authority: text,
                metadata: Vec::new(),
            });
        };
        // `envoy_grpc`; a `google_grpc` client is not to be had from here.
        let envoy_grpc = proto::last(&fields, 1).and_then(proto::bytes_fields);
        let envoy_grpc = envoy_grpc.ok_or(Status::BadArgument)?;
        let cluster = proto::last(&envoy_grpc, 1).ok_or(Status::BadArgument)?;
        let header = |field: &(u32, &'a [u8])| {
            let header = proto::bytes_fields(field.1)?;
            let value = proto::last(&header, 2).or_else(|| proto::last(&header, 3));
            Some((proto::last(&header, 1)?, value.unwrap_or_default()))
        };
        let metadata = fields.iter().filter(|it| it.0 == 5).filter_map(header);
        Ok(Self {
            is_message: true,
            cluster,
            authority: proto::last(&envoy_grpc, 2).unwrap_or(cluster),
            metadata: metadata.collect(),
        })
    }

    fn headers(
        &self,
        service: &[u8],
        method: &[u8],
        timeout_ms: Option<u32>,
        metadata: Pairs<'a>,
    ) -> OwnedPairs {
        let mut all = self.metadata.clone();
        all.extend(metadata);
        request_headers(self.authority, service, method, timeout_ms, &all)
    }
}
