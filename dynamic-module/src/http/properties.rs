//! Properties of a stream, by path: Envoy's attributes, metadata, filter state.
//!
//! Envoy gives modules a fixed list of attributes. Some others are made from what the
//! filter sees; a path outside of both is not found.

use std::borrow::Cow;

use crate::envoy::abi::{HeaderType, MetadataSource};
use crate::http::filter::Filter;
use proxy_wasm_host::abi::MapType;
use proxy_wasm_host::{encode_pairs, grpc};

/// Where `set_property` puts values, as Envoy's Wasm filter does.
pub(crate) const STATE_PREFIX: &[u8] = b"wasm.";

/// How Envoy gives an attribute.
enum Kind {
    Text,
    Number,
}

/// Envoy's `attribute_id`s, by path.
const ATTRIBUTES: &[(&[u8], &[u8], u32, Kind)] = &[
    (b"request", b"path", 0, Kind::Text),
    (b"request", b"url_path", 1, Kind::Text),
    (b"request", b"host", 2, Kind::Text),
    (b"request", b"scheme", 3, Kind::Text),
    (b"request", b"method", 4, Kind::Text),
    (b"request", b"referer", 6, Kind::Text),
    (b"request", b"useragent", 7, Kind::Text),
    (b"request", b"id", 9, Kind::Text),
    (b"request", b"protocol", 10, Kind::Text),
    (b"request", b"query", 11, Kind::Text),
    (b"response", b"code", RESPONSE_CODE, Kind::Number),
    (b"response", b"code_details", 16, Kind::Text),
    (b"response", b"flags", 17, Kind::Number),
    (b"response", b"size", RESPONSE_SIZE, Kind::Number),
    (b"source", b"address", 24, Kind::Text),
    (b"source", b"port", 25, Kind::Number),
    (b"destination", b"address", 26, Kind::Text),
    (b"destination", b"port", 27, Kind::Number),
    (b"connection", b"id", CONNECTION_ID, Kind::Number),
    (b"connection", b"requested_server_name", 30, Kind::Text),
    (b"connection", b"tls_version", 31, Kind::Text),
    (b"connection", b"subject_local_certificate", 32, Kind::Text),
    (b"connection", b"subject_peer_certificate", 33, Kind::Text),
    (b"connection", b"dns_san_local_certificate", 34, Kind::Text),
    (b"connection", b"dns_san_peer_certificate", 35, Kind::Text),
    (b"connection", b"uri_san_local_certificate", 36, Kind::Text),
    (b"connection", b"uri_san_peer_certificate", 37, Kind::Text),
    (
        b"connection",
        b"sha256_peer_certificate_digest",
        38,
        Kind::Text,
    ),
    (b"connection", b"transport_failure_reason", 39, Kind::Text),
    (b"connection", b"termination_details", 40, Kind::Text),
    (b"upstream", b"address", 41, Kind::Text),
    (b"upstream", b"port", 42, Kind::Number),
    (b"upstream", b"tls_version", 43, Kind::Text),
    (b"upstream", b"subject_local_certificate", 44, Kind::Text),
    (b"upstream", b"subject_peer_certificate", 45, Kind::Text),
    (b"upstream", b"dns_san_local_certificate", 46, Kind::Text),
    (b"upstream", b"dns_san_peer_certificate", 47, Kind::Text),
    (b"upstream", b"uri_san_local_certificate", 48, Kind::Text),
    (b"upstream", b"uri_san_peer_certificate", 49, Kind::Text),
    (
        b"upstream",
        b"sha256_peer_certificate_digest",
        50,
        Kind::Text,
    ),
    (b"upstream", b"local_address", 51, Kind::Text),
    (b"upstream", b"transport_failure_reason", 52, Kind::Text),
    (b"upstream", b"request_attempt_count", 53, Kind::Number),
    (b"xds", b"cluster_name", 57, Kind::Text),
    (b"xds", b"route_name", 61, Kind::Text),
    (b"xds", b"virtual_host_name", 63, Kind::Text),
    (b"xds", b"filter_chain_name", 66, Kind::Text),
];
/// Those that Envoy's Wasm filter finds empty, where it has none: `request.query` and
/// `connection.requested_server_name`.
const NEVER_MISSING: [u32; 2] = [11, 30];
const ROUTE_NAME: u32 = 61;
const RESPONSE_CODE: u32 = 15;
const RESPONSE_SIZE: u32 = 21;
const CONNECTION_ID: u32 = 28;
const CONNECTION_MTLS: u32 = 29;

