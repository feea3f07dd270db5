//! Modules, VMs, funcs, errors: their order, ownership and contents.

use std::ptr::{null, null_mut};

use rust_wasm::Code;
use rust_wasm::ffi::*;

use crate::support::binary;
use crate::*;

#[test]
fn the_whole_life_of_a_vm() {
    unsafe {
        let vm = linked(ADD);
        let add = func(vm, b"add", signature(&[I32, I32], &[I32]));
        let mut values = [Value::from(40_u32), Value::from(2_u32)];
        succeeds(rust_wasm_func_call(add, values.as_mut_ptr()));
        assert_eq!(values[0].i32, 42);
        assert_eq!((*rust_wasm_vm_memory(vm)).size, 65536);
        rust_wasm_vm_free(vm);
    }
}

#[test]
fn the_wrong_order_is_an_error() {
    const STATE: Code = Code::InvalidState;
    let none = signature(&[], &[]);
    let mut found = null();
    unsafe {
        let fresh = vm(CALLING);
        fails(
            STATE,
            rust_wasm_vm_func(fresh, slice(b"run"), none, &raw mut found),
        );
        assert_eq!((*rust_wasm_vm_memory(fresh)).size, 0);
        fails(Code::Link, rust_wasm_vm_link(fresh, slice(b"plugin")));
        // It has failed now.
        let right = signature(&[I32], &[I32]);
        fails(
            STATE,
            rust_wasm_vm_define(fresh, 0, right, Some(nothing), null_mut()),
        );
        fails(STATE, rust_wasm_vm_link(fresh, slice(b"plugin")));
        fails(
            STATE,
            rust_wasm_vm_func(fresh, slice(b"run"), none, &raw mut found),
        );
        rust_wasm_vm_terminate(fresh);
        rust_wasm_vm_free(fresh);

        let linked = linked(ADD);
        fails(
            STATE,
            rust_wasm_vm_define(linked, 0, none, Some(nothing), null_mut()),
        );
        fails(STATE, rust_wasm_vm_link(linked, slice(b"plugin")));
        let add = func(linked, b"add", signature(&[I32, I32], &[I32]));
        fails(Code::InvalidArgument, rust_wasm_func_call(add, null_mut()));
        rust_wasm_vm_free(linked);
    }
}

#[test]
fn asking_for_a_func_twice_gives_the_same() {
    let vm = linked(ADD);
    let none = signature(&[], &[]);
    assert_eq!(func(vm, b"nothing", none), func(vm, b"nothing", none));
    assert_ne!(func(vm, b"nothing", none), func(vm, b"trap", none));
    unsafe { rust_wasm_vm_free(vm) };
}

#[test]
fn a_trap_has_a_code_a_message_and_a_backtrace() {
    let vm = linked(ADD);
    let trap = func(vm, b"trap", signature(&[], &[]));
    unsafe {
        let error = rust_wasm_func_call(trap, null_mut());
        assert_eq!(rust_wasm_error_code(error), Code::Trap);
        assert_eq!(
            text(rust_wasm_error_message(error)),
            "wasm trap: unreachable"
        );
        let backtrace = text(rust_wasm_error_backtrace(error));
        assert!(
            backtrace.starts_with("  0:  0x") && backtrace.ends_with(" - trap"),
            "{backtrace}"
        );
        // The error does not depend on its VM.
        rust_wasm_vm_free(vm);
        assert_eq!(
            text(rust_wasm_error_message(error)),
            "wasm trap: unreachable"
        );
        rust_wasm_error_free(error);
    }
}

#[test]
fn modules_are_counted() {
    unsafe {
        let first = load(ADD);
        let second = rust_wasm_module_clone(first);
        rust_wasm_module_free(first);
        let mut vm = null_mut();
        succeeds(rust_wasm_vm_new(second, null(), &raw mut vm));
        rust_wasm_module_free(second);
        succeeds(rust_wasm_vm_link(vm, NONE));
        succeeds(rust_wasm_func_call(
            func(vm, b"nothing", signature(&[], &[])),
            null_mut(),
        ));
        rust_wasm_vm_free(vm);
    }
}

