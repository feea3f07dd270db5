//! No shape of code gets past the guard page below the guest stack, whatever lies there.

use rust_wasm::Options;

use crate::child::alone;
use crate::support::{Guest, least};

/// Two sizes of frames, so that `$big` begins at any place near the end of the stack.
const DESCENT: &str = r#"
  (func $a (export "f") (param $n i32) (param $m i32)
    (if (local.get $n)
      (then (call $a (i32.sub (local.get $n) (i32.const 1)) (local.get $m)))
      (else (call $b (local.get $m)))))
  (func $b (param $m i32) (local i64 i64 i64 i64 i64 i64 i64 i64)
    (if (local.get $m)
      (then (call $b (i32.sub (local.get $m) (i32.const 1))))
      (else (call $big))))
  (func $leaf)"#;

fn shapes() -> Vec<(&'static str, String)> {
    let nested = |count: usize, open: &str, close: &str| {
        format!(
            "(func $big {} (call $leaf) {})",
            open.repeat(count),
            close.repeat(count)
        )
    };
    let locals = |count: usize| format!("(func $big (local{}))", " i64".repeat(count));
    let many = " i64".repeat(1000);
    let zeros = "(i64.const 0) ".repeat(1000);
    vec![
        (
            "blocks with results",
            nested(600, "(block (result i32) ", "(i32.const 1)) drop "),
        ),
        (
            "more blocks with results",
            nested(20_000, "(block (result i32) ", "(i32.const 1)) drop "),
        ),
        (
            "blocks within a page",
            nested(490, "(block (result i32) ", "(i32.const 1)) drop "),
        ),
        ("495 locals", locals(495)),
        ("508 locals", locals(508)),
        ("520 locals", locals(520)),
        ("2000 locals", locals(2000)),
        (
            "parameters and locals",
            format!("(func $big (call $wide {zeros})) (func $wide (param{many}) (local{many}))"),
        ),
        (
            "results",
            format!(
                "(func $big (call $wide) {}) (func $wide (result{many}) {zeros})",
                "drop ".repeat(1000)
            ),
        ),
    ]
}

const FILL: u8 = 0xaa;

/// Where mappings begin that are a page long and allow no access, with larger ones above them
/// that do: guard pages of stacks. A signal stack is not larger.
fn guards(stack: usize) -> Vec<usize> {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("readable");
    let number = |it| usize::from_str_radix(it, 16).expect("hexadecimal");
    let mappings: Vec<_> = maps
        .lines()
        .map(|line| {
            let (range, rest) = line.split_once(' ').expect("a range");
            let (start, end) = range.split_once('-').expect("a range");
            (number(start), number(end), rest)
        })
        .collect();
    mappings
        .windows(2)
        .filter(|it| it[0].2.starts_with("---p") && it[0].1 - it[0].0 == 4096)
        .filter(|it| it[1].0 == it[0].1 && it[1].1 - it[1].0 > stack)
        .map(|it| it[0].0)
        .collect()
}

/// Memory of this size, anywhere or at a given place, if that is free.
fn map(place: usize, size: usize) -> Option<&'static mut [u8]> {
    let fixed = if place == 0 {
        0
    } else {
        libc::MAP_FIXED_NOREPLACE
    };
    // SAFETY: a new mapping only.
    unsafe {
        let mapped = libc::mmap(
            place as *mut libc::c_void,
            size,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | fixed,
            -1,
            0,
        );
        (mapped != libc::MAP_FAILED).then(|| std::slice::from_raw_parts_mut(mapped.cast(), size))
    }
}

/// Calls a first guest, and so maps this thread's stacks, with memory right below the guest's.
/// The system takes the first place from above that is large enough: here a gap that has
/// room for the signal handlers' stack and the guest's, not for the thread's base stack.
/// None if another thread got it, or has left another gap above.
fn neighbours(options: &Options) -> Option<[&'static [u8]; 2]> {
    const SIZE: usize = 1 << 20;
    const GAP: usize = 320 << 10;
    let guest = Guest::with(r#"(module (func (export "f")))"#, options);
    // Other holes would do as well.
    for _ in 0..64 {
        map(0, options.guest_stack_bytes)?;
    }
    let before = guards(options.guest_stack_bytes);
    let (low, gap) = map(0, SIZE + GAP)?.split_at_mut(SIZE);
    let gap = gap.as_mut_ptr_range();
    // SAFETY: a part of the mapping, which nobody uses from here on.
    assert_eq!(unsafe { libc::munmap(gap.start.cast(), GAP) }, 0);
    guest.results("f", &[]);
    let stack = guards(options.guest_stack_bytes)
        .into_iter()
        .find(|it| !before.contains(it) && (gap.start as usize..gap.end as usize).contains(it))?;
    let rest = map(gap.start as usize, stack - gap.start as usize)?;
    low.fill(FILL);
    rest.fill(FILL);
    Some([low, rest])
}

/// Tries all shapes on this thread, if its guest stack has neighbours.
fn tries_all_shapes(options: &Options) -> bool {
    let Some(neighbours) = neighbours(options) else {
        return false;
    };
    for (name, big) in shapes() {
        println!("{name}");
        let text = format!("(module {DESCENT} {big})");
        let guest = Guest::with(&text, options);
        let overflows = |a: u32, b: u32| match guest.try_call("f", &vals![a, b]) {
            Ok(_) => false,
            Err(error) => {
                assert_eq!(error.message(), "wasm trap: call stack exhausted");
                true
            }
        };
        let too_deep = least(100_000, |depth| overflows(depth, 0));
        for a in too_deep.saturating_sub(150)..too_deep + 150 {
            for b in 0..12 {
                overflows(a, b);
            }
        }
        let mut bytes = neighbours.into_iter().flatten();
        assert!(bytes.all(|it| *it == FILL), "{name}");
    }
    true
}

#[test]
fn no_frame_jumps_over_the_guard_page() {
    alone("guard::no_frame_jumps_over_the_guard_page", &[], || {
        // Each time on a thread without stacks, and with one that is larger than those that are
        // kept.
        let tried = (16..40).any(|pages| {
            let options = Options {
                guest_stack_bytes: pages * 4096,
                ..Options::default()
            };
            let thread = std::thread::spawn(move || tries_all_shapes(&options));
            thread.join().expect("no panic")
        });
        assert!(tried, "no guest's stack lay in the gap");
    });
}
