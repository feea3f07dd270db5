//! Memory of many VMs of one plugin, each with its start function run, in a process of
//! their own. It loads precompiled code: what a compiler leaves behind in the heap would
//! be used for the first VMs and hide them.

use std::path::Path;
use std::process::Command;

use wasmtime::Module;

use crate::ours::{self, Vm};
use crate::peer;
use crate::plugins;
use crate::report::{KB, Report};
use crate::scratch::Folder;

/// The argument that makes this program a child, which makes VMs and tells what they
/// take.
pub const CHILD: &str = "--memory";

pub fn run(report: &mut Report) {
    let bytecode = plugins::rust_sdk().bytecode;
    let folder = Folder::new();
    let code = ours::Module::compile(&bytecode).serialize();
    std::fs::write(folder.file("ours"), code).expect("written");
    let code = Module::new(&peer::engine(), &bytecode).and_then(|it| it.serialize());
    std::fs::write(folder.file("peer"), code.expect("compiled")).expect("written");

    for count in [1, 10, 100, 1000] {
        let [ours, peer] = ["ours", "peer"].map(|engine| spawn(engine, count, &folder));
        for (index, what) in ["rss", "pss", "private"].into_iter().enumerate() {
            let name = format!("memory_{what}_per_vm_{count}");
            report.compare(&name, KB, ours[index], peer[index]);
        }
    }
}

fn spawn(engine: &str, count: usize, folder: &Folder) -> [f64; 3] {
    let program = std::env::current_exe().expect("the program has a path");
    let output = Command::new(program)
        .args([CHILD, engine, &count.to_string()])
        .arg(folder.file(engine))
        .output()
        .expect("the child runs");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    let mut numbers = text.split_whitespace().map(|it| it.parse());
    [(); 3].map(|()| numbers.next().expect("three").expect("a number"))
}

/// Prints by how many bytes the process's memory grows per VM, after a first one.
pub fn child(engine: &str, count: usize, code: &Path) {
    match engine {
        "ours" => ours(count, code),
        _ => peer(count, code),
    }
}

fn ours(count: usize, code: &Path) {
    let plugin = plugins::rust_sdk();
    let code = std::fs::read(code).expect("there");
    let module = ours::Module::load(&plugin.bytecode, &code, "");
    assert!(module.is_precompiled());
    measure(count, || {
        let vm = Vm::linked(&module, &plugin);
        vm.find("_initialize", &[], &[]).call(&mut []);
        assert!(vm.memory_size() > 0);
        vm
    });
}

fn peer(count: usize, code: &Path) {
    let plugin = plugins::rust_sdk();
    let engine = peer::engine();
    // SAFETY: the parent made it.
    let module = unsafe { Module::deserialize_file(&engine, code) }.expect("accepted");
    let pre = peer::link(&engine, &module, &plugin);
    measure(count, || {
        let mut store = peer::store(&engine, ());
        let instance = pre.instantiate(&mut store).expect("instantiated");
        let initialize = instance.get_typed_func::<(), ()>(&mut store, "_initialize");
        let initialize = initialize.expect("exported");
        initialize.call(&mut store, ()).expect("initialized");
        (store, instance)
    });
}

fn measure<T>(count: usize, make: impl Fn() -> T) {
    let mut vms = Vec::with_capacity(count + 1);
    vms.push(make());
    let before = usage();
    vms.extend((0..count).map(|_| make()));
    let after = usage();
    assert_eq!(vms.len(), count + 1);
    for (after, before) in after.iter().zip(before) {
        println!("{}", (after - before) / count as f64);
    }
}

/// Resident, proportional and private bytes.
fn usage() -> [f64; 3] {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").expect("Linux tells");
    let field = |name: &str| -> f64 {
        let line = rollup.lines().find(|line| line.starts_with(name));
        let value = line.and_then(|it| it.split_whitespace().nth(1));
        let kibibytes: f64 = value.and_then(|it| it.parse().ok()).expect("a number");
        kibibytes * 1024.0
    };
    let private = field("Private_Clean:") + field("Private_Dirty:");
    [field("Rss:"), field("Pss:"), private]
}
