//! Stopping a guest: termination from any thread, and a deadline per call.
//!
//! Compiled code reads a flag of its own VM wherever `checks` has put that, at every loop
//! head for one, and traps when it is set. The flag is a global that is added to the module,
//! so it lies in the instance's own memory, one load away; there are several of it, for the
//! reason given in `checks`. Nothing is shared between VMs, and no signal is used.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::{Code, Error, Result};
use crate::load::flags::FLAGS;
use crate::run::sync::{
    Arc, AtomicBool, AtomicU32, AtomicU64, Condvar, Mutex, MutexGuard, Ordering, PoisonError,
    fence, process_wide,
};
use crate::run::ticks;

/// The deadline's value while no call runs.
const IDLE: u64 = u64::MAX;
/// The deadline's value once the watchdog has stopped the call.
const FIRED: u64 = u64::MAX - 1;

/// The flags of an instance: globals, which lie one after the other.
pub(crate) type Flags = [FlagGlobal; FLAGS as usize];

/// An i32 global.
#[repr(C, align(16))]
pub(crate) struct FlagGlobal(pub(crate) AtomicU32);

/// The interrupt side of one VM, usable from any thread.
pub(crate) struct Interrupt {
    terminated: AtomicBool,
    flag: Mutex<Flag>,
    /// The watchdog's tick at which to stop the running call.
    deadline: AtomicU64,
    /// That at which it last stopped one.
    fired_at: AtomicU64,
}

/// The flags that compiled code reads, or null while there is no instance.
struct Flag(*const Flags);

// SAFETY: it points to atomics, and is read under the mutex that `detach` takes
// before the instance is freed.
unsafe impl Send for Flag {}

impl Flag {
    fn set(&self, value: u32) {
        // SAFETY: null or alive, see `Send`.
        for FlagGlobal(flag) in unsafe { self.0.as_ref() }.into_iter().flatten() {
            // Who sees it sees why it was set.
            flag.store(value, Ordering::Release);
        }
    }
}

impl Interrupt {
    pub(crate) fn new() -> Self {
        Self {
            terminated: AtomicBool::new(false),
            flag: Mutex::new(Flag(std::ptr::null())),
            deadline: AtomicU64::new(IDLE),
            fired_at: AtomicU64::new(0),
        }
    }

    fn flag(&self) -> MutexGuard<'_, Flag> {
        self.flag.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names the instance, by its address, and its flags.
    ///
    /// # Safety
    /// `flags` stay valid until [`Self::detach`].
    pub(crate) unsafe fn attach(this: &Arc<Self>, flags: *const Flags, instance: usize) {
        instances().insert(instance, this.clone());
        let mut guard = this.flag();
        *guard = Flag(flags);
        if this.is_terminated() {
            guard.set(1);
        }
    }

    /// Before that instance goes.
    pub(crate) fn detach(&self, instance: usize) {
        instances().remove(&instance);
        *self.flag() = Flag(std::ptr::null());
    }

    /// Stops the VM for good.
    pub(crate) fn terminate(&self) {
        self.terminated.store(true, Ordering::Relaxed);
        self.flag().set(1);
    }

    pub(crate) fn is_terminated(&self) -> bool {
        self.terminated.load(Ordering::Relaxed)
    }

    /// Starts the deadline of a call, `ticks` from now.
    pub(crate) fn arm(&self, ticks: u64) {
        // One more, because the current tick has partly passed.
        let deadline = ticks::now().saturating_add(ticks).saturating_add(1);
        self.deadline
            .store(deadline.min(FIRED - 1), Ordering::Relaxed);
        // Either this sees the watchdog asleep or the watchdog sees the deadline.
        fence(Ordering::SeqCst);
        if WATCHDOG.asleep.load(Ordering::Relaxed) {
            WATCHDOG.wake();
        }
    }

    /// Ends the deadline of a call. Returns whether it had passed.
    pub(crate) fn disarm(&self) -> bool {
        if self.deadline.swap(IDLE, Ordering::AcqRel) != FIRED {
            return false;
        }
        // The lock waits until the watchdog is done with the flag.
        let flag = self.flag();
        flag.set(u32::from(self.is_terminated()));
        true
    }

    /// Whether the deadline of the running call has passed.
    pub(crate) fn has_fired(&self) -> bool {
        self.deadline.load(Ordering::Relaxed) == FIRED
    }

    /// Whether a deadline that has passed had done so by then.
    pub(crate) fn had_fired(&self, tick: u64) -> bool {
        self.fired_at.load(Ordering::Relaxed) <= tick
    }

