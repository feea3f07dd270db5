//! Where code lies whose faults are traps, in a form that a signal handler may ask.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

const SLOTS: usize = 64;

/// A list that grows and never shrinks, so that a handler needs no lock.
struct Block {
    slots: [Slot; SLOTS],
    next: OnceLock<Box<Block>>,
}

/// One range of addresses; free while `end` is 0.
struct Slot {
    start: AtomicUsize,
    end: AtomicUsize,
}

static FIRST: Block = Block::new();

impl Block {
    const fn new() -> Self {
        Self {
            slots: [const {
                Slot {
                    start: AtomicUsize::new(0),
                    end: AtomicUsize::new(0),
                }
            }; SLOTS],
            next: OnceLock::new(),
        }
    }
}

impl Slot {
    fn contains(&self, pc: usize) -> bool {
        let end = self.end.load(Ordering::Acquire);
        let start = self.start.load(Ordering::Acquire);
        // The slot may have got another range between the two.
        (start..end).contains(&pc) && self.end.load(Ordering::Relaxed) == end
    }
}

/// Code that is known here until this is dropped.
pub(crate) struct Registration(&'static Slot);

impl Drop for Registration {
    fn drop(&mut self) {
        self.0.end.store(0, Ordering::Release);
    }
}

/// Makes the faults of this code traps, on a guest stack.
pub(crate) fn register(range: &Range<usize>) -> Registration {
    static REGISTERING: Mutex<()> = Mutex::new(());
    let _guard = REGISTERING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut block = &FIRST;
    loop {
        let mut slots = block.slots.iter();
        if let Some(slot) = slots.find(|it| it.end.load(Ordering::Relaxed) == 0) {
            slot.start.store(range.start, Ordering::Release);
            slot.end.store(range.end, Ordering::Release);
            return Registration(slot);
        }
        block = block.next.get_or_init(|| Box::new(Block::new()));
    }
}

/// Whether an instruction belongs to registered code. Safe in a signal handler.
pub(crate) fn contains(pc: usize) -> bool {
    let mut block = Some(&FIRST);
    while let Some(this) = block {
        if this.slots.iter().any(|it| it.contains(pc)) {
            return true;
        }
        block = this.next.get().map(|it| &**it);
    }
    false
}
