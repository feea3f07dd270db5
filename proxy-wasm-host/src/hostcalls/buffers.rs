//! Buffers: bodies, configurations, responses to calls.

use std::rc::Rc;

use super::entry::host_functions;
use crate::abi::{BufferType, Direction, HostResult, Status};
use crate::context::Context;
use crate::proxy::CallResponse;
use crate::vm::Vm;
use crate::vm::memory::size32;

host_functions! {
    InCallbacks fn proxy_get_buffer_bytes(
        vm, buffer: u32, start: u32, size: u32, data_out: u32, size_out: u32,
    ) -> HostResult {
        let context = vm.context();
        let buffer = find_buffer(vm, &context, BufferType::try_from(buffer)?)?;
        start.checked_add(size).ok_or(Status::BadArgument)?;
        let rest = buffer.size().saturating_sub(start as usize);
        let size = size32(rest.min(size as usize))?;
        match buffer {
            Buffer::Body(direction) => {
                let stream = context.stream().ok_or(Status::NotFound)?;
                vm.give_with(size, data_out, size_out, |out| {
                    stream.read_body(direction.0, start as usize, out);
                })
            }
            _ if size == 0 => vm.give(&[], data_out, size_out),
            other => {
                let range = start as usize..start as usize + size as usize;
                vm.give(&other.bytes()[range], data_out, size_out)
            }
        }
    }

    InCallbacks fn proxy_get_buffer_status(
        vm, buffer: u32, size_out: u32, flags_out: u32,
    ) -> HostResult {
        let context = vm.context();
        let buffer = find_buffer(vm, &context, BufferType::try_from(buffer)?)?;
        vm.write_u32(size_out, size32(buffer.size())?)?;
        vm.write_u32(flags_out, 0)
    }

    /// Prepends, appends, or replaces from the start; nothing else can be changed.
    InCallbacks fn proxy_set_buffer_bytes(
        vm, buffer: u32, start: u32, size: u32, data: u32, data_size: u32,
    ) -> HostResult {
        let direction = match BufferType::try_from(buffer)? {
            BufferType::RequestBody => Direction::Request,
            BufferType::ResponseBody => Direction::Response,
            _ => return Err(Status::BadArgument),
        };
        let context = vm.context();
        let stream = context.stream().ok_or(Status::NotFound)?;
        let data = vm.bytes(data, data_size)?;
        if start == 0 {
            return stream.replace_body(direction, size as usize, data);
        }
        if start as usize >= stream.body_size(direction) {
            return stream.append_body(direction, data);
        }
        Err(Status::BadArgument)
    }
}

enum Buffer<'a> {
    Body((Direction, usize)),
    Response(Rc<CallResponse>),
    Bytes(&'a [u8]),
}

impl Buffer<'_> {
    fn size(&self) -> usize {
        match self {
            Self::Body((_, size)) => *size,
            other => other.bytes().len(),
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Body(_) => &[],
            Self::Response(response) => &response.body,
            Self::Bytes(bytes) => bytes,
        }
    }
}

fn find_buffer<'a>(vm: &'a Vm, context: &'a Context, ty: BufferType) -> HostResult<Buffer<'a>> {
    let body = |direction| {
        let stream = context.stream().ok_or(Status::NotFound)?;
        Ok(Buffer::Body((direction, stream.body_size(direction))))
    };
    match ty {
        BufferType::RequestBody => body(Direction::Request),
        BufferType::ResponseBody => body(Direction::Response),
        BufferType::VmConfiguration => Ok(Buffer::Bytes(&vm.settings.configuration)),
        BufferType::PluginConfiguration if context.configuring.get() => {
            Ok(Buffer::Bytes(&context.plugin.configuration))
        }
        BufferType::CallResponseBody | BufferType::GrpcMessage => {
            let response = vm.call_response.borrow().clone();
            response.map(Buffer::Response).ok_or(Status::NotFound)
        }
        BufferType::CallData => Ok(Buffer::Bytes(&[])),
        _ => Err(Status::NotFound),
    }
}
