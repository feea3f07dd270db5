//! No shape of code gets past the guard page below the guest stack, whatever lies there.

use rust_wasm::Options;

use crate::child::alone;
use crate::support::Guest;

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

/// Puts a mapping below each guard page that has none.
fn neighbours() -> Vec<&'static [u8]> {
    const SIZE: usize = 1 << 20;
    let maps = std::fs::read_to_string("/proc/self/maps").expect("readable");
    let mut found = Vec::new();
    for line in maps.lines() {
        let (range, rest) = line.split_once(' ').expect("a range");
        let (start, end) = range.split_once('-').expect("a range");
        let number = |it| usize::from_str_radix(it, 16).expect("hexadecimal");
        let (start, end) = (number(start), number(end));
        if !rest.starts_with("---p") || end - start != 4096 {
            continue;
        }
        // SAFETY: new mappings only.
        unsafe {
            let place = libc::mmap(
                (start - SIZE) as *mut libc::c_void,
                SIZE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE,
                -1,
                0,
            );
            if place == libc::MAP_FAILED {
                continue;
            }
            libc::memset(place, i32::from(FILL), SIZE);
            found.push(std::slice::from_raw_parts(place.cast::<u8>(), SIZE));
        }
    }
    found
}

#[test]
fn no_frame_jumps_over_the_guard_page() {
    alone("guard::no_frame_jumps_over_the_guard_page", &[], || {
        let options = Options {
            guest_stack_bytes: 64 << 10,
            ..Options::default()
        };
        // Maps this thread's stacks.
        Guest::with(r#"(module (func (export "f")))"#, &options).results("f", &[]);
        let neighbours = neighbours();
        assert!(!neighbours.is_empty());
        for (name, big) in shapes() {
            println!("{name}");
            let text = format!("(module {DESCENT} {big})");
            let guest = Guest::with(&text, &options);
            let overflows = |a: u32, b: u32| match guest.try_call("f", &vals![a, b]) {
                Ok(_) => false,
                Err(error) => {
                    assert_eq!(error.message(), "wasm trap: call stack exhausted");
                    true
                }
            };
            let (mut fits, mut too_deep) = (0, 100_000);
            while fits + 1 < too_deep {
                let depth = (fits + too_deep) / 2;
                if overflows(depth, 0) {
                    too_deep = depth;
                } else {
                    fits = depth;
                }
            }
            for a in too_deep.saturating_sub(150)..too_deep + 150 {
                for b in 0..12 {
                    overflows(a, b);
                }
            }
            let mut bytes = neighbours.iter().copied().flatten();
            assert!(bytes.all(|it| *it == FILL), "{name}");
        }
    });
}
