//! The time, in nanoseconds. Plugins ask often, so this is the bare system call.

/// Since 1970.
pub fn real() -> u64 {
    now(libc::CLOCK_REALTIME)
}

/// Since the machine started, as Envoy's.
pub(crate) fn monotonic() -> u64 {
    now(libc::CLOCK_MONOTONIC)
}

fn now(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: a plain call with a valid pointer.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    let seconds = time.tv_sec.cast_unsigned();
    seconds.wrapping_mul(1_000_000_000) + time.tv_nsec.cast_unsigned()
}
