//! Maps: headers, trailers, metadata.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::entry::host_functions;
use crate::abi::{AbiVersion, HostResult, MapType, Status};
use crate::context::Context;
use crate::pairs::{self, Pairs};
use crate::proxy::{CallResponse, OwnedPairs, Stream};
use crate::vm::Vm;
use crate::vm::memory::size32;

host_functions! {
    InCallbacks fn proxy_get_header_map_value(
        vm, map: u32, name: u32, name_size: u32, value_out: u32, size_out: u32,
    ) -> HostResult {
        let map = MapType::try_from(map)?;
        let name = vm.bytes(name, name_size)?;
        let context = vm.context();
        if let Some(response) = call_map(vm, map)? {
            let pairs = owned(&response, map);
            return match pairs.iter().find(|(it, _)| it.eq_ignore_ascii_case(name)) {
                Some((_, value)) => vm.give(value, value_out, size_out),
                None => absent(vm, value_out, size_out),
            };
        }
        let stream = context.stream().ok_or(Status::BadArgument)?;
        match stream.header(map, name) {
            Some(value) => vm.give(&value, value_out, size_out),
            None if stream.has_map(map) => absent(vm, value_out, size_out),
            None => Err(Status::BadArgument),
        }
    }

    InCallbacks fn proxy_add_header_map_value(
        vm, map: u32, name: u32, name_size: u32, value: u32, value_size: u32,
    ) -> HostResult {
        let map = MapType::try_from(map)?;
        let (name, value) = (vm.bytes(name, name_size)?, vm.bytes(value, value_size)?);
        of_stream(&vm.context(), map)?.add_header(map, name, value)
    }

    InCallbacks fn proxy_replace_header_map_value(
        vm, map: u32, name: u32, name_size: u32, value: u32, value_size: u32,
    ) -> HostResult {
        let map = MapType::try_from(map)?;
        let (name, value) = (vm.bytes(name, name_size)?, vm.bytes(value, value_size)?);
        of_stream(&vm.context(), map)?.set_header(map, name, value)
    }

    InCallbacks fn proxy_remove_header_map_value(
        vm, map: u32, name: u32, name_size: u32,
    ) -> HostResult {
        let map = MapType::try_from(map)?;
        let name = vm.bytes(name, name_size)?;
        of_stream(&vm.context(), map)?.remove_header(map, name)
    }

    InCallbacks fn proxy_get_header_map_pairs(
        vm, map: u32, pairs_out: u32, size_out: u32,
    ) -> HostResult {
        let map = MapType::try_from(map)?;
        if let Some(response) = call_map(vm, map)? {
            let pairs = owned(&response, map);
            return give_pairs(vm, &borrowed(pairs), pairs_out, size_out);
        }
        let context = vm.context();
        let Some(stream) = context.stream() else {
            return give_pairs(vm, &[], pairs_out, size_out);
        };
        let mut given = Ok(());
        stream.headers(map, &mut |pairs| given = give_pairs(vm, pairs, pairs_out, size_out));
        given
    }

    InCallbacks fn proxy_set_header_map_pairs(vm, map: u32, pairs: u32, size: u32) -> HostResult {
        let map = MapType::try_from(map)?;
        let pairs = pairs::decode(vm.bytes(pairs, size)?)?;
        let context = vm.context();
        let stream = changeable(&context, map)?;
        let mut old = Vec::new();
        stream.headers(map, &mut |pairs| {
            old.extend(pairs.iter().map(|(name, value)| (name.to_vec(), value.to_vec())));
        });
        let old = borrowed(&old);
        // What stays as it is is left alone: not every value could be set again.
        let mut values: BTreeMap<Vec<u8>, [Vec<&[u8]>; 2]> = BTreeMap::new();
        for (side, pairs) in [&old, &pairs].into_iter().enumerate() {
            for (name, value) in pairs {
                values.entry(name.to_ascii_lowercase()).or_default()[side].push(value);
            }
        }
        let stays = |name: &[u8]| {
            let values = values.get(&name.to_ascii_lowercase());
            values.is_some_and(|[old, new]| old == new)
        };
        for (name, _) in &old {
            if !stays(name) {
                stream.remove_header(map, name)?;
            }
        }
        for (name, value) in &pairs {
            if !stays(name) {
                stream.add_header(map, name, value)?;
            }
        }
        Ok(())
    }

    /// In bytes, as Envoy counts.
    InCallbacks fn proxy_get_header_map_size(vm, map: u32, size_out: u32) -> HostResult {
        let map = MapType::try_from(map)?;
        let context = vm.context();
        let response = call_map(vm, map)?;
        let mut size = 0;
        let mut add = |pairs: &[(&[u8], &[u8])]| {
            size = pairs.iter().map(|(name, value)| name.len() + value.len()).sum();
        };
        match &response {
            Some(response) => add(&borrowed(owned(response, map))),
            None => changeable(&context, map)?.headers(map, &mut add),
        }
        vm.write_u32(size_out, size32(size)?)
    }
}

/// ABI 0.1.0 could not tell that there is no such header.
fn absent(vm: &Vm, value_out: u32, size_out: u32) -> HostResult {
    if vm.program.abi == AbiVersion::V0_1_0 {
        return vm.give(&[], value_out, size_out);
    }
    Err(Status::NotFound)
}

/// The stream whose map it is.
fn of_stream(context: &Context, map: MapType) -> HostResult<Rc<dyn Stream>> {
    let stream = context.stream().ok_or(Status::BadArgument)?;
    if map <= MapType::ResponseTrailers {
        return Ok(stream);
    }
    Err(Status::BadArgument)
}

fn changeable(context: &Context, map: MapType) -> HostResult<Rc<dyn Stream>> {
    let stream = of_stream(context, map)?;
    if stream.has_map(map) {
        return Ok(stream);
    }
    Err(Status::BadArgument)
}

/// The response to a call, if the map is one of its.
fn call_map(vm: &Vm, map: MapType) -> HostResult<Option<std::rc::Rc<CallResponse>>> {
    if map <= MapType::ResponseTrailers {
        return Ok(None);
    }
    let response = vm.call_response.borrow().clone();
    response.map(Some).ok_or(Status::BadArgument)
}

fn owned(response: &CallResponse, map: MapType) -> &OwnedPairs {
    match map {
        MapType::CallResponseHeaders | MapType::GrpcInitialMetadata => &response.headers,
        _ => &response.trailers,
    }
}

fn borrowed(pairs: &OwnedPairs) -> Pairs<'_> {
    pairs
        .iter()
        .map(|(name, value)| (&name[..], &value[..]))
        .collect()
}

fn give_pairs(vm: &Vm, pairs: &[(&[u8], &[u8])], pairs_out: u32, size_out: u32) -> HostResult {
    if pairs.is_empty() {
        return vm.give(&[], pairs_out, size_out);
    }
    let size = size32(pairs::encoded_size(pairs))?;
    let mut encoded = Ok(());
    vm.give_with(size, pairs_out, size_out, |out| {
        encoded = pairs::encode(pairs, out);
    })?;
    encoded
}