#[test]
fn precompiled_code_round_trip() {
    let bytecode = binary(ADD);
    let module = load(ADD);
    let (mut bytes, mut again) = (null_mut(), null_mut());
    unsafe {
        assert!(!rust_wasm_module_precompiled(module));
        succeeds(rust_wasm_module_serialize(module, &raw mut bytes));
        let code = rust_wasm_bytes_view(bytes);
        succeeds(rust_wasm_module_load(
            slice(&bytecode),
            code,
            null(),
            0,
            null(),
            &raw mut again,
        ));
        assert!(rust_wasm_module_precompiled(again));
        assert_eq!(rust_wasm_module_precompiled_rejection(again).size, 0);
        rust_wasm_module_free(again);

        let cut = Slice {
            data: code.data,
            size: code.size - 1,
        };
        succeeds(rust_wasm_module_load(
            slice(&bytecode),
            cut,
            null(),
            0,
            null(),
            &raw mut again,
        ));
        assert!(!rust_wasm_module_precompiled(again));
        assert!(text(rust_wasm_module_precompiled_rejection(again)).contains("damaged"));
        rust_wasm_module_free(again);
        rust_wasm_bytes_free(bytes);
        rust_wasm_module_free(module);
    }
}

#[test]
fn options_are_filled_and_zero_takes_the_default() {
    unsafe {
        let mut options = std::mem::zeroed::<Options>();
        succeeds(rust_wasm_options_init(&raw mut options));
        assert_eq!(options.max_memory_bytes, 1 << 30);
        assert_eq!(options.guest_stack_bytes, 1 << 20);
        assert_eq!((options.call_deadline_ns, options.cache_dir.size), (0, 0));

        let module = load("(module (memory 2))");
        let mut vm = null_mut();
        let zero = std::mem::zeroed::<Options>();
        succeeds(rust_wasm_vm_new(module, &raw const zero, &raw mut vm));
        succeeds(rust_wasm_vm_link(vm, NONE));
        rust_wasm_vm_free(vm);

        let small = Options {
            max_memory_bytes: 65536,
            ..std::mem::zeroed()
        };
        succeeds(rust_wasm_vm_new(module, &raw const small, &raw mut vm));
        fails(Code::Resource, rust_wasm_vm_link(vm, NONE));
        rust_wasm_vm_free(vm);

        let bad = Options {
            guest_stack_bytes: 1,
            ..std::mem::zeroed()
        };
        let mut none: *mut Vm = null_mut();
        fails(
            Code::InvalidArgument,
            rust_wasm_vm_new(module, &raw const bad, &raw mut none),
        );
        assert!(none.is_null());
        rust_wasm_module_free(module);
    }
}

#[test]
fn names_from_the_loader() {
    let bytecode = binary(ADD);
    let names = [
        Name {
            index: 2,
            name: slice(b"given"),
        },
        Name {
            index: 2000,
            name: NONE,
        },
        Name {
            index: 1,
            name: slice(b"\xff\xfe"),
        },
    ];
    let (mut module, mut vm) = (null_mut(), null_mut());
    unsafe {
        let bytecode = slice(&bytecode);
        succeeds(rust_wasm_module_load(
            bytecode,
            NONE,
            names.as_ptr(),
            names.len(),
            null(),
            &raw mut module,
        ));
        succeeds(rust_wasm_vm_new(module, null(), &raw mut vm));
        succeeds(rust_wasm_vm_link(vm, NONE));
        let error = rust_wasm_func_call(func(vm, b"trap", signature(&[], &[])), null_mut());
        assert!(text(rust_wasm_error_backtrace(error)).ends_with(" - given"));
        rust_wasm_error_free(error);
        rust_wasm_vm_free(vm);
        rust_wasm_module_free(module);
    }
}

#[test]
fn warming_and_the_version() {
    succeeds(rust_wasm_warm());
    succeeds(rust_wasm_warm());
    let version = text(rust_wasm_version());
    assert_eq!(version.split(' ').nth(1), Some("wasmer"), "{version}");
}
