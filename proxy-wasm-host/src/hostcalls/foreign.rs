//! Foreign functions: what Envoy's Wasm filter offers beyond the ABI.

use std::collections::HashSet;
use std::io::Read as _;
use std::sync::{LazyLock, Mutex, PoisonError};

use flate2::Compression;
use flate2::read::{ZlibDecoder, ZlibEncoder};

use super::entry::host_functions;
use crate::abi::{HostResult, LogLevel, Status};
use crate::proto::{self, Value};
use crate::vm::Vm;

/// A few bytes can stand for very many.
const MAX_UNCOMPRESSED_BYTES: u64 = 256 << 20;

host_functions! {
    InCallbacks fn proxy_call_foreign_function(
        vm, name: u32, name_size: u32, arguments: u32, arguments_size: u32,
        result_out: u32, size_out: u32,
    ) -> HostResult {
        let name = vm.bytes(name, name_size)?;
        let arguments = vm.bytes(arguments, arguments_size)?;
        let result = match name {
            b"clear_route_cache" => clear_route_cache(vm),
            b"compress" => compress(arguments),
            b"uncompress" => uncompress(arguments),
            b"declare_property" => declare_property(vm, arguments),
            b"set_envoy_filter_state" => set_filter_state(vm, arguments),
            b"verify_signature" | b"sign" | b"expr_create" | b"expr_evaluate" | b"expr_delete" => {
                unavailable(vm, name);
                Err(Status::NotFound)
            }
            _ => Err(Status::NotFound),
        }?;
        // A caller that does not want the result gives no place for it.
        let mut at = 0;
        let size = crate::vm::memory::size32(result.len())?;
        if size > 0 && result_out != 0 {
            at = vm.allocate(size)?;
            vm.write(at, &result)?;
        }
        for (out, value) in [(result_out, at), (size_out, size)] {
            if out != 0 {
                vm.write_u32(out, value)?;
            }
        }
        Ok(())
    }
}

fn clear_route_cache(vm: &Vm) -> HostResult<Vec<u8>> {
    if let Some(stream) = vm.context().stream() {
        stream.clear_route_cache();
    }
    Ok(Vec::new())
}

fn compress(data: &[u8]) -> HostResult<Vec<u8>> {
    let mut out = Vec::new();
    let mut encoder = ZlibEncoder::new(data, Compression::default());
    let done = encoder.read_to_end(&mut out);
    done.map(|_| out).map_err(|_| Status::SerializationFailure)
}

fn uncompress(data: &[u8]) -> HostResult<Vec<u8>> {
    let mut out = Vec::new();
    let mut decoder = ZlibDecoder::new(data).take(MAX_UNCOMPRESSED_BYTES + 1);
    let size = decoder.read_to_end(&mut out);
    match size {
        Ok(size) if size as u64 <= MAX_UNCOMPRESSED_BYTES => Ok(out),
        _ => Err(Status::SerializationFailure),
    }
}

/// `DeclarePropertyArguments`: of its fields, `name` and `readonly` have an effect here.
fn declare_property(vm: &Vm, arguments: &[u8]) -> HostResult<Vec<u8>> {
    let fields = proto::fields(arguments).ok_or(Status::BadArgument)?;
    let (mut name, mut readonly) = (Vec::new(), false);
    for field in fields {
        match field {
            (1, Value::Bytes(bytes)) => name = bytes.to_vec(),
            (2, Value::Number(number)) => readonly = number != 0,
            _ => {}
        }
    }
    match vm.declared.borrow_mut().entry(name) {
        std::collections::hash_map::Entry::Occupied(_) => Err(Status::BadArgument),
        std::collections::hash_map::Entry::Vacant(entry) => {
            entry.insert(readonly);
            Ok(Vec::new())
        }
    }
}

/// `SetEnvoyFilterStateArguments`: `path` and `value`.
fn set_filter_state(vm: &Vm, arguments: &[u8]) -> HostResult<Vec<u8>> {
    let fields = proto::bytes_fields(arguments).ok_or(Status::BadArgument)?;
    let field = |number| proto::last(&fields, number).unwrap_or_default();
    let context = vm.context();
    let stream = context.stream().ok_or(Status::NotFound)?;
    stream.set_filter_state(field(1), field(2))?;
    Ok(Vec::new())
}

/// Says, once for each, that a function of Envoy's is not to be had here.
pub(super) fn unavailable(vm: &Vm, name: &[u8]) {
    static SAID: LazyLock<Mutex<HashSet<Vec<u8>>>> = LazyLock::new(Mutex::default);
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if said.insert(name.to_vec()) {
        let name = String::from_utf8_lossy(name);
        let message = format!("{name} is not available in a dynamic module");
        vm.log(LogLevel::Warn, message.as_bytes());
    }
}
