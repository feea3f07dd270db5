//! What each state of a VM allows.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rust_wasm::{Code, Error, FunctionType, Module, Options, Result, Value, Vm};

use crate::support::{Guest, failure, module, says};

const IMPORTING: &str = r#"(module (import "env" "host" (func $host))
  (memory (export "memory") 1)
  (func (export "f") (call $host)))"#;

extern "C" fn host(_: *mut ()) {}

fn none() -> FunctionType {
    FunctionType::new([], [])
}

fn define(vm: &Vm) -> Result<()> {
    // SAFETY: `host` has this type.
    unsafe { vm.define(0, &none(), host as *const (), std::ptr::null_mut()) }
}

fn vm() -> Vm {
    Vm::new(&module(IMPORTING), &Options::default()).expect("a VM")
}

#[test]
fn a_loaded_vm_can_be_defined_and_linked_only() {
    let vm = vm();
    assert!(!vm.is_running());
    let error = failure(Code::InvalidState, vm.func("f", &none()).map(drop));
    says(&error, "cannot look up a function: VM \"\" is not linked");
    vm.trap("nobody listens");
    define(&vm).expect("defined");
    vm.link("name").expect("links");
}

#[test]
fn a_linked_vm_cannot_be_defined_or_linked_again() {
    let vm = vm();
    define(&vm).expect("defined");
    vm.link("name").expect("links");
    let error = failure(Code::InvalidState, define(&vm));
    says(
        &error,
        "cannot define an import: VM \"name\" is linked already",
    );
    failure(Code::InvalidState, vm.link("again"));
    let func = vm.func("f", &none()).expect("its type").expect("exported");
    vm.call(func, &mut []).expect("the VM is unharmed");
}

#[test]
fn a_func_belongs_to_its_vm() {
    let [first, second] = [vm(), vm()].map(|vm| {
        define(&vm).expect("defined");
        vm.link("name").expect("links");
        let func = vm.func("f", &none()).expect("its type").expect("exported");
        (vm, func)
    });
    let error = failure(Code::InvalidArgument, first.0.call(second.1, &mut []));
    says(&error, "no such function in this VM");
    first.0.call(first.1, &mut []).expect("its own");
}

#[test]
fn a_vm_that_failed_to_link_refuses_everything() {
    let vm = vm();
    failure(Code::Link, vm.link("plugin"));
    let expect = |error: Error| says(&error, "VM \"plugin\" has failed");
    expect(failure(Code::InvalidState, define(&vm)));
    expect(failure(Code::InvalidState, vm.link("again")));
    expect(failure(Code::InvalidState, vm.func("f", &none()).map(drop)));
    assert!(!vm.is_running());
    vm.trap("nobody listens");
    vm.terminator().terminate();
    // SAFETY: the place is stable while the VM lives.
    assert_eq!(unsafe { (*vm.memory()).current_length }, 0);
}

