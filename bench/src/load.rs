//! From bytes to a module: by compiling, from precompiled code, and from a code cache.

use std::path::Path;

use wasmtime::{Engine, Module};

use crate::harness::best;
use crate::ours::{self, Vm};
use crate::peer;
use crate::plugins::{self, Plugin};
use crate::report::{MS, Report};
use crate::scratch::Folder;

pub fn run(report: &mut Report) {
    let plugins = [
        ("rust_sdk", plugins::rust_sdk()),
        ("assemblyscript", plugins::assemblyscript()),
        ("large", plugins::large()),
    ];
    for (name, plugin) in &plugins {
        load(report, name, plugin);
    }
}

fn load(report: &mut Report, name: &str, plugin: &Plugin) {
    let bytecode = &plugin.bytecode[..];
    let size = bytecode.len() / 1000;
    println!("# {name}: {size} kB of bytecode");
    let engine = peer::engine();

    let mut measure = |what: &str, ours: &mut dyn FnMut(), peer: &mut dyn FnMut()| {
        let [ours, peer] = best([&mut |n| (0..n).for_each(|_| ours()), &mut |n| {
            (0..n).for_each(|_| peer())
        }]);
        report.compare(&format!("{what}_{name}"), MS, ours, peer);
    };

    measure(
        "load_bytecode",
        &mut || assert!(!ours::Module::compile(bytecode).is_precompiled()),
        &mut || drop(Module::new(&engine, bytecode).expect("compiled")),
    );

    let our_code = ours::Module::compile(bytecode).serialize();
    let module = Module::new(&engine, bytecode).expect("compiled");
    let peer_code = module.serialize().expect("serialized");
    measure(
        "load_precompiled",
        &mut || drop(our_precompiled(bytecode, &our_code)),
        &mut || drop(peer_precompiled(&engine, &peer_code)),
    );
    measure(
        "first_call_precompiled",
        &mut || our_first_call(&our_precompiled(bytecode, &our_code), plugin),
        &mut || peer_first_call(&engine, &peer_precompiled(&engine, &peer_code), plugin),
    );

    let cache = Folder::new();
    ours::Module::load(bytecode, &[], cache.path());
    let file = cache.file("peer");
    std::fs::write(&file, &peer_code).expect("written");
    measure(
        "load_cached",
        &mut || drop(our_cached(bytecode, cache.path())),
        &mut || drop(peer_cached(&engine, &file)),
    );
    measure(
        "first_call_cached",
        &mut || our_first_call(&our_cached(bytecode, cache.path()), plugin),
        &mut || peer_first_call(&engine, &peer_cached(&engine, &file), plugin),
    );
}

fn our_precompiled(bytecode: &[u8], code: &[u8]) -> ours::Module {
    let module = ours::Module::load(bytecode, code, "");
    assert!(module.is_precompiled());
    module
}

fn our_cached(bytecode: &[u8], cache: &str) -> ours::Module {
    let module = ours::Module::load(bytecode, &[], cache);
    assert!(module.is_precompiled());
    module
}

fn peer_precompiled(engine: &Engine, code: &[u8]) -> Module {
    // SAFETY: `serialize` made it.
    unsafe { Module::deserialize(engine, code) }.expect("accepted")
}

fn peer_cached(engine: &Engine, file: &Path) -> Module {
    // SAFETY: `serialize` made it, and nobody else writes there.
    unsafe { Module::deserialize_file(engine, file) }.expect("accepted")
}

fn our_first_call(module: &ours::Module, plugin: &Plugin) {
    let vm = Vm::linked(module, plugin);
    vm.find("_initialize", &[], &[]).call(&mut []);
}

fn peer_first_call(engine: &Engine, module: &Module, plugin: &Plugin) {
    let mut store = peer::store(engine, ());
    let instance = peer::link(engine, module, plugin)
        .instantiate(&mut store)
        .expect("instantiated");
    let initialize = instance.get_typed_func::<(), ()>(&mut store, "_initialize");
    let initialize = initialize.expect("exported");
    initialize.call(&mut store, ()).expect("initialized");
}
