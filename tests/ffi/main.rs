//! The C ABI, called as C would: what the header promises about nulls, outputs, lengths,
//! order of calls and ownership.
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "every pointer is null, dangling with length zero, or a live object of the test"
)]

#[path = "../support/mod.rs"]
mod support;

mod arguments;
mod hosts;
mod objects;

use std::ptr::{NonNull, null, null_mut};

use rust_wasm::ffi::*;
use rust_wasm::{Code, Error, Module, Value, Vm};

use support::binary;

const NONE: Slice = Slice {
    data: null(),
    size: 0,
};

/// No bytes, at an address that must not be read.
const DANGLING: Slice = Slice {
    data: NonNull::dangling().as_ptr(),
    size: 0,
};

fn slice(bytes: &[u8]) -> Slice {
    Slice {
        data: bytes.as_ptr(),
        size: bytes.len(),
    }
}

fn signature(params: &'static [u8], results: &'static [u8]) -> Signature {
    Signature {
        params: slice(params),
        results: slice(results),
    }
}

const I32: u8 = 0x7f;

fn text(slice: Slice) -> String {
    if slice.size == 0 {
        return String::new();
    }
    let bytes = unsafe { std::slice::from_raw_parts(slice.data, slice.size) };
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// Takes the error, which must be of this kind; its message.
#[track_caller]
fn fails(code: Code, error: *mut Error) -> String {
    assert!(!error.is_null(), "expected {code:?}, got success");
    unsafe {
        let message = text(rust_wasm_error_message(error));
        assert_eq!(rust_wasm_error_code(error), code, "{message}");
        assert!(!message.is_empty() && !message.contains('\n'));
        rust_wasm_error_free(error);
        message
    }
}

#[track_caller]
fn succeeds(error: *mut Error) {
    let message = unsafe { text(rust_wasm_error_message(error)) };
    assert!(error.is_null(), "{message}");
}

fn load(wat: &str) -> *mut Module {
    let bytecode = binary(wat);
    let mut module = null_mut();
    unsafe {
        succeeds(rust_wasm_module_load(
            slice(&bytecode),
            NONE,
            null(),
            0,
            null(),
            &raw mut module,
        ));
    }
    module
}

/// A VM that is not linked. It keeps its module alive.
fn vm(wat: &str) -> *mut Vm {
    let module = load(wat);
    let mut vm = null_mut();
    unsafe {
        succeeds(rust_wasm_vm_new(module, null(), &raw mut vm));
        rust_wasm_module_free(module);
    }
    vm
}

fn linked(wat: &str) -> *mut Vm {
    let vm = vm(wat);
    succeeds(unsafe { rust_wasm_vm_link(vm, slice(b"plugin")) });
    vm
}

fn func(vm: *mut Vm, name: &[u8], signature: Signature) -> *const Func {
    let mut func = null();
    succeeds(unsafe { rust_wasm_vm_func(vm, slice(name), signature, &raw mut func) });
    func
}

const ADD: &str = r#"(module
  (memory (export "memory") 1)
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "nothing"))
  (func $trap (export "trap") (unreachable)))"#;

const CALLING: &str = r#"(module
  (import "env" "host" (func $host (param i32) (result i32)))
  (func (export "run") (param i32) (result i32) (call $host (local.get 0)))
  (func (export "spin") (loop $l (drop (call $host (i32.const 0))) (br $l))))"#;

unsafe extern "C" fn nothing() {}
