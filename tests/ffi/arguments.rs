//! Nulls, lengths, encodings, outputs.

use std::ptr::{NonNull, null, null_mut};

use rust_wasm::Code;
use rust_wasm::ffi::*;

use crate::support::binary;
use crate::*;

#[test]
fn every_free_accepts_null() {
    unsafe {
        rust_wasm_error_free(null_mut());
        rust_wasm_module_free(null_mut());
        rust_wasm_bytes_free(null_mut());
        rust_wasm_vm_free(null_mut());
    }
}

#[test]
fn a_null_handle_is_an_error_or_nothing() {
    const INVALID: Code = Code::InvalidArgument;
    let none = signature(&[], &[]);
    let (mut bytes, mut vm, mut func) = (null_mut(), null_mut(), null());
    unsafe {
        assert_eq!(rust_wasm_error_code(null()), INVALID);
        assert_eq!(rust_wasm_error_message(null()).size, 0);
        assert_eq!(rust_wasm_error_backtrace(null()).size, 0);
        assert!(rust_wasm_module_clone(null()).is_null());
        assert!(!rust_wasm_module_precompiled(null()));
        assert_eq!(rust_wasm_module_precompiled_rejection(null()).size, 0);
        assert_eq!(rust_wasm_module_import(null(), NONE, NONE), -1);
        assert_eq!(rust_wasm_bytes_view(null()).size, 0);
        assert!(rust_wasm_vm_memory(null()).is_null());
        rust_wasm_vm_trap(null_mut(), NONE);
        rust_wasm_vm_terminate(null());

        fails(INVALID, rust_wasm_module_serialize(null(), &raw mut bytes));
        fails(INVALID, rust_wasm_vm_new(null(), null(), &raw mut vm));
        fails(
            INVALID,
            rust_wasm_vm_define(null_mut(), 0, none, Some(nothing), null_mut()),
        );
        fails(INVALID, rust_wasm_vm_link(null_mut(), NONE));
        fails(
            INVALID,
            rust_wasm_vm_func(null_mut(), NONE, none, &raw mut func),
        );
        fails(INVALID, rust_wasm_func_call(null(), null_mut()));
    }
    assert!(
        bytes.is_null() && vm.is_null() && func.is_null(),
        "outputs are untouched"
    );
}

#[test]
fn a_null_output_is_an_error() {
    const INVALID: Code = Code::InvalidArgument;
    let bytecode = binary(ADD);
    let module = load(ADD);
    let vm = linked(ADD);
    let none = signature(&[], &[]);
    unsafe {
        let bytecode = slice(&bytecode);
        fails(
            INVALID,
            rust_wasm_module_load(bytecode, NONE, null(), 0, null(), null_mut()),
        );
        fails(INVALID, rust_wasm_module_serialize(module, null_mut()));
        fails(INVALID, rust_wasm_vm_new(module, null(), null_mut()));
        fails(
            INVALID,
            rust_wasm_vm_func(vm, slice(b"nothing"), none, null_mut()),
        );
        fails(INVALID, rust_wasm_options_init(null_mut()));
        rust_wasm_vm_free(vm);
        rust_wasm_module_free(module);
    }
}

#[test]
fn outputs_are_written_on_success_only() {
    let sentinel: *mut Module = NonNull::dangling().as_ptr();
    let mut module = sentinel;
    let vm = linked(ADD);
    let func_sentinel: *const Func = NonNull::dangling().as_ptr();
    let mut func = func_sentinel;
    unsafe {
        let bad = slice(b"no module");
        fails(
            Code::InvalidModule,
            rust_wasm_module_load(bad, NONE, null(), 0, null(), &raw mut module),
        );
        fails(
            Code::Incompatible,
            rust_wasm_module_load(NONE, bad, null(), 0, null(), &raw mut module),
        );
        fails(
            Code::InvalidModule,
            rust_wasm_module_load(NONE, NONE, null(), 0, null(), &raw mut module),
        );
        assert_eq!(module, sentinel);
        let wrong = signature(&[I32], &[]);
        let message = fails(
            Code::Link,
            rust_wasm_vm_func(vm, slice(b"add"), wrong, &raw mut func),
        );
        assert!(
            message.contains("(i32, i32) -> (i32), expected (i32) -> ()"),
            "{message}"
        );
        assert_eq!(func, func_sentinel);
        // That there is no such export is a success, with null.
        succeeds(rust_wasm_vm_func(
            vm,
            slice(b"absent"),
            wrong,
            &raw mut func,
        ));
        assert!(func.is_null());
        rust_wasm_vm_free(vm);
    }
}

