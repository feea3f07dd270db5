//! Logging, time, configuration, properties, contexts, streams.

use std::time::Duration;

use super::entry::host_functions;
use crate::abi::{Direction, HostResult, LogLevel, Status};
use crate::clock;
use crate::pending::Deferred;
use crate::proxy::StreamAction;
use crate::vm::Vm;

host_functions! {
    Always fn proxy_log(vm, level: u32, message: u32, size: u32) -> HostResult {
        let level = LogLevel::try_from(level)?;
        vm.log(level, vm.bytes(message, size)?);
        Ok(())
    }

    InCallbacks fn proxy_get_log_level(vm, level_out: u32) -> HostResult {
        vm.write_u32(level_out, vm.context().plugin.proxy.log_level())
    }

    InCallbacks fn proxy_get_current_time_nanoseconds(vm, time_out: u32) -> HostResult {
        vm.write_u64(time_out, clock::real())
    }

    InCallbacks fn proxy_set_tick_period_milliseconds(vm, period: u32) -> HostResult {
        let context = vm.context();
        let period = Duration::from_millis(period.into());
        context.plugin.proxy.set_tick_period(vm.root_id(&context), period);
        Ok(())
    }

    /// ABI 0.1.0.
    InCallbacks fn proxy_get_configuration(vm, value_out: u32, size_out: u32) -> HostResult {
        let context = vm.context();
        let configuration = if context.configuring.get() {
            &context.plugin.configuration
        } else {
            &vm.settings.configuration
        };
        vm.give(configuration, value_out, size_out)
    }

    InCallbacks fn proxy_get_property(
        vm, path: u32, size: u32, value_out: u32, size_out: u32,
    ) -> HostResult {
        let path = vm.bytes(path, size)?;
        let path = path.strip_suffix(&[0]).unwrap_or(path);
        let parts: Vec<&[u8]> = path.split(|byte| *byte == 0).collect();
        let context = vm.context();
        let plugin = &context.plugin;
        let own: Option<&[u8]> = match parts[..] {
            [b"plugin_name"] => Some(plugin.name.as_bytes()),
            [b"plugin_root_id"] => Some(plugin.root_id.as_bytes()),
            [b"plugin_vm_id"] => Some(vm.settings.vm_id.as_bytes()),
            // Higress'.
            [b"plugin_vm_memory"] => {
                let size = vm.memory_size() as u64;
                return vm.give(&size.to_le_bytes(), value_out, size_out);
            }
            _ => None,
        };
        if let Some(value) = own {
            return vm.give(value, value_out, size_out);
        }
        if let Some(stream) = context.stream()
            && let Some(value) = stream.property(&parts)
        {
            return vm.give(&value, value_out, size_out);
        }
        let value = plugin.proxy.property(&parts).ok_or(Status::NotFound)?;
        vm.give(&value, value_out, size_out)
    }

    InCallbacks fn proxy_set_property(
        vm, path: u32, path_size: u32, value: u32, value_size: u32,
    ) -> HostResult {
        let path = vm.bytes(path, path_size)?;
        let value = vm.bytes(value, value_size)?;
        let context = vm.context();
        let stream = context.stream().ok_or(Status::NotFound)?;
        let readonly = vm.declared.borrow().get(path) == Some(&true);
        if readonly && stream.property(&[path]).is_some() {
            return Err(Status::BadArgument);
        }
        stream.set_property(path, value)
    }

    InCallbacks fn proxy_set_effective_context(vm, context: u32) -> HostResult {
        vm.find(context).ok_or(Status::BadArgument)?;
        vm.effective.set(context);
        Ok(())
    }

    InCallbacks fn proxy_done(vm) -> HostResult {
        let root = vm.context();
        if !root.pending_done.replace(false) {
            return Err(Status::NotFound);
        }
        vm.defer(Deferred::Delete(root));
        Ok(())
    }

    /// ABI 0.1.0.
    InCallbacks fn proxy_continue_request(vm) -> HostResult {
        ask(vm, StreamAction::Resume(Direction::Request))
    }

    /// ABI 0.1.0.
    InCallbacks fn proxy_continue_response(vm) -> HostResult {
        ask(vm, StreamAction::Resume(Direction::Response))
    }

    InCallbacks fn proxy_continue_stream(vm, stream: u32) -> HostResult {
        match stream {
            0 => ask(vm, StreamAction::Resume(Direction::Request)),
            1 => ask(vm, StreamAction::Resume(Direction::Response)),
            // TCP: this host has HTTP streams only.
            2 => Ok(()),
            3 => Err(Status::Unimplemented),
            _ => Err(Status::BadArgument),
        }
    }

    InCallbacks fn proxy_close_stream(vm, stream: u32) -> HostResult {
        match stream {
            0 | 1 => ask(vm, StreamAction::Close),
            2 | 3 => Ok(()),
            _ => Err(Status::BadArgument),
        }
    }

    /// ABI 0.1.0.
    InCallbacks fn proxy_clear_route_cache(vm) -> HostResult {
        if let Some(stream) = vm.context().stream() {
            stream.clear_route_cache();
        }
        Ok(())
    }

    /// What became of the call whose response is being handled.
    InCallbacks fn proxy_get_status(
        vm, code_out: u32, message_out: u32, size_out: u32,
    ) -> HostResult {
        let (code, message) = vm.call_status.borrow().clone();
        vm.write_u32(code_out, code)?;
        vm.give(message.as_bytes(), message_out, size_out)
    }

    /// C++'s runtime tells of `memory.grow`; the host looks for itself.
    Always fn emscripten_notify_memory_growth(vm, _memory: u32) -> () {
        let _ = vm;
    }

    Always fn pthread_equal(vm, left: u32, right: u32) -> bool {
        let _ = vm;
        left == right
    }
}

fn ask(vm: &Vm, action: StreamAction) -> HostResult {
    vm.defer(Deferred::Stream(vm.context(), action));
    Ok(())
}
