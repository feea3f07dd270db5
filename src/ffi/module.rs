//! Modules as C sees them.

use super::convert::{self, EMPTY, Name, Options, Slice, handle, output};
use super::{free, guard, guard_or};
use crate::error::Error;
use crate::load::module::{Module, Source};

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rust_wasm_module_load(
    bytecode: Slice,
    precompiled: Slice,
    names: *const Name,
    names_size: usize,
    options: *const Options,
    out: *mut *mut Module,
) -> *mut Error {
    // SAFETY: the header's contract.
    guard(|| unsafe {
        let out = output(out)?;
        let source = Source {
            bytecode: bytecode.bytes("bytecode")?,
            precompiled: precompiled.bytes("precompiled")?,
            names: convert::names(names, names_size)?,
        };
        let module = Module::load(source, &convert::options(options)?)?;
        out.write(Box::into_raw(Box::new(module)));
        Ok(())
    })
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rust_wasm_module_clone(module: *const Module) -> *mut Module {
    guard_or(std::ptr::null_mut(), || {
        // SAFETY: the header's contract.
        let module = unsafe { module.as_ref() };
        module.map_or(std::ptr::null_mut(), |it| {
            Box::into_raw(Box::new(it.clone()))
        })
    })
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rust_wasm_module_free(module: *mut Module) {
    // SAFETY: the header's contract.
    guard_or((), || unsafe { free(module) });
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rust_wasm_module_precompiled(module: *const Module) -> bool {
    guard_or(false, || {
        // SAFETY: the header's contract.
        unsafe { module.as_ref() }.is_some_and(Module::is_precompiled)
    })
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rust_wasm_module_precompiled_rejection(module: *const Module) -> Slice {
    guard_or(EMPTY, || {
        // SAFETY: the header's contract.
        let module = unsafe { module.as_ref() };
        module.map_or(EMPTY, |it| Slice::of(it.precompiled_rejection().as_bytes()))
    })
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rust_wasm_module_import(
    module: *const Module,
    module_name: Slice,
    name: Slice,
) -> i64 {
    // SAFETY: the header's contract.
    guard_or(-1, || unsafe {
        let (Some(module), Ok(module_name), Ok(name)) = (
            module.as_ref(),
            module_name.bytes("module_name"),
            name.bytes("name"),
        ) else {
            return -1;
        };
        module.import_bytes(module_name, name).map_or(-1, i64::from)
    })
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rust_wasm_module_serialize(
    module: *const Module,
    out: *mut *mut Vec<u8>,
) -> *mut Error {
    // SAFETY: the header's contract.
    guard(|| unsafe {
        let out = output(out)?;
        let bytes = handle(module, "the module")?.serialize()?;
        out.write(Box::into_raw(Box::new(bytes)));
        Ok(())
    })
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rust_wasm_bytes_view(bytes: *const Vec<u8>) -> Slice {
    guard_or(EMPTY, || {
        // SAFETY: the header's contract.
        unsafe { bytes.as_ref() }.map_or(EMPTY, |it| Slice::of(it))
    })
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rust_wasm_bytes_free(bytes: *mut Vec<u8>) {
    // SAFETY: the header's contract.
    guard_or((), || unsafe { free(bytes) });
}
