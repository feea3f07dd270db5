//! A new VM of a module that is already compiled, and its end.

use wasmtime::{Linker, Module};

use crate::harness::best;
use crate::ours::{self, Vm};
use crate::peer;
use crate::plugins;
use crate::report::{Report, US};

pub fn run(report: &mut Report) {
    small(report);
    plugin(report);
    initialize(report);
}

const TWO_PAGES: usize = 2 << 16;

fn small(report: &mut Report) {
    let bytecode = wat::parse_str(
        r#"(module (memory (export "memory") 2)
             (func (export "add") (param i32 i32) (result i32)
               (i32.add (local.get 0) (local.get 1))))"#,
    )
    .expect("well-formed");
    let our_module = ours::Module::compile(&bytecode);
    let engine = peer::engine();
    let module = Module::new(&engine, &bytecode).expect("compiled");
    let pre = Linker::<()>::new(&engine)
        .instantiate_pre(&module)
        .expect("no imports");
    let [ours, peer] = best([
        &mut |n| {
            for _ in 0..n {
                let vm = Vm::new(&our_module, 0);
                vm.link();
                assert_eq!(vm.memory_size(), TWO_PAGES);
            }
        },
        &mut |n| {
            for _ in 0..n {
                let mut store = peer::store(&engine, ());
                let instance = pre.instantiate(&mut store).expect("instantiated");
                let memory = instance.get_memory(&mut store, "memory").expect("exported");
                assert_eq!(memory.data_size(&store), TWO_PAGES);
            }
        },
    ]);
    report.compare("instantiate_2_pages", US, ours, peer);
}

fn plugin(report: &mut Report) {
    let plugin = plugins::rust_sdk();
    let our_module = ours::Module::compile(&plugin.bytecode);
    let engine = peer::engine();
    let module = Module::new(&engine, &plugin.bytecode).expect("compiled");
    let pre = peer::link(&engine, &module, &plugin);
    let [ours, peer] = best([
        &mut |n| {
            for _ in 0..n {
                let vm = Vm::linked(&our_module, &plugin);
                assert!(vm.memory_size() > TWO_PAGES);
            }
        },
        &mut |n| {
            for _ in 0..n {
                let mut store = peer::store(&engine, ());
                let instance = pre.instantiate(&mut store).expect("instantiated");
                let memory = instance.get_memory(&mut store, "memory").expect("exported");
                assert!(memory.data_size(&store) > TWO_PAGES);
            }
        },
    ]);
    report.compare("instantiate_rust_sdk", US, ours, peer);
}

/// As a host clones a plugin's VM: with all its exports looked up and its start function
/// run.
fn initialize(report: &mut Report) {
    let plugin = plugins::rust_sdk();
    let our_module = ours::Module::compile(&plugin.bytecode);
    let engine = peer::engine();
    let module = Module::new(&engine, &plugin.bytecode).expect("compiled");
    let pre = peer::link(&engine, &module, &plugin);
    let [ours, peer] = best([
        &mut |n| {
            for _ in 0..n {
                let vm = Vm::linked(&our_module, &plugin);
                for export in &plugin.exports {
                    vm.func(export);
                }
                vm.find("_initialize", &[], &[]).call(&mut []);
            }
        },
        &mut |n| {
            for _ in 0..n {
                let mut store = peer::store(&engine, ());
                let instance = pre.instantiate(&mut store).expect("instantiated");
                for export in &plugin.exports {
                    instance
                        .get_func(&mut store, &export.name)
                        .expect("exported");
                }
                let initialize = instance.get_typed_func::<(), ()>(&mut store, "_initialize");
                let initialize = initialize.expect("exported");
                initialize.call(&mut store, ()).expect("initialized");
            }
        },
    ]);
    report.compare("clone_and_initialize_rust_sdk", US, ours, peer);
}
