//! `src/run/interrupt.rs` with loom's atomics and locks: each test runs in every order of its
//! threads' steps, and with every value that the memory model lets a load see.
#![cfg(test)]
// Much of what is shared goes unused here.
#![allow(dead_code)]

#[path = "../../../src/error.rs"]
mod error;

mod load {
    pub(crate) mod flags {
        /// As many as there are would make for too many orders.
        pub(crate) const FLAGS: u32 = 1;
    }
}

mod run {
    #[path = "../../../../src/run/interrupt.rs"]
    pub(crate) mod interrupt;
    pub(crate) mod sync;
    #[path = "../../../../src/run/ticks.rs"]
    pub(crate) mod ticks;
}

mod tests;
