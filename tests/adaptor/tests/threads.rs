//! Cloning, terminating and dropping from several threads.

use adaptor_tests::*;
use std::sync::Barrier;
use std::thread;

#[test]
fn eight_threads_clone_at_once() {
    let base = loaded(&plugin("rust-sdk"), &Limits::default());
    let barrier = Barrier::new(8);
    thread::scope(|scope| {
        for i in 0..8 {
            let (base, barrier) = (&base, &barrier);
            scope.spawn(move || {
                barrier.wait();
                for _ in 0..20 {
                    let vm = base.clone_vm();
                    register(&vm);
                    vm.set_configuration(&format!("thread {i}"));
                    assert!(vm.link("clone"), "{:?}", vm.errors());
                    assert!(vm.call_void("_initialize", &[]));
                    assert!(vm.call_void("proxy_on_context_create", &[1, 0]));
                    assert_eq!(vm.value("proxy_on_configure", &[1, 8]), 1);
                    let expected = format!("2: configured with 'thread {i}'");
                    assert!(vm.plugin_log().contains(&expected), "{:?}", vm.plugin_log());
                }
            });
        }
    });
}

#[test]
fn terminate_ends_the_running_call_of_its_vm_only() {
    let base = loaded(&wat("infinite_loop"), &Limits::default());
    assert!(base.link("base"));
    let vms: Vec<_> = (0..2)
        .map(|_| {
            let vm = base.clone_vm();
            register(&vm);
            assert!(vm.link("clone"));
            vm
        })
        .collect();
    thread::scope(|scope| {
        let mut calls: Vec<_> = vms
            .iter()
            .map(|vm| scope.spawn(move || assert!(vm.call_void("announce_and_spin", &[]))))
            .collect();
        wait_until(|| vms.iter().all(|vm| vm.started()));
        vms[0].terminate();
        calls.remove(0).join().expect("call ends");
        assert!(vms[0].failed());
        assert_eq!(base.value("ok", &[]), 42);
        assert!(!calls[0].is_finished());
        vms[1].terminate();
    });
    for vm in &vms {
        let error = vm.error();
        assert!(
            error.starts_with("7: Function: announce_and_spin failed: "),
            "{error}"
        );
        vm.call_word("ok", &[]);
        assert_eq!(vm.errors().len(), 2, "ended for good");
    }
}

#[test]
fn terminate_counts_before_and_between_calls() {
    let vm = run("infinite_loop");
    vm.terminate();
    assert!(vm.call_void("spin", &[]));
    assert!(vm.failed());

    let vm = ffi::new_vm(&Limits::default());
    vm.terminate();
    assert!(vm.load(&wat("start_spins"), &[]));
    assert!(!vm.link("test"));
}

#[test]
fn a_vm_may_be_dropped_while_its_clone_runs() {
    let base = run("infinite_loop");
    let clone = base.clone_vm();
    register(&clone);
    assert!(clone.link("clone"));
    thread::scope(|scope| {
        scope.spawn(|| clone.call_void("announce_and_spin", &[]));
        wait_until(|| clone.started());
        drop(base);
        clone.terminate();
    });
    assert!(
        clone.error().contains("announce_and_spin"),
        "{}",
        clone.error()
    );
}

#[test]
fn a_vm_moves_between_threads() {
    let mut vm = run("globals");
    for turn in 1..5 {
        vm = thread::spawn(move || {
            assert_eq!(vm.value("count", &[]), turn);
            vm
        })
        .join()
        .expect("no panic");
    }
}

#[test]
fn traps_on_many_threads_at_once() {
    let base = run("traps");
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for export in ["unreachable", "memory_write_across_end"].repeat(50) {
                    let vm = base.clone_vm();
                    assert!(vm.link("clone"));
                    assert!(vm.call_void(export, &[]));
                    assert!(vm.failed());
                    assert_eq!(vm.value("ok", &[]), 42, "a trap ends the call, not the VM");
                }
            });
        }
    });
}