#[test]
fn a_vm_whose_start_function_trapped_refuses_calls() {
    let vm = Vm::new(
        &module(r#"(module (func $s (unreachable)) (start $s) (func (export "f")))"#),
        &Options::default(),
    )
    .expect("a VM");
    failure(Code::Trap, vm.link("plugin"));
    failure(Code::InvalidState, vm.func("f", &none()).map(drop));
}

#[test]
fn while_linking_a_host_function_finds_the_vm_linked() {
    let guest = Guest::unlinked(
        r#"(module (import "env" "host" (func $host)) (start $host) (func (export "f")))"#,
    );
    let me = guest.pointer();
    let guest = guest.host("host", move || {
        let vm = me.vm();
        assert!(vm.is_running());
        failure(Code::InvalidState, define(vm));
        failure(Code::InvalidState, vm.link("again"));
        me.try_call("f", &[]).expect("returns");
    });
    guest.try_link().expect("links");
}

#[test]
fn a_terminated_vm_still_answers_questions() {
    let vm = vm();
    define(&vm).expect("defined");
    vm.link("plugin").expect("links");
    vm.terminator().terminate();
    let func = vm.func("f", &none()).expect("its type").expect("exported");
    failure(Code::Interrupt, vm.call(func, &mut []));
    // SAFETY: the place is stable while the VM lives.
    assert_eq!(unsafe { (*vm.memory()).current_length }, 65536);
}

#[test]
fn a_function_of_a_vm_is_no_function_of_an_empty_one() {
    let guest = Guest::new(r#"(module (func (export "f") (param i32)))"#);
    let ty = FunctionType::new([rust_wasm::Type::I32], []);
    let func = guest
        .vm()
        .func("f", &ty)
        .expect("its type")
        .expect("exported");
    let error = failure(
        Code::InvalidArgument,
        vm().call(func, &mut [Value::default()]),
    );
    says(&error, "no such function");
}

#[test]
fn vms_keep_their_module_alive() {
    let module = module(r#"(module (func (export "f") (result i32) (i32.const 3)))"#);
    let guest = Guest::of(&module, &Options::default()).link();
    drop(module);
    assert_eq!(guest.i32("f", &[]), 3);
}

#[test]
fn clones_start_afresh() {
    let module = module(
        r#"(module
          (memory (export "memory") 1) (table $t 1 funcref)
          (global $g (mut i32) (i32.const 5))
          (data (i32.const 0) "a")
          (func (export "change")
            (global.set $g (i32.const 6))
            (i32.store8 (i32.const 0) (i32.const 98))
            (drop (memory.grow (i32.const 1)))
            (drop (table.grow $t (ref.null func) (i32.const 1))))
          (func (export "state") (result i32 i32 i32 i32)
            (global.get $g) (i32.load8_u (i32.const 0)) (memory.size) (table.size $t)))"#,
    );
    let first = Guest::of(&module, &Options::default()).link();
    let fresh = vals![5_u32, 97_u32, 1_u32, 1_u32];
    assert_eq!(first.results("state", &[]), fresh);
    first.results("change", &[]);
    assert_eq!(
        first.results("state", &[]),
        vals![6_u32, 98_u32, 2_u32, 2_u32]
    );
    let clone = Guest::of(first.vm().module(), &Options::default()).link();
    assert_eq!(clone.results("state", &[]), fresh);
}

#[test]
fn a_panic_of_the_caller_leaves_the_vm_usable() {
    let guest = Guest::new(r#"(module (func (export "f") (result i32) (i32.const 3)))"#);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        assert_eq!(guest.i32("f", &[]), 3);
        std::panic::resume_unwind(Box::new(()));
    }));
    assert!(panicked.is_err());
    assert_eq!(guest.i32("f", &[]), 3);
}

#[test]
fn modules_that_need_more_than_functions_are_refused_at_load() {
    for (import, kind) in [
        (r#"(memory 1)"#, "memory"),
        (r#"(table 1 funcref)"#, "table"),
        (r#"(global i32)"#, "global"),
        (r#"(tag)"#, "tag"),
    ] {
        let text = format!(r#"(module (import "env" "thing" {import}))"#);
        let bytecode = crate::support::binary(&text);
        let error = failure(Code::Link, Module::compile(&bytecode).map(drop));
        says(&error, &format!("the module imports the {kind} env.thing"));
    }
}

#[test]
fn features_that_are_off_are_refused_as_invalid_modules() {
    for text in [
        "(module (memory i64 1))",
        "(module (memory 1) (memory 1))",
        "(module (memory 1 1 shared))",
        "(module (memory 1) (func (drop (i32.atomic.load (i32.const 0)))))",
        "(module (type (struct)))",
        "(module (func (param (ref 0))) (type (func)))",
    ] {
        let bytecode = crate::support::binary(text);
        let error = failure(Code::InvalidModule, Module::compile(&bytecode).map(drop));
        assert!(!error.message().is_empty(), "{text}");
    }
}

#[test]
fn features_of_todays_toolchains_are_on() {
    let guest = Guest::new(
        r#"(module
          (memory 1)
          (global $g (export "g") (mut i32) (i32.add (i32.const 1) (i32.const 1)))
          (table $refs 1 externref)
          (func (export "sign") (result i32) (i32.extend8_s (i32.const 0x80)))
          (func (export "saturate") (result i32) (i32.trunc_sat_f32_s (f32.const 1e30)))
          (func $two (result i32 i32) (i32.const 3) (i32.const 4))
          (func (export "multi") (result i32) (call $two) (i32.mul))
          (func (export "bulk") (memory.fill (i32.const 0) (i32.const 1) (i32.const 9)))
          (func (export "null") (result i32) (ref.is_null (table.get $refs (i32.const 0))))
          (func (export "vector") (result i32)
            (i32x4.extract_lane 2 (i32x4.add (i32x4.splat (i32.const 5))
              (v128.const i32x4 1 2 3 4)))))"#,
    );
    assert_eq!(guest.i32("sign", &[]), 0xffff_ff80);
    assert_eq!(guest.i32("saturate", &[]), 0x7fff_ffff);
    assert_eq!(guest.i32("multi", &[]), 12);
    assert_eq!(guest.i32("null", &[]), 1);
    assert_eq!(guest.i32("vector", &[]), 8);
    guest.results("bulk", &[]);
}
