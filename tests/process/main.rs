//! What the runtime does to the process it is in: signals, environment, mapped code and
//! memory. Each test runs in a process of its own.

#[macro_use]
#[path = "../support/mod.rs"]
mod support;

mod child;
mod environment;
mod exhaustion;
mod guard;
mod interrupted;
mod leaks;
mod neighbours;
mod nested;
mod signals;
