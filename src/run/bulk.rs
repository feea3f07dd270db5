//! Operations on large parts of a memory, in pieces: a deadline or a termination counts between
//! two of them.

use wasmer_vm::VMContext;
use wasmer_vm::libcalls::{wasmer_vm_memory32_copy, wasmer_vm_memory32_fill};

use crate::run::interrupt;
use crate::run::payload::Interrupted;
use crate::run::ticks;

/// So many bytes take some 3 ms.
const PIECE: u32 = 64 << 20;

/// Raises a trap if this instance is to stop.
///
/// # Safety
/// As for a library function: guest code is on the stack, and only its frames are abandoned.
unsafe fn stop_if_late(vmctx: *mut VMContext) {
    if interrupt::is_due(vmctx.addr()) {
        ticks::note_trap();
        // SAFETY: by contract.
        unsafe { wasmer_vm::raise_user_trap(Box::new(Interrupted)) };
    }
}

/// Where the pieces of so many bytes begin, and their sizes.
fn pieces(len: u32) -> impl DoubleEndedIterator<Item = (u32, u32)> {
    let starts = (0..len.div_ceil(PIECE)).map(|it| it * PIECE);
    starts.map(move |it| (it, PIECE.min(len - it)))
}

/// `memory.fill`.
///
/// # Safety
/// As for wasmer's.
pub(crate) unsafe extern "C" fn fill(
    vmctx: *mut VMContext,
    memory: u32,
    dst: u32,
    value: u32,
    len: u32,
) {
    // SAFETY: by contract.
    unsafe {
        let fill = |dst, len| wasmer_vm_memory32_fill(vmctx, memory, dst, value, len);
        let end = dst.checked_add(len).filter(|_| len > PIECE);
        let Some(end) = end else {
            return fill(dst, len);
        };
        // What is out of bounds traps before anything is written.
        fill(end, 0);
        for (start, len) in pieces(len) {
            stop_if_late(vmctx);
            fill(dst + start, len);
        }
    }
}

/// `memory.copy`.
///
/// # Safety
/// As for wasmer's.
pub(crate) unsafe extern "C" fn copy(
    vmctx: *mut VMContext,
    to: u32,
    from: u32,
    dst: u32,
    src: u32,
    len: u32,
) {
    // SAFETY: by contract.
    unsafe {
        let copy = |dst, src, len| wasmer_vm_memory32_copy(vmctx, to, from, dst, src, len);
        let ends = dst.checked_add(len).zip(src.checked_add(len));
        let Some((dst_end, src_end)) = ends.filter(|_| len > PIECE) else {
            return copy(dst, src, len);
        };
        copy(dst_end, src_end, 0);
        let piece = |(start, len)| {
            stop_if_late(vmctx);
            copy(dst + start, src + start, len);
        };
        // In the order in which no piece is overwritten before it is read.
        if dst > src {
            pieces(len).rev().for_each(piece);
        } else {
            pieces(len).for_each(piece);
        }
    }
}
