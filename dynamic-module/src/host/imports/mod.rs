//! The functions that plugins import, by group.

mod buffers;
mod entry;
mod foreign;
mod general;
mod grpc;
mod headers;
mod higress;
mod http;
mod metrics;
mod shared;
mod wasi;

pub(super) use entry::HostFunction;

/// The function for an import, whatever the plugin's ABI version: later versions only
/// add functions.
pub(super) fn find(module: &str, name: &str) -> Option<HostFunction> {
    match module {
        "env" => general::find(name)
            .or_else(|| headers::find(name))
            .or_else(|| buffers::find(name))
            .or_else(|| http::find(name))
            .or_else(|| shared::find(name))
            .or_else(|| metrics::find(name))
            .or_else(|| grpc::find(name))
            .or_else(|| foreign::find(name))
            .or_else(|| higress::find(name)),
        "wasi_snapshot_preview1" | "wasi_unstable" => wasi::find(name),
        _ => None,
    }
}
