//! VMs and their functions as C sees them.

use std::ffi::c_void;

use super::convert::{self, Memory, Options, Signature, Slice, handle, invalid, output};
use super::{free, guard, guard_or};
use crate::error::Error;
use crate::load::module::Module;
use crate::run::call::Value;
use crate::run::vm::{RawFunc, Vm};

/// `rust_wasm_host_fn_t`.
pub type HostFn = Option<unsafe extern "C" fn()>;

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rust_wasm_vm_new(
    module: *const Module,
    options: *const Options,
    out: *mut *mut Vm,
) -> *mut Error {
    // SAFETY: the header's contract.
    guard(|| unsafe {
        let out = output(out)?;
        let module = handle(module, "the module")?;
        let vm = Vm::new(module, &convert::options(options)?)?;
        out.write(Box::into_raw(Box::new(vm)));
        Ok(())
    })
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rust_wasm_vm_free(vm: *mut Vm) {
    // SAFETY: the header's contract. A running VM is still needed by the frames below.
    guard_or((), || unsafe {
        if vm.as_ref().is_some_and(|it| !it.is_running()) {
            free(vm);
        }
    });
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rust_wasm_vm_define(
    vm: *mut Vm,
    import: u32,
    signature: Signature,
    function: HostFn,
    data: *mut c_void,
) -> *mut Error {
    // SAFETY: the header's contract, which is that of `define` too.
    guard(|| unsafe {
        let vm = handle(vm, "the VM")?;
        let function = function.ok_or_else(|| invalid("the host function is null"))?;
        vm.define_as(
            import,
            &signature.codes()?,
            function as *const (),
            data.cast(),
        )
    })
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rust_wasm_vm_link(vm: *mut Vm, name: Slice) -> *mut Error {
    // SAFETY: the header's contract.
    guard(|| unsafe {
        let name = String::from_utf8_lossy(name.bytes("name")?);
        handle(vm, "the VM")?.link(&name)
    })
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rust_wasm_vm_memory(vm: *const Vm) -> *const Memory {
    guard_or(std::ptr::null(), || {
        // SAFETY: the header's contract.
        unsafe { vm.as_ref() }.map_or(std::ptr::null(), |it| it.memory().cast())
    })
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rust_wasm_vm_func(
    vm: *mut Vm,
    name: Slice,
    signature: Signature,
    out: *mut *const RawFunc,
) -> *mut Error {
    // SAFETY: the header's contract.
    guard(|| unsafe {
        let out = output(out)?;
        let vm = handle(vm, "the VM")?;
        let func = vm.func_as(name.text("name")?, &signature.codes()?)?;
        out.write(
            func.and_then(|id| vm.raw_func(id))
                .unwrap_or(std::ptr::null()),
        );
        Ok(())
    })
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rust_wasm_func_call(
    func: *const RawFunc,
    values: *mut Value,
) -> *mut Error {
    // SAFETY: the header's contract.
    guard(|| unsafe {
        match func.as_ref() {
            Some(func) if !values.is_null() || func.slots == 0 => func.call(values),
            func => Err(bad_call(func.is_none())),
        }
    })
}

/// Out of line, to keep the frame of calls small.
#[cold]
#[inline(never)]
fn bad_call(no_func: bool) -> Error {
    invalid(if no_func {
        "the func is null"
    } else {
        "values is null"
    })
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rust_wasm_vm_trap(vm: *mut Vm, message: Slice) {
    // SAFETY: the header's contract.
    guard_or((), || unsafe {
        if let (Some(vm), Ok(message)) = (vm.as_ref(), message.bytes("message")) {
            vm.trap(&String::from_utf8_lossy(message));
        }
    });
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rust_wasm_vm_terminate(vm: *const Vm) {
    // SAFETY: the header's contract. Only what `terminate` may share is touched.
    guard_or((), || unsafe {
        if let Some(vm) = vm.as_ref() {
            vm.terminate();
        }
    });
}