pub(crate) fn get<'a>(filter: &'a Filter, path: &[&[u8]]) -> Option<Cow<'a, [u8]>> {
    let envoy = filter.envoy();
    match *path {
        [b"request", b"headers", ref name @ ..] => headers(filter, HeaderType::RequestHeader, name),
        [b"response", b"headers", ref name @ ..] => {
            headers(filter, HeaderType::ResponseHeader, name)
        }
        [b"response", b"trailers", ref name @ ..] => {
            headers(filter, HeaderType::ResponseTrailer, name)
        }
        [b"request", b"headers_bytes"] => number(map_size(filter, HeaderType::RequestHeader)),
        [b"response", b"headers_bytes"] => number(map_size(filter, HeaderType::ResponseHeader)),
        [b"response", b"grpc_status"] => grpc_status(filter),
        // While the plugin's callbacks see its own response, Envoy does not have it yet.
        [b"response", b"code"] if let Some(local) = filter.local_map(MapType::ResponseHeaders) => {
            number(local.status().into())
        }
        [b"request", b"time"] => number(filter.times.start),
        [b"request", b"duration"] => number(filter.times.complete.get()?),
        [b"request", b"size"] => {
            let length = envoy.header(HeaderType::RequestHeader, b"content-length");
            match length {
                Some(length) => number(str::from_utf8(length).ok()?.parse().ok()?),
                None => number(filter.times.received.get()),
            }
        }
        [b"request", b"total_size"] => {
            number(filter.times.received.get() + map_size(filter, HeaderType::RequestHeader))
        }
        [b"response", b"total_size"] => number(
            envoy.attribute_int(RESPONSE_SIZE)?
                + map_size(filter, HeaderType::ResponseHeader)
                + map_size(filter, HeaderType::ResponseTrailer),
        ),
        // Without TLS, Envoy has no answer; its Wasm filter says no.
        [b"connection", b"mtls"] => {
            let mtls = envoy.attribute_bool(CONNECTION_MTLS).unwrap_or_default();
            Some(Cow::Owned(vec![u8::from(mtls)]))
        }
        [b"xds", b"cluster_name"] | [b"cluster_name"] => envoy.cluster_name().map(Cow::Borrowed),
        [b"route_name"] => envoy.attribute_string(ROUTE_NAME).map(Cow::Borrowed),
        [b"connection_id"] => envoy.attribute_int(CONNECTION_ID).and_then(number),
        [b"metadata", b"filter_metadata", namespace, key] => {
            metadata(filter, MetadataSource::Dynamic, namespace, key)
        }
        [
            b"xds",
            b"route_metadata",
            b"filter_metadata",
            namespace,
            key,
        ]
        | [b"route_metadata", b"filter_metadata", namespace, key] => {
            metadata(filter, MetadataSource::Route, namespace, key)
        }
        [
            b"xds",
            b"cluster_metadata",
            b"filter_metadata",
            namespace,
            key,
        ]
        | [b"cluster_metadata", b"filter_metadata", namespace, key] => {
            metadata(filter, MetadataSource::Cluster, namespace, key)
        }
        [
            b"xds",
            b"upstream_host_metadata",
            b"filter_metadata",
            namespace,
            key,
        ]
        | [
            b"upstream_host_metadata",
            b"filter_metadata",
            namespace,
            key,
        ] => metadata(filter, MetadataSource::Host, namespace, key),
        [b"filter_state", key] => envoy.filter_state(key).map(Cow::Borrowed),
        [group, name] => attribute(filter, group, name),
        // What a plugin set itself, which Envoy's Wasm filter finds by paths of one part.
        [name] => envoy
            .filter_state(&[STATE_PREFIX, name].concat())
            .map(Cow::Borrowed),
        _ => None,
    }
}

