//! What reaches the host through WASI, and what broken plugins do.

use log::info;
use proxy_wasm::traits::Context;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::hint::black_box;
use std::time::{Duration, Instant, SystemTime};

/// Clocks, randomness, environment and standard streams.
pub fn look_around(context: &dyn Context) {
    // The SDK's clock and std's are two ways to the same host clock.
    let apart = match context.get_current_time().duration_since(SystemTime::now()) {
        Ok(later) => later,
        Err(error) => error.duration(),
    };
    info!("clocks agree: {}", apart < Duration::from_secs(1));
    let start = Instant::now();
    info!("monotonic: {}", Instant::now() >= start);
    let [a, b] = [RandomState::new(), RandomState::new()].map(|s| s.hash_one(0));
    info!("random: {}", a != b);

    let mut variables: Vec<_> = std::env::vars().collect();
    variables.sort();
    info!("environment: {variables:?}");
    info!("arguments: {}", std::env::args().count());
    println!("to standard output");
    eprintln!("to standard error");
}

/// Carries out what `what` names; does nothing for any other word.
pub fn misbehave(what: &str) {
    match what {
        "panic" => panic_on_request(),
        "exit" => std::process::exit(3),
        "spin" => spin_for_ever(),
        "grow" => grow_without_end(),
        "recurse" => {
            black_box(recurse_without_end(0));
        }
        _ => {}
    }
}

#[inline(never)]
fn panic_on_request() {
    panic!("asked to panic");
}

#[inline(never)]
fn spin_for_ever() {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

/// Asks for memory in steps of 16 MiB until the host refuses; touches none of it.
fn grow_without_end() {
    while core::arch::wasm32::memory_grow::<0>(256) != usize::MAX {}
    // The host's limit need not be a multiple of the step.
    while core::arch::wasm32::memory_grow::<0>(1) != usize::MAX {}
    info!("grew to {} pages", core::arch::wasm32::memory_size::<0>());
}

#[inline(never)]
#[expect(unconditional_recursion, reason = "ended by the host's stack limit")]
fn recurse_without_end(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    recurse_without_end(depth + 1).wrapping_add(frame[0])
}
