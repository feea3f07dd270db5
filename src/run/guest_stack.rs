//! Where the guest stack is that a thread runs on, or ran on last.

use std::cell::Cell;

/// What is kept for library functions; walking a stack with an exception in flight
/// needs some 20 KiB.
pub(crate) const RESERVE: usize = 64 << 10;

thread_local! {
    static STACK: Cell<GuestStack> = const { Cell::new(GuestStack { top: 0, reserve_top: 0 }) };
    static OVERFLOWED: Cell<bool> = const { Cell::new(false) };
}

/// The guest's part of the current guest stack, and below it the reserve.
#[derive(Clone, Copy)]
pub(crate) struct GuestStack {
    top: usize,
    reserve_top: usize,
}

/// Declares a guest stack current, of which the guest may use `size` bytes below `sp`.
pub(crate) fn set(sp: usize, size: usize) {
    STACK.set(GuestStack {
        top: sp,
        reserve_top: sp.saturating_sub(size),
    });
}

/// The current guest stack, for [`restore`].
pub(crate) fn current() -> GuestStack {
    STACK.get()
}

pub(crate) fn restore(stack: GuestStack) {
    STACK.set(stack);
}

/// How many bytes of the current guest stack are left to the guest below `sp`.
pub(crate) fn room(sp: usize) -> usize {
    sp.saturating_sub(STACK.get().reserve_top)
}

/// How many bytes of the current guest stack are in use above `sp`.
pub(crate) fn in_use(sp: usize) -> usize {
    STACK.get().top.saturating_sub(sp)
}

/// Says what the coming trap was, for a fault that does not tell. Safe in a signal handler.
pub(crate) fn set_overflow() {
    OVERFLOWED.set(true);
}

/// Whether the trap was an overflow though it does not look like one.
pub(crate) fn take_overflow() -> bool {
    OVERFLOWED.take()
}
