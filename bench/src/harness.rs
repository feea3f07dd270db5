//! How time is measured.

use std::time::{Duration, Instant};

/// A round runs at least this long, so that reading the clock costs nothing.
const ROUND: Duration = Duration::from_millis(5);
/// Rounds go on until this much time has passed ...
const BUDGET: Duration = Duration::from_millis(1500);
/// ... but there are at least so many, for what takes long.
const MIN_ROUNDS: u32 = 3;

/// Nanoseconds per iteration of each contestant, which is given the number of
/// iterations to run. It is the best of many rounds, because noise only ever adds; the
/// rounds alternate, so that a machine that changes speed does so for all of them.
pub fn best<const N: usize>(mut contestants: [&mut dyn FnMut(u32); N]) -> [f64; N] {
    let iterations = contestants.each_mut().map(|it| calibrate(*it));
    let mut best = [f64::INFINITY; N];
    let start = Instant::now();
    for round in 0.. {
        if round >= MIN_ROUNDS && start.elapsed() > BUDGET {
            break;
        }
        for (index, contestant) in contestants.iter_mut().enumerate() {
            let time = time(*contestant, iterations[index]).as_secs_f64() * 1e9;
            best[index] = best[index].min(time / f64::from(iterations[index]));
        }
    }
    best
}

/// How many iterations make a round.
fn calibrate(contestant: &mut dyn FnMut(u32)) -> u32 {
    let mut iterations = 1;
    while time(contestant, iterations) < ROUND {
        iterations *= 2;
    }
    iterations
}

fn time(contestant: &mut dyn FnMut(u32), iterations: u32) -> Duration {
    let start = Instant::now();
    contestant(iterations);
    start.elapsed()
}
