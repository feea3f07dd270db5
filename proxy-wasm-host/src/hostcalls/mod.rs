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

use rust_wasm::FunctionType;

use crate::host_function::HostFunction;

/// The function for an import, whatever the plugin's ABI version: later versions only
/// add functions.
pub(crate) fn find(module: &str, name: &str) -> Option<HostFunction> {
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

/// The functions that plugins can import: module, name and type.
pub fn hostcalls() -> impl Iterator<Item = (&'static str, &'static str, FunctionType)> {
    let env = [
        general::NAMES,
        headers::NAMES,
        buffers::NAMES,
        http::NAMES,
        shared::NAMES,
        metrics::NAMES,
        grpc::NAMES,
        foreign::NAMES,
        higress::NAMES,
    ];
    let of = |module, names: &'static [&'static str]| {
        names.iter().filter_map(move |name| {
            let function = find(module, name)?;
            Some((module, *name, function.ty()))
        })
    };
    let env = env.into_iter().flat_map(move |names| of("env", names));
    env.chain(of("wasi_snapshot_preview1", wasi::NAMES))
}