#[test]
fn a_pointer_is_not_read_when_its_length_is_zero() {
    let bytecode = binary(r#"(module (import "" "" (func)) (func (export "")))"#);
    let empty = Signature {
        params: DANGLING,
        results: DANGLING,
    };
    let (mut module, mut vm, mut func) = (null_mut(), null_mut(), null());
    unsafe {
        let names = NonNull::dangling().as_ptr();
        succeeds(rust_wasm_module_load(
            slice(&bytecode),
            DANGLING,
            names,
            0,
            null(),
            &raw mut module,
        ));
        assert_eq!(rust_wasm_module_import(module, DANGLING, NONE), 0);
        succeeds(rust_wasm_vm_new(module, null(), &raw mut vm));
        succeeds(rust_wasm_vm_define(vm, 0, empty, Some(nothing), null_mut()));
        succeeds(rust_wasm_vm_link(vm, DANGLING));
        succeeds(rust_wasm_vm_func(vm, DANGLING, empty, &raw mut func));
        assert!(!func.is_null());
        succeeds(rust_wasm_func_call(func, null_mut()));
        rust_wasm_vm_trap(vm, DANGLING);
        rust_wasm_vm_free(vm);
        rust_wasm_module_free(module);
    }
}

#[test]
fn null_or_huge_data_with_a_length_is_an_error() {
    const INVALID: Code = Code::InvalidArgument;
    let vm = vm(ADD);
    let mut module = null_mut();
    unsafe {
        for bad in [
            Slice {
                data: null(),
                size: 1,
            },
            Slice {
                data: null(),
                size: usize::MAX,
            },
            Slice {
                data: DANGLING.data,
                size: usize::MAX,
            },
        ] {
            fails(
                INVALID,
                rust_wasm_module_load(bad, NONE, null(), 0, null(), &raw mut module),
            );
            fails(
                INVALID,
                rust_wasm_module_load(NONE, bad, null(), 0, null(), &raw mut module),
            );
            fails(INVALID, rust_wasm_vm_link(vm, bad));
            let bad = Signature {
                params: bad,
                results: NONE,
            };
            fails(
                INVALID,
                rust_wasm_vm_define(vm, 0, bad, Some(nothing), null_mut()),
            );
        }
        let bytecode = binary(ADD);
        let load = |names, size| {
            let mut module = null_mut();
            rust_wasm_module_load(slice(&bytecode), NONE, names, size, null(), &raw mut module)
        };
        fails(INVALID, load(null(), 1));
        fails(INVALID, load(NonNull::dangling().as_ptr(), usize::MAX / 2));
        rust_wasm_vm_free(vm);
    }
    assert!(module.is_null());
}

#[test]
fn text_that_is_not_utf8() {
    let module = load(CALLING);
    let vm = linked(ADD);
    let mut found = null();
    unsafe {
        assert_eq!(
            rust_wasm_module_import(module, slice(b"env"), slice(b"host")),
            0
        );
        assert_eq!(
            rust_wasm_module_import(module, slice(b"env"), slice(b"\xff")),
            -1
        );
        assert_eq!(
            rust_wasm_module_import(module, slice(b"\xc0\x80"), slice(b"host")),
            -1
        );
        let none = signature(&[], &[]);
        let message = fails(
            Code::InvalidArgument,
            rust_wasm_vm_func(vm, slice(b"\xff"), none, &raw mut found),
        );
        assert!(message.contains("not UTF-8"), "{message}");
        rust_wasm_vm_free(vm);
        rust_wasm_module_free(module);
    }
}

#[test]
fn unknown_value_types_are_refused() {
    let vm = vm(CALLING);
    unsafe {
        for code in [0, 1, 0x70, 0x7b, 0x80, 0xff] {
            let codes = [code];
            let unknown = Signature {
                params: slice(&codes),
                results: NONE,
            };
            fails(
                Code::InvalidArgument,
                rust_wasm_vm_define(vm, 0, unknown, Some(nothing), null_mut()),
            );
        }
        let right = signature(&[I32], &[I32]);
        fails(
            Code::InvalidArgument,
            rust_wasm_vm_define(vm, 0, right, None, null_mut()),
        );
        fails(
            Code::InvalidArgument,
            rust_wasm_vm_define(vm, 1, right, Some(nothing), null_mut()),
        );
        rust_wasm_vm_free(vm);
    }
}