    /// Stops the running call if its deadline has passed. Returns whether a deadline
    /// is still to come.
    fn check(&self, tick: u64) -> bool {
        let deadline = self.deadline.load(Ordering::Relaxed);
        if deadline > tick {
            return deadline < FIRED;
        }
        let flag = self.flag();
        self.fired_at.store(tick, Ordering::Relaxed);
        // Fails when that call has ended meanwhile.
        if self
            .deadline
            .compare_exchange(deadline, FIRED, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
        {
            flag.set(1);
        }
        true
    }
}

/// The watchdog's resolution. Deadlines are rounded up to it, plus one.
pub(crate) const TICK: Duration = Duration::from_millis(1);

/// Ticks without a running deadline after which the watchdog sleeps until woken.
const TICKS_BEFORE_SLEEP: u32 = 100;

/// One thread for all VMs with deadlines; it runs while calls with deadlines do.
struct Watchdog {
    asleep: AtomicBool,
    state: Mutex<WatchdogState>,
    woken: Condvar,
}

struct WatchdogState {
    started: bool,
    watched: Vec<Arc<Interrupt>>,
}

process_wide! {
    static WATCHDOG: Watchdog = Watchdog {
        asleep: AtomicBool::new(false),
        state: Mutex::new(WatchdogState {
            started: false,
            watched: Vec::new(),
        }),
        woken: Condvar::new(),
    };
}

/// Has the deadlines of `interrupt` watched for as long as somebody else has it.
pub(crate) fn watch(interrupt: &Arc<Interrupt>) -> Result<()> {
    let mut state = WATCHDOG.lock();
    if !state.started {
        std::thread::Builder::new()
            .name("wasm-deadline".into())
            .spawn(run)
            .map_err(|error| {
                Error::new(
                    Code::Resource,
                    format!("cannot start the deadline thread: {error}"),
                )
            })?;
        state.started = true;
    }
    drop(state);
    watch_here(interrupt);
    Ok(())
}

/// The same, without the watchdog's thread.
pub(crate) fn watch_here(interrupt: &Arc<Interrupt>) {
    WATCHDOG.lock().add(interrupt);
}

/// What the watchdog's thread does.
fn run() {
    block_signals();
    let mut idle_ticks = 0;
    loop {
        std::thread::sleep(TICK);
        tick(&mut idle_ticks, TICKS_BEFORE_SLEEP);
    }
}

/// Lets one tick pass, and sleeps until woken if there were so many idle ones.
pub(crate) fn tick(idle_ticks: &mut u32, before_sleep: u32) {
    let tick = ticks::advance();
    let mut state = WATCHDOG.lock();
    if state.check(tick) {
        *idle_ticks = 0;
        return;
    }
    *idle_ticks += 1;
    if *idle_ticks < before_sleep {
        return;
    }
    WATCHDOG.asleep.store(true, Ordering::Relaxed);
    fence(Ordering::SeqCst);
    if !state.check(tick) {
        state = WATCHDOG
            .woken
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner);
    }
    drop(state);
    WATCHDOG.asleep.store(false, Ordering::Relaxed);
    *idle_ticks = 0;
}

process_wide! {
    /// All instances, by their addresses: for what knows only that of the one that runs.
    static INSTANCES: Mutex<BTreeMap<usize, Arc<Interrupt>>> = Mutex::new(BTreeMap::new());
}

fn instances() -> MutexGuard<'static, BTreeMap<usize, Arc<Interrupt>>> {
    INSTANCES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether an instance is to stop.
pub(crate) fn is_due(instance: usize) -> bool {
    let interrupt = instances().get(&instance).cloned();
    interrupt.is_some_and(|it| it.has_fired() || it.is_terminated())
}

impl Watchdog {
    fn lock(&self) -> MutexGuard<'_, WatchdogState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        // Under the lock, so that it cannot fall between the watchdog's last look
        // and its wait.
        let _state = self.lock();
        self.woken.notify_one();
    }
}

impl WatchdogState {
    fn add(&mut self, interrupt: &Arc<Interrupt>) {
        if self.watched.len() == self.watched.capacity() {
            self.forget_unused();
        }
        self.watched.push(interrupt.clone());
    }

    /// Returns whether any deadline is running.
    fn check(&mut self, tick: u64) -> bool {
        self.forget_unused();
        let mut running = false;
        for interrupt in &self.watched {
            running |= interrupt.check(tick);
        }
        running
    }

    /// Those that nobody else has are of VMs that are gone.
    fn forget_unused(&mut self) {
        self.watched.retain(|it| Arc::strong_count(it) > 1);
    }
}

/// The proxy's signals are for its own threads.
fn block_signals() {
    // SAFETY: plain calls on a local set.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigfillset(&raw mut set);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
    }
}
