//! Tests of the runtime through its Rust API, one file per subject. One program, so that
//! the engine is linked once.

#[macro_use]
#[path = "../support/mod.rs"]
mod support;

mod admission;
mod backtraces;
mod cache;
mod calls;
mod data;
mod exceptions;
mod exhaustion;
mod hostile;
mod hosts;
mod interrupts;
mod life_cycle;
mod limits;
mod nesting;
mod options;
mod references;
mod serialization;
mod threads;
mod traps;
mod vm_limits;
mod work;
