//! What the host may spend on names for a backtrace, however they are made.

/// The longest text that is shown for a name, and the longest made on the way to it.
pub(super) const MAX_NAME: usize = 1024;

/// Work that is left. A unit is a byte written, or a few nanoseconds.
pub(super) struct Work {
    left: usize,
}

impl Work {
    pub(super) fn new(units: usize) -> Self {
        Self { left: units }
    }

    pub(super) fn spend(&mut self, units: usize) -> Option<()> {
        if let Some(left) = self.left.checked_sub(units) {
            self.left = left;
            return Some(());
        }
        self.left = 0;
        None
    }

    /// A step of a parser, with the allocations that it may do.
    pub(super) fn step(&mut self) -> Option<()> {
        self.spend(64)
    }

    /// Text of this size.
    pub(super) fn write(&mut self, size: usize) -> Option<()> {
        if size > MAX_NAME {
            return None;
        }
        self.spend(size)
    }
}
