//! Room for wasmer's library functions on the guest stack.
//!
//! Compiled code calls them for `memory.copy`, `table.grow`, `throw` and the like.
//! They run on the guest stack, and when they fail they allocate and walk the stack
//! there, under locks of the C library and the unwinder. A guest that recursed to
//! just above the guard page could overflow inside such a lock. That is a trap like
//! any other, which abandons the frames, and with them the lock: the process would
//! hang at the next allocation.
//!
//! So every guest stack has a reserve below the guest's own part, and each library
//! function is called through a stub that traps when only the reserve is left.

use std::cell::Cell;
use std::mem::forget;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use wasmer_types::{TrapCode, VMBuiltinFunctionIndex};
use wasmer_vm::libcalls::{wasmer_vm_alloc_exception, wasmer_vm_raise_trap};
use wasmer_vm::{VMContext, VMInstance};

use crate::run::arch::{COUNT, TARGETS, library_stub, stub_ranges};
use crate::run::bulk;
use crate::run::code;
use crate::run::guest_stack;
use crate::run::payload::TooManyExceptions;
use crate::run::ticks;

/// What an exception counts as, in bytes: wasmer keeps it, with a backtrace, until the store
/// drops it, outside the VM's memory limit. And each byte of the stack that the backtrace
/// covers: a frame has 16 at least, and is kept in less than 72.
const EXCEPTION_BYTES: u64 = 10 << 10;
const EXCEPTION_BYTES_PER_STACK_BYTE: u64 = 4;

thread_local! {
    /// What the running outermost call may still spend on exceptions, in bytes.
    static LEFT: Cell<u64> = const { Cell::new(0) };
}

/// Sets what may be spent on exceptions; returns what it was.
pub(crate) fn replace_left(left: u64) -> u64 {
    LEFT.replace(left)
}

/// Functions of the runtime's in place of wasmer's, each of the same type.
fn replacements() -> [(VMBuiltinFunctionIndex, usize); 4] {
    type Index = VMBuiltinFunctionIndex;
    [
        (
            Index::get_raise_trap_index(),
            raise_trap as *const () as usize,
        ),
        (
            Index::get_imported_alloc_exception_index(),
            counted_alloc_exception as *const () as usize,
        ),
        (
            Index::get_memory_fill_index(),
            bulk::fill as *const () as usize,
        ),
        (
            Index::get_memory_copy_index(),
            bulk::copy as *const () as usize,
        ),
    ]
}

/// Puts the stubs in front of an instance's library functions, and [`replacements`] in place
/// of some.
///
/// # Safety
/// `instance` was just made by `VMInstance::new`, and nothing else uses it.
pub(crate) unsafe fn guard(instance: &VMInstance) {
    static INITIALISED: OnceLock<()> = OnceLock::new();
    let offset = instance.vmoffsets().vmctx_builtin_functions_begin() as usize;
    // SAFETY: the instance has a table of that many functions there, the same for
    // every instance.
    unsafe {
        let table = instance
            .vmctx_ptr()
            .cast::<u8>()
            .add(offset)
            .cast::<[usize; COUNT]>();
        INITIALISED.get_or_init(|| {
            for (target, function) in TARGETS.iter().zip(*table) {
                target.store(function, Ordering::Relaxed);
            }
            for (index, function) in replacements() {
                TARGETS[index.index() as usize].store(function, Ordering::Relaxed);
            }
            // For good.
            stub_ranges().iter().map(code::register).for_each(forget);
        });
        *table = STUBS.map(|stub| stub as *const () as usize);
    }
}

/// `unreachable`, a guest's own or of an interrupt check.
unsafe extern "C" fn raise_trap(code: TrapCode) -> ! {
    ticks::note_trap();
    // SAFETY: called by a stub, so guest code is on the stack and only its frames are
    // abandoned.
    unsafe { wasmer_vm_raise_trap(code) }
}

unsafe extern "C-unwind" fn counted_alloc_exception(vmctx: *mut VMContext, tag: u32) -> u32 {
    let here = 0_u8;
    let in_use = guest_stack::in_use((&raw const here).addr()) as u64;
    let cost = EXCEPTION_BYTES + in_use * EXCEPTION_BYTES_PER_STACK_BYTE;
    // SAFETY: as for `raise_trap`.
    unsafe {
        let Some(left) = LEFT.get().checked_sub(cost) else {
            wasmer_vm::raise_user_trap(Box::new(TooManyExceptions));
        };
        LEFT.set(left);
        wasmer_vm_alloc_exception(vmctx, tag)
    }
}

macro_rules! stubs {
    ($($index:literal)*) => { [$(library_stub::<$index> as unsafe extern "C" fn()),*] };
}

/// One for each library function; the type says that none is missing.
static STUBS: [unsafe extern "C" fn(); COUNT] = stubs! {
    0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17
    18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35
};
