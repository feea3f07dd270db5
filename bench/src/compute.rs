//! Guest code at work, long enough per call that the crossing does not count: against
//! wasmtime, whose code has epoch checks, and against the same compiler's code without
//! our interrupt checks.

use wasmer::sys::{Cranelift, EngineBuilder};
use wasmtime::{Linker, Module};

use crate::harness::best;
use crate::ours::{self, I32, Vm};
use crate::peer;
use crate::plugins;
use crate::report::{MS, Report};

/// Kernels, and arguments for some milliseconds of work.
const KERNELS: [(&str, u32); 6] = [
    ("integers", 3_000_000),
    ("sweep", 30),
    ("fibonacci", 27),
    ("mix", 20_000),
    ("sieve", 1_000_000),
    ("interpreter", 1_000_000),
];

pub fn run(report: &mut Report) {
    let plugin = plugins::kernels();
    let bytecode = &plugin.bytecode;

    let vm = Vm::linked(&ours::Module::compile(bytecode), &plugin);

    let engine = peer::engine();
    let module = Module::new(&engine, bytecode).expect("compiled");
    let mut store = peer::store(&engine, ());
    let peer = Linker::new(&engine)
        .instantiate(&mut store, &module)
        .expect("no imports");

    let mut bare_store = wasmer::Store::new(EngineBuilder::new(Cranelift::new()).engine());
    let bare = wasmer::Module::new(&bare_store, bytecode).expect("compiled");
    let bare = wasmer::Instance::new(&mut bare_store, &bare, &wasmer::imports! {});
    let bare = bare.expect("no imports").exports;

    for (kernel, argument) in KERNELS {
        let ours = vm.find(kernel, &[I32], &[I32]);
        let peer = peer
            .get_typed_func::<u32, u32>(&mut store, kernel)
            .expect("exported");
        let bare = bare
            .get_typed_function::<u32, u32>(&bare_store, kernel)
            .expect("exported");
        let expected = ours.call_1(argument);
        let [ours, peer, bare] = best([
            &mut |n| {
                for _ in 0..n {
                    assert_eq!(ours.call_1(argument), expected);
                }
            },
            &mut |n| {
                for _ in 0..n {
                    let result = peer.call(&mut store, argument);
                    assert_eq!(result.expect("no trap"), expected);
                }
            },
            &mut |n| {
                for _ in 0..n {
                    let result = bare.call(&mut bare_store, argument);
                    assert_eq!(result.expect("no trap"), expected);
                }
            },
        ]);
        report.compare(&format!("compute_{kernel}"), MS, ours, peer);
        report.add(
            &format!("compute_{kernel}_checks"),
            MS,
            ours,
            "unchecked",
            bare,
        );
    }
}
