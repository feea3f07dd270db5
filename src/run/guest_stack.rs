//! Where the guest stack is that a thread runs on, or ran on last.

use std::cell::Cell;

/// What is kept for library functions; walking a stack with an exception in flight
/// needs some 20 KiB.
pub(crate) const RESERVE: usize = 64 << 10;

thread_local! {
    static STACK: Cell<GuestStack> = const { Cell::new(GuestStack { top: 0, reserve_top: 0 }) };
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

/// Whether this stack pointer may be the guest's: on its stack, or so little below that
/// it may have overflowed. It may also be another's: wasmer's handler looks closer. Safe in
/// a signal handler.
pub(crate) fn may_be_guests(sp: usize) -> bool {
    // What lies on the stack before the guest's part, and who declared it.
    const ABOVE: usize = 128 << 10;
    // wasmer may give a thread a larger stack than it needs, of 64 MiB at most, that another
    // has left. Below that are the guard page, and the frame that ran into it.
    const BELOW: usize = 66 << 20;
    let stack = STACK.get();
    let end = stack.reserve_top.saturating_sub(RESERVE + BELOW);
    stack.top != 0 && (end..=stack.top.saturating_add(ABOVE)).contains(&sp)
}
