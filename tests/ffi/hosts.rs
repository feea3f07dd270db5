//! Host functions, and what they may do to the VM that runs them.

use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::Mutex;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::thread::JoinHandle;

use rust_wasm::Code;
use rust_wasm::ffi::*;

use crate::*;

/// What a host function finds at `data`.
#[derive(Default)]
struct Running {
    /// The VM that runs it.
    vm: AtomicPtr<Vm>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// A function in the header's erased form.
fn erase(function: extern "C" fn(&Running, u32) -> u32) -> HostFn {
    // As the header tells C to do.
    Some(unsafe {
        std::mem::transmute::<extern "C" fn(&Running, u32) -> u32, unsafe extern "C" fn()>(function)
    })
}

/// A linked VM of `CALLING` whose import is `host`.
fn calling(running: &Running, host: extern "C" fn(&Running, u32) -> u32) -> *mut Vm {
    let vm = vm(CALLING);
    running.vm.store(vm, Ordering::Relaxed);
    let data = (&raw const *running).cast::<c_void>().cast_mut();
    unsafe {
        let ty = signature(&[I32], &[I32]);
        succeeds(rust_wasm_vm_define(vm, 0, ty, erase(host), data));
        succeeds(rust_wasm_vm_link(vm, slice(b"calling")));
    }
    vm
}

#[test]
fn a_host_function_gets_its_data_and_may_trap() {
    extern "C" fn host(running: &Running, value: u32) -> u32 {
        if value == 0 {
            let vm = running.vm.load(Ordering::Relaxed);
            unsafe { rust_wasm_vm_trap(vm, slice(b"zero \xff")) };
        }
        value + 1
    }
    let running = Running::default();
    let vm = calling(&running, host);
    let run = func(vm, b"run", signature(&[I32], &[I32]));
    unsafe {
        let mut value = [Value::from(7_u32)];
        succeeds(rust_wasm_func_call(run, value.as_mut_ptr()));
        assert_eq!(value[0].i32, 8);
        value[0] = Value::from(0_u32);
        let message = fails(Code::HostTrap, rust_wasm_func_call(run, value.as_mut_ptr()));
        assert_eq!(message, "zero \u{fffd}");
        rust_wasm_vm_free(vm);
    }
}

#[test]
fn a_vm_freed_by_its_own_host_function_is_leaked() {
    extern "C" fn host(running: &Running, value: u32) -> u32 {
        unsafe { rust_wasm_vm_free(running.vm.load(Ordering::Relaxed)) };
        value + 1
    }
    let running = Running::default();
    let vm = calling(&running, host);
    let run = func(vm, b"run", signature(&[I32], &[I32]));
    unsafe {
        for _ in 0..3 {
            let mut value = [Value::from(7_u32)];
            succeeds(rust_wasm_func_call(run, value.as_mut_ptr()));
            assert_eq!(value[0].i32, 8);
        }
        // It was leaked, so this is its first and last free.
        rust_wasm_vm_free(vm);
    }
}

#[test]
fn another_thread_terminates() {
    extern "C" fn host(running: &Running, _: u32) -> u32 {
        // Once it runs, another thread may end it.
        let vm = running.vm.swap(null_mut(), Ordering::Relaxed);
        if !vm.is_null() {
            let address = vm.expose_provenance();
            let thread = std::thread::spawn(move || unsafe {
                rust_wasm_vm_terminate(std::ptr::with_exposed_provenance(address));
            });
            *running.thread.lock().expect("not poisoned") = Some(thread);
        }
        0
    }
    let running = Running::default();
    let vm = calling(&running, host);
    let spin = func(vm, b"spin", signature(&[], &[]));
    let other = linked(ADD);
    unsafe {
        let message = fails(Code::Interrupt, rust_wasm_func_call(spin, null_mut()));
        assert!(message.contains("terminated"), "{message}");
        let thread = running.thread.lock().expect("not poisoned").take();
        thread.expect("started").join().expect("no panic");
        fails(Code::Interrupt, rust_wasm_func_call(spin, null_mut()));
        succeeds(rust_wasm_func_call(
            func(other, b"nothing", signature(&[], &[])),
            null_mut(),
        ));
        rust_wasm_vm_free(other);
        rust_wasm_vm_free(vm);
    }
}
