//! What holds in every order.

use loom::thread;

use crate::run::interrupt::{FlagGlobal, Flags, Interrupt, is_due, tick, watch_here};
use crate::run::sync::{Arc, AtomicU32, Ordering};

/// A VM: its interrupt, and the flags that its code reads.
struct Vm {
    interrupt: Arc<Interrupt>,
    flags: Box<Flags>,
}

impl Vm {
    fn new() -> Self {
        Self {
            interrupt: Arc::new(Interrupt::new()),
            flags: Box::new([FlagGlobal(AtomicU32::new(0))]),
        }
    }

    /// With a deadline, and an instance.
    fn watched() -> Self {
        let vm = Self::new();
        vm.attach();
        watch_here(&vm.interrupt);
        vm
    }

    fn attach(&self) {
        // SAFETY: detached when dropped.
        unsafe { Interrupt::attach(&self.interrupt, &raw const *self.flags, self.address()) };
    }

    fn address(&self) -> usize {
        (&raw const *self.flags).addr()
    }

    fn is_flagged(&self) -> bool {
        self.flags[0].0.load(Ordering::Acquire) != 0
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        self.interrupt.detach(self.address());
    }
}

/// Lets ticks pass on another thread.
fn ticking(ticks: u32) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut idle = 0;
        for _ in 0..ticks {
            tick(&mut idle, u32::MAX);
        }
    })
}

/// The next call of a VM is not stopped by what the last one was too late for.
#[test]
fn a_call_that_has_ended_leaves_no_flag() {
    loom::model(|| {
        let vm = Vm::watched();
        let watchdog = ticking(2);
        vm.interrupt.arm(0);
        let late = vm.interrupt.disarm();
        assert!(!vm.is_flagged(), "late: {late}");
        watchdog.join().expect("ends");
        assert!(!vm.is_flagged(), "late: {late}");
    });
}

/// Nor is the one that is armed right after it, but by its own deadline.
#[test]
fn a_flag_is_of_the_call_that_runs() {
    loom::model(|| {
        let vm = Vm::watched();
        let watchdog = ticking(1);
        vm.interrupt.arm(0);
        vm.interrupt.disarm();
        vm.interrupt.arm(10);
        assert!(!vm.is_flagged() && !vm.interrupt.has_fired());
        watchdog.join().expect("ends");
        assert!(!vm.is_flagged() && !vm.interrupt.has_fired());
        assert!(!vm.interrupt.disarm());
    });
}

/// Whoever sees the flag sees why it was set.
#[test]
fn a_flag_comes_with_its_reason() {
    loom::model(|| {
        let vm = Vm::watched();
        vm.interrupt.arm(0);
        let watchdog = ticking(2);
        if vm.is_flagged() {
            assert!(vm.interrupt.has_fired());
            assert!(vm.interrupt.had_fired(crate::run::ticks::now()));
        }
        watchdog.join().expect("ends");
        assert!(vm.is_flagged() && vm.interrupt.disarm() && !vm.is_flagged());
    });
}

/// The watchdog that is going to sleep and the call that begins do not miss each other: loom
/// would find all threads waiting.
#[test]
fn a_deadline_wakes_the_watchdog() {
    loom::model(|| {
        let vm = Vm::watched();
        let interrupt = vm.interrupt.clone();
        let watchdog = thread::spawn(move || {
            let mut idle = 0;
            while !interrupt.has_fired() {
                tick(&mut idle, 1);
            }
        });
        vm.interrupt.arm(0);
        watchdog.join().expect("ends");
        assert!(vm.is_flagged() && vm.interrupt.disarm());
    });
}

/// It stays terminated, whatever else ends or begins.
#[test]
fn a_termination_is_not_lost() {
    loom::model(|| {
        let vm = Vm::watched();
        let watchdog = ticking(1);
        let interrupt = vm.interrupt.clone();
        let terminator = thread::spawn(move || interrupt.terminate());
        vm.interrupt.arm(0);
        vm.interrupt.disarm();
        terminator.join().expect("ends");
        watchdog.join().expect("ends");
        assert!(vm.is_flagged() && vm.interrupt.is_terminated());
    });
}

/// Not even where it comes while the instance is made.
#[test]
fn a_termination_finds_the_instance_or_it_the_termination() {
    loom::model(|| {
        let vm = Vm::new();
        let interrupt = vm.interrupt.clone();
        let terminator = thread::spawn(move || interrupt.terminate());
        vm.attach();
        terminator.join().expect("ends");
        assert!(vm.is_flagged() && is_due(vm.address()));
    });
}
