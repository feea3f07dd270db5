//! What the fuzzer's targets do with their input, and `cargo test` with the seeds. Each ends in
//! an answer or an error, within limits of time and memory; anything else is a find.
//!
//! | target | input |
//! |---|---|
//! | `load` | what wasm-smith makes a valid module of: loaded, linked and called |
//! | `bytes` | a module as it is: the same |
//! | `differential` | what wasm-smith makes a valid module of: called here and in Wasmtime, with the same results, traps and memory |
//! | `code` | changes to compiled code of a right module: refused, or right |
//! | `names` | a function's name, in a backtrace |
//! | `hostcalls` | calls of all that a plugin can import, with their arguments and memory; what arrives for its HTTP and gRPC calls |
//! | `configuration` | the dynamic module's, as JSON |

mod code;
mod differential;
mod hostcalls;
mod limits;
mod names;

pub use code::code;
pub use differential::differential;
pub use hostcalls::{configuration, hostcalls_of_a_guest};
pub use limits::{bytes, load};
pub use names::names;

/// A target: its name, and what it does with input.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 7] = [
    ("load", load),
    ("bytes", bytes),
    ("differential", differential),
    ("code", code),
    ("names", names),
    ("hostcalls", hostcalls_of_a_guest),
    ("configuration", configuration),
];

/// How much longer than promised things may take: the fuzzer's instrumentation of the compiler
/// costs several times as long.
const SLOWDOWN: f64 = 10.0;

fn cpu_seconds() -> f64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: plain call with a valid place.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
