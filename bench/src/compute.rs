//! Guest code at work, long enough per call that the crossing does not count: against
//! wasmtime, whose code has epoch checks, and against the same compiler's code without
//! our interrupt checks.

use std::cell::RefCell;

use wasmer::sys::{Cranelift, EngineBuilder};
use wasmtime::{Linker, Module};

use crate::harness::best;
use crate::ours::{self, Func, I32, Vm};
use crate::peer;
use crate::plugins;
use crate::report::{MS, Report};

/// Kernels, and arguments for a millisecond of work or so, in little memory.
const KERNELS: [(&str, u32); 6] = [
    ("integers", 3_000_000),
    ("sweep", 300),
    ("fibonacci", 27),
    ("mix", 20_000),
    ("sieve", 100_000),
    ("interpreter", 1_000_000),
];

/// A loop's speed depends on how its code happens to lie in cache lines, by more than
/// checks cost. So each kernel runs at several places, and the mean counts.
const PLACES: usize = 4;

pub fn run(report: &mut Report) {
    let mut places: Vec<Place> = (0..PLACES).map(Place::new).collect();
    for (kernel, argument) in KERNELS {
        for place in &mut places {
            place.choose(kernel);
        }
        let expected = places[0].call_ours(argument);
        // Each contestant needs the places for itself.
        let places = RefCell::new(&mut places);
        let contestant = |call: fn(&mut Place, u32) -> u32| {
            let places = &places;
            move |n| {
                for _ in 0..n {
                    for place in places.borrow_mut().iter_mut() {
                        assert_eq!(call(place, argument), expected);
                    }
                }
            }
        };
        let [ours, peer, bare] = best([
            &mut contestant(Place::call_ours),
            &mut contestant(Place::call_peer),
            &mut contestant(Place::call_bare),
        ])
        .map(|time| time / PLACES as f64);
        report.compare(&format!("compute_{kernel}"), MS, ours, peer);
        let checks = format!("compute_{kernel}_checks");
        report.add(&checks, MS, ours, "unchecked", bare);
    }
}

/// The kernels, compiled by all three, and the chosen one.
struct Place {
    vm: Vm,
    store: wasmtime::Store<()>,
    peer: wasmtime::Instance,
    bare_store: wasmer::Store,
    bare: wasmer::Instance,
    chosen: Option<Chosen>,
}

struct Chosen {
    ours: Func,
    peer: wasmtime::TypedFunc<u32, u32>,
    bare: wasmer::TypedFunction<u32, u32>,
}

impl Place {
    fn new(small_functions: usize) -> Self {
        let plugin = plugins::kernels(small_functions);
        let bytecode = &plugin.bytecode;

        let vm = Vm::linked(&ours::Module::compile(bytecode), &plugin);

        let engine = peer::engine();
        let module = Module::new(&engine, bytecode).expect("compiled");
        let mut store = peer::store(&engine, ());
        let peer = Linker::new(&engine).instantiate(&mut store, &module);

        let engine = EngineBuilder::new(Cranelift::new()).engine();
        let mut bare_store = wasmer::Store::new(engine);
        let module = wasmer::Module::new(&bare_store, bytecode).expect("compiled");
        let bare = wasmer::Instance::new(&mut bare_store, &module, &wasmer::imports! {});

        Self {
            vm,
            store,
            peer: peer.expect("no imports"),
            bare_store,
            bare: bare.expect("no imports"),
            chosen: None,
        }
    }

    fn choose(&mut self, kernel: &str) {
        let peer = self.peer.get_typed_func(&mut self.store, kernel);
        let bare = &self.bare.exports;
        let bare = bare.get_typed_function(&self.bare_store, kernel);
        self.chosen = Some(Chosen {
            ours: self.vm.find(kernel, &[I32], &[I32]),
            peer: peer.expect("exported"),
            bare: bare.expect("exported"),
        });
    }

    fn call_ours(&mut self, argument: u32) -> u32 {
        self.chosen.as_ref().expect("chosen").ours.call_1(argument)
    }

    fn call_peer(&mut self, argument: u32) -> u32 {
        let chosen = self.chosen.as_ref().expect("chosen");
        let result = chosen.peer.call(&mut self.store, argument);
        result.expect("no trap")
    }

    fn call_bare(&mut self, argument: u32) -> u32 {
        let chosen = self.chosen.as_ref().expect("chosen");
        let result = chosen.bare.call(&mut self.bare_store, argument);
        result.expect("no trap")
    }
}
