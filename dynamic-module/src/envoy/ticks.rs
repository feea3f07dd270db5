//! Ticks. Envoy gives HTTP filters no timers, so one thread of ours waits for all plugins, and
//! leaves a message for the VM's thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use proxy_wasm_host::abi::LogLevel;
use proxy_wasm_host::proxy::{RootId, VmId};

use crate::envoy::inbox::{Inbox, Message, lock};
use crate::envoy::log::log;

struct Timer {
    inbox: Arc<Inbox>,
    root: RootId,
    period: Duration,
    next: Instant,
    /// The last one has not arrived yet.
    on_its_way: Arc<AtomicBool>,
}

struct Timers {
    list: Vec<Timer>,
    thread: Option<JoinHandle<()>>,
    stop: bool,
}

static TIMERS: Mutex<Timers> = Mutex::new(Timers {
    list: Vec::new(),
    thread: None,
    stop: false,
});
static CHANGED: Condvar = Condvar::new();

/// Sets the period of a root context; 0 ends it.
pub(crate) fn set(inbox: &Arc<Inbox>, root: RootId, period: Duration) {
    let mut timers = lock(&TIMERS);
    timers.list.retain(|it| it.root != root);
    if !period.is_zero() {
        inbox.await_messages();
        timers.list.push(Timer {
            inbox: inbox.clone(),
            root,
            period,
            next: Instant::now() + period,
            on_its_way: Arc::default(),
        });
        if timers.thread.is_none() {
            timers.stop = false;
            match thread::Builder::new().name("wasm-ticks".into()).spawn(run) {
                Ok(thread) => timers.thread = Some(thread),
                Err(error) => log(LogLevel::Error, &format!("no thread for ticks: {error}")),
            }
        }
    }
    CHANGED.notify_one();
}

/// Ends all timers of a VM.
pub(crate) fn forget(vm: VmId) {
    lock(&TIMERS).list.retain(|it| it.root.vm != vm);
}

/// Ends the thread, before what it wakes is gone.
pub(crate) fn stop() {
    let mut timers = lock(&TIMERS);
    timers.stop = true;
    timers.list.clear();
    let thread = timers.thread.take();
    drop(timers);
    CHANGED.notify_one();
    // It may be what ends the last configuration.
    if let Some(thread) = thread.filter(|it| it.thread().id() != thread::current().id()) {
        let _ = thread.join();
    }
}

fn run() {
    block_signals();
    let mut timers = lock(&TIMERS);
    while !timers.stop {
        let now = Instant::now();
        let mut due = Vec::new();
        for timer in timers.list.iter_mut().filter(|it| it.next <= now) {
            timer.next = now + timer.period;
            if !timer.on_its_way.swap(true, Ordering::Relaxed) {
                let message = Message::Tick(timer.root, timer.on_its_way.clone());
                due.push((timer.inbox.clone(), message));
            }
        }
        if !due.is_empty() {
            // Not under the lock: what it wakes may set a period.
            drop(timers);
            for (inbox, message) in due {
                inbox.post(message);
            }
            timers = lock(&TIMERS);
            continue;
        }
        let next = timers.list.iter().map(|it| it.next).min();
        timers = match next {
            None => CHANGED.wait(timers).unwrap_or_else(PoisonError::into_inner),
            Some(next) => {
                let time = next.saturating_duration_since(now);
                let result = CHANGED.wait_timeout(timers, time);
                result.unwrap_or_else(PoisonError::into_inner).0
            }
        };
    }
}

/// Envoy's signals are for its own threads.
fn block_signals() {
    // SAFETY: plain calls on a local set.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigfillset(&raw mut set);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
    }
}