fn attribute<'a>(filter: &'a Filter, group: &[u8], name: &[u8]) -> Option<Cow<'a, [u8]>> {
    let envoy = filter.envoy();
    let found = ATTRIBUTES.iter().find(|it| it.0 == group && it.1 == name);
    let (.., id, kind) = found?;
    match kind {
        Kind::Text => {
            let text = envoy.attribute_string(*id);
            // Envoy does not tell an empty text from none.
            let text = text.or(NEVER_MISSING.contains(id).then_some(b""));
            text.map(Cow::Borrowed)
        }
        Kind::Number => envoy.attribute_int(*id).and_then(number),
    }
}

fn metadata<'a>(
    filter: &'a Filter,
    source: MetadataSource,
    namespace: &[u8],
    key: &[u8],
) -> Option<Cow<'a, [u8]>> {
    let envoy = filter.envoy();
    if let Some(text) = envoy.metadata_string(source, namespace, key) {
        return Some(Cow::Borrowed(text));
    }
    if let Some(number) = envoy.metadata_number(source, namespace, key) {
        return Some(Cow::Owned(number.to_le_bytes().to_vec()));
    }
    let flag = envoy.metadata_bool(source, namespace, key)?;
    Some(Cow::Owned(vec![u8::from(flag)]))
}

/// All values of a header, or all headers in the ABI's encoding.
fn headers<'a>(filter: &'a Filter, map: HeaderType, path: &[&[u8]]) -> Option<Cow<'a, [u8]>> {
    let pairs = filter.envoy().headers(map);
    match path {
        [] => {
            let joined = joined(&pairs);
            let pairs: Vec<_> = joined.iter().map(|it| (it.0, &*it.1)).collect();
            encode_pairs(&pairs).ok().map(Cow::Owned)
        }
        [name] => {
            let found = pairs.iter().filter(|(it, _)| it.eq_ignore_ascii_case(name));
            let values: Vec<&[u8]> = found.map(|(_, value)| *value).collect();
            match values[..] {
                [] => None,
                [value] => Some(Cow::Borrowed(value)),
                _ => Some(Cow::Owned(values.join(&b','))),
            }
        }
        _ => None,
    }
}

/// One pair for each name, with all of its values.
fn joined<'a>(pairs: &[(&'a [u8], &'a [u8])]) -> Vec<(&'a [u8], Cow<'a, [u8]>)> {
    let mut joined: Vec<(&[u8], Cow<'_, [u8]>)> = Vec::with_capacity(pairs.len());
    for (name, value) in pairs {
        match joined.iter_mut().find(|it| it.0 == *name) {
            Some((_, values)) => {
                let values = values.to_mut();
                values.push(b',');
                values.extend_from_slice(value);
            }
            None => joined.push((name, Cow::Borrowed(value))),
        }
    }
    joined
}

/// From trailers or headers, or what stands for the HTTP status.
fn grpc_status<'a>(filter: &Filter) -> Option<Cow<'a, [u8]>> {
    let envoy = filter.envoy();
    if let Some(local) = filter.local_map(MapType::ResponseHeaders) {
        let status = match local.header(b"grpc-status") {
            Some(text) => grpc::parse_status(&text),
            None => grpc::status_of_http(local.status().into()),
        };
        return Some(Cow::Owned(i64::from(status).to_le_bytes().to_vec()));
    }
    let said = [HeaderType::ResponseTrailer, HeaderType::ResponseHeader]
        .into_iter()
        .find_map(|map| envoy.header(map, b"grpc-status"));
    let status = match said {
        Some(text) => grpc::parse_status(text),
        None => grpc::status_of_http(envoy.attribute_int(RESPONSE_CODE)?),
    };
    Some(Cow::Owned(i64::from(status).to_le_bytes().to_vec()))
}

/// As Envoy counts: names and values.
fn map_size(filter: &Filter, map: HeaderType) -> u64 {
    let pairs = filter.envoy().headers(map);
    let size: usize = pairs
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    size as u64
}

fn number<'a>(value: u64) -> Option<Cow<'a, [u8]>> {
    Some(Cow::Owned(value.to_le_bytes().to_vec()))
}
