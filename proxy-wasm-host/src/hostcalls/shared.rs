//! Data and queues that VMs share.

use super::entry::host_functions;
use crate::abi::HostResult;
use crate::shared;

host_functions! {
    InCallbacks fn proxy_get_shared_data(
        vm, key: u32, key_size: u32, value_out: u32, size_out: u32, cas_out: u32,
    ) -> HostResult {
        let (value, cas) = shared::get(&vm.settings.vm_id, vm.bytes(key, key_size)?)?;
        vm.give(&value, value_out, size_out)?;
        vm.write_u32(cas_out, cas)
    }

    InCallbacks fn proxy_set_shared_data(
        vm, key: u32, key_size: u32, value: u32, value_size: u32, cas: u32,
    ) -> HostResult {
        let (key, value) = (vm.bytes(key, key_size)?, vm.bytes(value, value_size)?);
        shared::set(&vm.settings.vm_id, key, value, cas)
    }

    InCallbacks fn proxy_register_shared_queue(
        vm, name: u32, name_size: u32, token_out: u32,
    ) -> HostResult {
        let context = vm.context();
        let root = vm.root_id(&context);
        let listener = context.plugin.proxy.queue_listener(root);
        let name = vm.bytes(name, name_size)?;
        let token = shared::register_queue(&vm.settings.vm_id, name, root, listener);
        vm.write_u32(token_out, token)
    }

    InCallbacks fn proxy_resolve_shared_queue(
        vm, vm_id: u32, vm_id_size: u32, name: u32, name_size: u32, token_out: u32,
    ) -> HostResult {
        let mut vm_id = vm.bytes(vm_id, vm_id_size)?;
        if vm_id.is_empty() {
            vm_id = vm.settings.vm_id.as_bytes();
        }
        let token = shared::resolve_queue(vm_id, vm.bytes(name, name_size)?)?;
        vm.write_u32(token_out, token)
    }

    InCallbacks fn proxy_enqueue_shared_queue(
        vm, token: u32, data: u32, data_size: u32,
    ) -> HostResult {
        shared::enqueue(token, vm.bytes(data, data_size)?)
    }

    InCallbacks fn proxy_dequeue_shared_queue(
        vm, token: u32, data_out: u32, size_out: u32,
    ) -> HostResult {
        let _ = vm;
        let data = shared::dequeue(token)?;
        vm.give(&data, data_out, size_out)
    }
}
