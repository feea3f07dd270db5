//! This runtime, through its C ABI, in the order of calls that the C++ adaptor makes.

use std::ffi::c_void;
use std::ptr;

pub use rust_wasm::Value;
use rust_wasm::ffi;

use crate::plugins::{Function, Plugin};

pub const I32: u8 = 0x7f;

pub fn version() -> String {
    let version = ffi::rust_wasm_version();
    // SAFETY: the slice is static.
    let bytes = unsafe { std::slice::from_raw_parts(version.data, version.size) };
    String::from_utf8_lossy(bytes).into_owned()
}

pub struct Module(*mut rust_wasm::Module);

impl Module {
    pub fn compile(bytecode: &[u8]) -> Self {
        Self::load(bytecode, &[], "")
    }

    pub fn load(bytecode: &[u8], precompiled: &[u8], cache_dir: &str) -> Self {
        let options = ffi::Options {
            cache_dir: slice(cache_dir.as_bytes()),
            ..options()
        };
        let mut module = ptr::null_mut();
        // SAFETY: all pointers are good for the call; `precompiled` is our own.
        check(unsafe {
            ffi::rust_wasm_module_load(
                slice(bytecode),
                slice(precompiled),
                ptr::null(),
                0,
                &raw const options,
                &raw mut module,
            )
        });
        Self(module)
    }

    pub fn is_precompiled(&self) -> bool {
        // SAFETY: the module lives.
        unsafe { ffi::rust_wasm_module_precompiled(self.0) }
    }

    pub fn serialize(&self) -> Vec<u8> {
        let mut bytes = ptr::null_mut();
        // SAFETY: the module lives, and the view is copied before it is freed.
        unsafe {
            check(ffi::rust_wasm_module_serialize(self.0, &raw mut bytes));
            let view = ffi::rust_wasm_bytes_view(bytes);
            let copy = std::slice::from_raw_parts(view.data, view.size).to_vec();
            ffi::rust_wasm_bytes_free(bytes);
            copy
        }
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        // SAFETY: freed once.
        unsafe { ffi::rust_wasm_module_free(self.0) };
    }
}

pub struct Vm(*mut rust_wasm::Vm);

impl Vm {
    pub fn new(module: &Module, call_deadline_ns: u64) -> Self {
        let options = ffi::Options {
            call_deadline_ns,
            ..options()
        };
        let mut vm = ptr::null_mut();
        // SAFETY: all pointers are good for the call.
        check(unsafe { ffi::rust_wasm_vm_new(module.0, &raw const options, &raw mut vm) });
        Self(vm)
    }

    /// Defines an import.
    ///
    /// # Safety
    /// `host` has the import's type in the C calling convention, and `data` is what it
    /// takes for as long as the VM lives.
    pub unsafe fn define(
        &self,
        module: &Module,
        import: &Function,
        host: unsafe extern "C" fn(),
        data: *mut c_void,
    ) {
        // SAFETY: by contract.
        unsafe {
            let index = ffi::rust_wasm_module_import(
                module.0,
                slice(import.module.as_bytes()),
                slice(import.name.as_bytes()),
            );
            check(ffi::rust_wasm_vm_define(
                self.0,
                u32::try_from(index).expect("the module has this import"),
                signature(&import.params, &import.results),
                Some(host),
                data,
            ));
        }
    }

    pub fn link(&self) {
        // SAFETY: the VM lives.
        check(unsafe { ffi::rust_wasm_vm_link(self.0, slice(b"bench")) });
    }

    /// A linked VM of a plugin whose host functions all do nothing.
    pub fn linked(module: &Module, plugin: &Plugin) -> Self {
        extern "C" fn nothing() -> u64 {
            0
        }
        let vm = Self::new(module, 0);
        for import in &plugin.imports {
            // SAFETY: a C function may ignore its arguments, and the plugins' host
            // functions return an integer or nothing.
            unsafe {
                let host =
                    std::mem::transmute::<extern "C" fn() -> u64, unsafe extern "C" fn()>(nothing);
                vm.define(module, import, host, ptr::null_mut());
            }
        }
        vm.link();
        vm
    }

    pub fn memory_size(&self) -> usize {
        // SAFETY: the VM lives.
        unsafe { (*ffi::rust_wasm_vm_memory(self.0)).size }
    }

    pub fn func(&self, function: &Function) -> Func {
        self.find(&function.name, &function.params, &function.results)
    }

    pub fn find(&self, name: &str, params: &[u8], results: &[u8]) -> Func {
        let mut func = ptr::null();
        // SAFETY: the VM lives.
        check(unsafe {
            ffi::rust_wasm_vm_func(
                self.0,
                slice(name.as_bytes()),
                signature(params, results),
                &raw mut func,
            )
        });
        assert!(!func.is_null(), "{name} is exported");
        Func(func)
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        // SAFETY: freed once, and nothing runs.
        unsafe { ffi::rust_wasm_vm_free(self.0) };
    }
}

/// Must not be called after its VM is dropped.
#[derive(Clone, Copy)]
pub struct Func(*const ffi::Func);

impl Func {
    #[inline]
    pub fn call(self, values: &mut [Value]) {
        // SAFETY: the VM lives, and `values` are as many as the function needs.
        check(unsafe { ffi::rust_wasm_func_call(self.0, values.as_mut_ptr()) });
    }

    #[inline]
    pub fn call_2(self, a: u32, b: u32) -> u32 {
        let mut values = [Value { i32: a }, Value { i32: b }];
        self.call(&mut values);
        // SAFETY: the function's result is an i32.
        unsafe { values[0].i32 }
    }

    #[inline]
    pub fn call_1(self, a: u32) -> u32 {
        let mut values = [Value { i32: a }];
        self.call(&mut values);
        // SAFETY: the function's result is an i32.
        unsafe { values[0].i32 }
    }
}

/// All defaults.
fn options() -> ffi::Options {
    ffi::Options {
        max_memory_bytes: 0,
        max_table_elements: 0,
        max_backtrace_frames: 0,
        guest_stack_bytes: 0,
        call_deadline_ns: 0,
        cache_dir: slice(&[]),
    }
}

fn slice(bytes: &[u8]) -> ffi::Slice {
    ffi::Slice {
        data: bytes.as_ptr(),
        size: bytes.len(),
    }
}

fn signature(params: &[u8], results: &[u8]) -> ffi::Signature {
    ffi::Signature {
        params: slice(params),
        results: slice(results),
    }
}

#[inline]
fn check(error: *mut rust_wasm::Error) {
    if !error.is_null() {
        // SAFETY: an owned error that the C ABI boxed.
        panic!("{}", unsafe { &*error });
    }
}
