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
use std::fmt;
use std::mem::forget;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use wasmer_types::VMBuiltinFunctionIndex;
use wasmer_vm::{VMContext, VMInstance};

use crate::run::arch::{library_stub, stub_ranges};
use crate::run::code;
use crate::run::guest_stack;

const COUNT: usize = VMBuiltinFunctionIndex::builtin_functions_total_number() as usize;

/// What a guest may spend on exceptions in one outermost call. wasmer keeps each, with a
/// backtrace, until the store drops it, outside the VM's memory limit: less than 1 KiB
/// for each of these.
const EXCEPTION_BUDGET: usize = 100_000;

/// What an exception costs of that, besides the stack that its backtrace covers.
const EXCEPTION_COST: usize = 10;
const STACK_BYTES_PER_COST: usize = 256;

thread_local! {
    /// What the running outermost call has spent on exceptions.
    static SPENT: Cell<usize> = const { Cell::new(0) };
}

/// Sets what has been spent on exceptions; returns what it was.
pub(crate) fn replace_spent(spent: usize) -> usize {
    SPENT.replace(spent)
}

/// The stubs' targets: wasmer's own functions, but for the one that is counted.
pub(crate) static TARGETS: [AtomicUsize; COUNT] = [const { AtomicUsize::new(0) }; COUNT];

const ALLOC_EXCEPTION: usize =
    VMBuiltinFunctionIndex::get_imported_alloc_exception_index().index() as usize;
static ORIGINAL_ALLOC_EXCEPTION: AtomicUsize = AtomicUsize::new(0);

/// Puts the stubs in front of an instance's library functions.
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
            let counted = counted_alloc_exception as *const () as usize;
            let original = TARGETS[ALLOC_EXCEPTION].swap(counted, Ordering::Relaxed);
            ORIGINAL_ALLOC_EXCEPTION.store(original, Ordering::Relaxed);
            // For good.
            stub_ranges().iter().map(code::register).for_each(forget);
        });
        *table = STUBS.map(|stub| stub as *const () as usize);
    }
}

unsafe extern "C" fn counted_alloc_exception(vmctx: *mut VMContext, tag: u32) -> u32 {
    type AllocException = unsafe extern "C" fn(*mut VMContext, u32) -> u32;
    let here = 0_u8;
    let in_use = guest_stack::in_use((&raw const here).addr());
    SPENT.set(SPENT.get() + EXCEPTION_COST + in_use / STACK_BYTES_PER_COST);
    // SAFETY: as for `raise_no_room`; and `guard` has put a function of this type there,
    // before any instance could call.
    unsafe {
        if SPENT.get() > EXCEPTION_BUDGET {
            wasmer_vm::raise_user_trap(Box::new(Refusal::<false>));
        }
        let original = ORIGINAL_ALLOC_EXCEPTION.load(Ordering::Relaxed);
        std::mem::transmute::<usize, AllocException>(original)(vmctx, tag)
    }
}

/// Whether a library function may start at this stack pointer.
pub(crate) extern "C" fn has_room(sp: usize) -> bool {
    guest_stack::room(sp) > 0
}

/// The payload of a trap raised here. It has no size, so that boxing it does not
/// allocate; the parameter tells one from the other.
#[derive(Debug)]
pub(crate) struct Refusal<const NO_ROOM: bool>;

pub(crate) type NoRoom = Refusal<true>;
pub(crate) type TooManyExceptions = Refusal<false>;

impl<const NO_ROOM: bool> fmt::Display for Refusal<NO_ROOM> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if NO_ROOM {
            "call stack exhausted"
        } else {
            "too many exceptions in one call"
        })
    }
}

impl<const NO_ROOM: bool> std::error::Error for Refusal<NO_ROOM> {}

pub(crate) unsafe extern "C" fn raise_no_room() {
    // SAFETY: called by a stub, so guest code is on the stack and only its frames
    // are abandoned.
    unsafe { wasmer_vm::raise_user_trap(Box::new(Refusal::<true>)) };
}

macro_rules! stubs {
    ($($index:literal)*) => { [$(library_stub::<$index> as unsafe extern "C" fn()),*] };
}

/// One for each library function; the type says that none is missing.
static STUBS: [unsafe extern "C" fn(); COUNT] = stubs! {
    0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17
    18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35
};
