//! Calls between host and guest, `(i32, i32) -> i32`.

use std::ffi::c_void;
use std::hint::black_box;
use std::time::Duration;

use wasmtime::{Caller, Linker, Module, Store, TypedFunc};

use crate::harness::best;
use crate::ours::{self, Func, I32, Vm};
use crate::peer;
use crate::plugins::{self, Plugin};
use crate::report::{NS, Report};

type PeerFunc = TypedFunc<(u32, u32), u32>;

/// What the host functions work on.
#[derive(Default)]
struct OurState {
    calls: u64,
    add: Option<Func>,
}

#[derive(Default)]
struct PeerState {
    calls: u64,
    add: Option<PeerFunc>,
}

/// Only the guest's calls out reach the state, while no other reference to it exists.
struct Ours {
    state: *mut OurState,
    vm: Vm,
}

extern "C" fn host(state: &mut OurState, a: u32, b: u32) -> u32 {
    state.calls += 1;
    a.wrapping_add(b)
}

extern "C" fn reenter(state: &mut OurState, a: u32, b: u32) -> u32 {
    state.calls += 1;
    state.add.expect("set").call_2(a, b)
}

impl Ours {
    fn new(plugin: &Plugin, deadline_ns: u64) -> Self {
        type Host = extern "C" fn(&mut OurState, u32, u32) -> u32;
        let module = ours::Module::compile(&plugin.bytecode);
        let vm = Vm::new(&module, deadline_ns);
        let state = Box::into_raw(Box::<OurState>::default());
        for (import, host) in plugin.imports.iter().zip([host as Host, reenter]) {
            // SAFETY: both have the imports' type; the state is leaked.
            unsafe {
                let host = std::mem::transmute::<Host, unsafe extern "C" fn()>(host);
                vm.define(&module, import, host, state.cast::<c_void>());
            }
        }
        vm.link();
        // SAFETY: no guest code runs.
        unsafe { (*state).add = Some(vm.find("add", &[I32, I32], &[I32])) };
        Self { state, vm }
    }

    fn take_calls(&mut self) -> u64 {
        // SAFETY: no guest code runs.
        unsafe { std::mem::take(&mut (*self.state).calls) }
    }
}

fn peer(plugin: &Plugin) -> (Store<PeerState>, wasmtime::Instance) {
    let engine = peer::engine();
    let module = Module::new(&engine, &plugin.bytecode).expect("compiled");
    let mut linker = Linker::new(&engine);
    linker
        .func_wrap(
            "env",
            "host",
            |mut caller: Caller<'_, PeerState>, a: u32, b: u32| {
                caller.data_mut().calls += 1;
                a.wrapping_add(b)
            },
        )
        .expect("defined once");
    linker
        .func_wrap(
            "env",
            "reenter",
            |mut caller: Caller<'_, PeerState>, a: u32, b: u32| {
                caller.data_mut().calls += 1;
                let add = caller.data().add.clone().expect("set");
                add.call(&mut caller, (a, b))
            },
        )
        .expect("defined once");
    let mut store = peer::store(&engine, PeerState::default());
    let instance = linker.instantiate(&mut store, &module).expect("linked");
    let add = instance.get_typed_func(&mut store, "add").expect("found");
    store.data_mut().add = Some(add);
    (store, instance)
}

pub fn run(report: &mut Report) {
    let plugin = plugins::crossing();
    host_to_guest(report, &plugin);
    guest_to_host(report, &plugin, "call_guest_to_host", "call_host");
    guest_to_host(report, &plugin, "call_nested", "call_reenter");
}

fn host_to_guest(report: &mut Report, plugin: &Plugin) {
    let ours = Ours::new(plugin, 0);
    let timed = Ours::new(plugin, Duration::from_secs(10).as_nanos() as u64);
    let our_add = |ours: &Ours| {
        let add = ours.vm.find("add", &[I32, I32], &[I32]);
        move |n| {
            for i in 0..n {
                assert_eq!(add.call_2(black_box(i), 3), i.wrapping_add(3));
            }
        }
    };
    let (mut store, _) = peer(plugin);
    let add = store.data().add.clone().expect("set");
    let [ours, peer] = best([&mut our_add(&ours), &mut |n| {
        for i in 0..n {
            let sum = add.call(&mut store, (black_box(i), 3)).expect("no trap");
            assert_eq!(sum, i.wrapping_add(3));
        }
    }]);
    report.compare("call_host_to_guest", NS, ours, peer);

    // With a limit on each call's time: ours a deadline, the peer's what the adaptor does.
    let [ours, peer] = best([&mut our_add(&timed), &mut |n| {
        for i in 0..n {
            store.set_epoch_deadline(1);
            let sum = add.call(&mut store, (black_box(i), 3)).expect("no trap");
            assert_eq!(sum, i.wrapping_add(3));
        }
    }]);
    report.compare("call_host_to_guest_deadline", NS, ours, peer);
}

/// An export that calls an import as often as its argument says, and sums up.
fn guest_to_host(report: &mut Report, plugin: &Plugin, name: &str, export: &str) {
    let sum = |n: u32| (u64::from(n) * (u64::from(n) + 1) / 2) as u32;
    let mut ours = Ours::new(plugin, 0);
    let our_loop = ours.vm.find(export, &[I32], &[I32]);
    let (mut store, instance) = peer(plugin);
    let peer_loop: TypedFunc<u32, u32> = instance
        .get_typed_func(&mut store, export)
        .expect("exported");
    let [ours, peer] = best([
        &mut |n| {
            assert_eq!(our_loop.call_1(n), sum(n));
            assert_eq!(ours.take_calls(), u64::from(n));
        },
        &mut |n| {
            assert_eq!(peer_loop.call(&mut store, n).expect("no trap"), sum(n));
            assert_eq!(std::mem::take(&mut store.data_mut().calls), u64::from(n));
        },
    ]);
    report.compare(name, NS, ours, peer);
}
