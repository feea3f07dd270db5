//! Ticks. Envoy gives HTTP filters no timers, so one thread of ours waits for all
//! plugins, and has the main thread enter the VM.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::link::{Event, Link, lock, log};
use crate::host::abi::LogLevel;
use crate::host::proxy::Target;

struct Timer {
    link: Weak<Link>,
    target: Target,
    period: Duration,
    next: Instant,
    /// The last one has not arrived yet.
    on_its_way: Arc<AtomicBool>,
}

struct Timers {
    started: bool,
    list: Vec<Timer>,
}

static TIMERS: Mutex<Timers> = Mutex::new(Timers {
    started: false,
    list: Vec::new(),
});
static CHANGED: Condvar = Condvar::new();

/// Sets the period of a root context; 0 ends it.
pub(super) fn set(link: &Arc<Link>, target: Target, period: Duration) {
    let mut timers = lock(&TIMERS);
    timers
        .list
        .retain(|it| it.target.context != target.context || !it.target.vm.ptr_eq(&target.vm));
    if !period.is_zero() {
        timers.list.push(Timer {
            link: Arc::downgrade(link),
            target,
            period,
            next: Instant::now() + period,
            on_its_way: Arc::default(),
        });
        if !timers.started {
            let thread = std::thread::Builder::new().name("wasm-ticks".into());
            match thread.spawn(run) {
                Ok(_) => timers.started = true,
                Err(error) => log(LogLevel::Error, &format!("no thread for ticks: {error}")),
            }
        }
    }
    CHANGED.notify_one();
}

fn run() {
    block_signals();
    let mut timers = lock(&TIMERS);
    loop {
        let now = Instant::now();
        let mut due = Vec::new();
        timers.list.retain_mut(|timer| {
            let Some(link) = timer.link.upgrade().filter(|it| !it.is_closed()) else {
                return false;
            };
            if timer.target.vm.strong_count() == 0 {
                return false;
            }
            if timer.next <= now {
                timer.next = now + timer.period;
                if !timer.on_its_way.swap(true, Ordering::Relaxed) {
                    due.push((link, timer.target.clone(), timer.on_its_way.clone()));
                }
            }
            true
        });
        if !due.is_empty() {
            // Not under the lock: a plugin may set its period while it is being posted to.
            drop(timers);
            for (link, target, on_its_way) in due {
                link.post(Event::Tick(target, on_its_way));
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
