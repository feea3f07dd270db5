//! A deadline stops guests that neither loop nor call much: by the work they do.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use rust_wasm::{Code, Options};

use crate::support::{Guest, module};

const DEADLINE: Duration = Duration::from_millis(3);

fn options() -> Options {
    Options {
        call_deadline: Some(DEADLINE),
        ..Options::default()
    }
}

/// Straight-line code: one piece so many times.
fn repeated(piece: &str, times: usize) -> String {
    piece.repeat(times)
}

fn is_stopped(text: &str) {
    let mut guest = Guest::of(&module(text), &options());
    if text.contains(WAIT) {
        guest = guest.host("wait", || std::thread::sleep(Duration::from_millis(1)));
    }
    let guest = guest.link();
    let begin = Instant::now();
    let error = guest.fails(Code::Interrupt, "run", &[]);
    assert!(begin.elapsed() >= DEADLINE, "not before");
    assert!(error.message().contains("deadline of 3ms"), "{error}");
    // The VM lives, and has its time anew.
    assert_eq!(guest.i32("quick", &[]), 3);
}

fn guest(imports: &str, rest: &str, body: &str) -> String {
    format!(
        r#"(module {imports} {rest}
          (func (export "run") {body})
          (func (export "quick") (result i32) (i32.const 3)))"#
    )
}

#[test]
fn fills_without_a_loop() {
    let fill = "(memory.fill (i32.const 0) (i32.const 1) (i32.const 0x4000000))";
    is_stopped(&guest("", "(memory 1024)", &repeated(fill, 2000)));
}

#[test]
fn copies_without_a_loop() {
    let copy = "(memory.copy (i32.const 0) (i32.const 64) (i32.const 0x3ffff00))";
    is_stopped(&guest("", "(memory 1024)", &repeated(copy, 1500)));
}

#[test]
fn fills_of_tables_without_a_loop() {
    let fill = "(table.fill (i32.const 0) (ref.null func) (i32.const 900000))";
    is_stopped(&guest("", "(table 900000 funcref)", &repeated(fill, 2000)));
}

const WAIT: &str = r#"(import "env" "wait" (func $wait))"#;

#[test]
fn calls_of_the_host_without_a_loop() {
    is_stopped(&guest(WAIT, "", &repeated("(call $wait)", 2000)));
}

#[test]
fn calls_of_the_host_through_a_table_without_a_loop() {
    let table = "(table funcref (elem $wait))";
    let call = "(call_indirect (i32.const 0))";
    is_stopped(&guest(WAIT, table, &repeated(call, 2000)));
}

/// A function that divides so often, by what the compiler cannot know.
fn leaf(divisions: usize) -> String {
    let divide =
        "(local.set 0 (i32.div_u (i32.const 0x7fffffff) (i32.or (local.get 0) (i32.const 1))))";
    format!(
        "(global $seed (mut i32) (i32.const 5))
         (func $leaf (local i32) (local.set 0 (global.get $seed)) {}
           (global.set $seed (local.get 0)))",
        divide.repeat(divisions)
    )
}

/// A function without a check of its own, as long as such a one may be: 250 square roots, each
/// of the one before.
fn short_leaf() -> String {
    format!(
        "(global $seed (mut f64) (f64.const 5))
         (func $leaf (global.get $seed) {} (global.set $seed))",
        "f64.sqrt ".repeat(250)
    )
}

#[test]
fn calls_of_a_long_leaf_without_a_loop() {
    is_stopped(&guest("", &leaf(5000), &repeated("(call $leaf)", 20_000)));
}

#[test]
fn calls_of_a_short_leaf_without_a_loop() {
    is_stopped(&guest("", &short_leaf(), &repeated("(call $leaf)", 50_000)));
}

#[test]
fn branches_do_not_lead_around_checks() {
    // Where a straight count would put its check, nothing ever passes.
    let mut body = String::new();
    for _ in 0..400 {
        let _ = write!(
            body,
            "{} (block (br 0) {})",
            repeated("(call $leaf)", 99),
            repeated("(call $leaf)", 3)
        );
    }
    is_stopped(&guest("", &short_leaf(), &body));
}

/// One operator, on a gibibyte: some 50 ms.
#[test]
fn one_large_operation_on_the_memory() {
    for operation in [
        "(memory.fill (i32.const 0) (i32.const 1) (i32.const 0x40000000))",
        "(memory.copy (i32.const 0) (i32.const 0x10000000) (i32.const 0x30000000))",
        "(memory.copy (i32.const 0x10000000) (i32.const 0) (i32.const 0x30000000))",
    ] {
        is_stopped(&guest("", "(memory 16384)", operation));
    }
}

#[test]
fn a_termination_counts_in_a_large_operation_too() {
    let text = guest(
        "",
        "(memory 16384)",
        "(memory.fill (i32.const 0) (i32.const 1) (i32.const 0x40000000))",
    );
    let guest = Guest::of(&module(&text), &Options::default()).link();
    let terminator = guest.vm().terminator();
    let other = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(5));
        terminator.terminate();
    });
    guest.fails(Code::Interrupt, "run", &[]);
    other.join().expect("ends");
}

#[test]
fn large_operations_do_what_small_ones_do() {
    // 128 MiB and some, from 3 on.
    const LEN: u32 = (128 << 20) + 77;
    let text = r#"(module (memory 3000)
      (func (export "fill") (param i32 i32 i32)
        (memory.fill (local.get 0) (local.get 1) (local.get 2)))
      (func (export "copy") (param i32 i32 i32)
        (memory.copy (local.get 0) (local.get 1) (local.get 2)))
      (func (export "store") (param i32 i32) (i32.store8 (local.get 0) (local.get 1)))
      (func (export "load") (param i32) (result i32) (i32.load8_u (local.get 0))))"#;
    let guest = Guest::new(text);
    let load = |place: u32| guest.i32("load", &vals![place]);
    guest.results("fill", &vals![3_u32, 9_u32, LEN]);
    let places = [2, 3, 4 + (64 << 20), 2 + LEN, 3 + LEN];
    assert_eq!(places.map(load), [0, 9, 9, 9, 0]);
    // Marks on both sides of where pieces begin, and copies that overlap by most of them.
    let marks = [3, 2 + (64 << 20), 3 + (64 << 20), 3 + (128 << 20), 2 + LEN];
    for (mark, value) in marks.into_iter().zip(20_u32..) {
        guest.results("store", &vals![mark, value]);
    }
    for (dst, src) in [(10_003_u32, 3_u32), (5, 10_003)] {
        guest.results("copy", &vals![dst, src, LEN]);
        assert_eq!(marks.map(|it| load(it - 3 + dst)), [20, 21, 22, 23, 24]);
    }
    // What does not fit changes nothing.
    let end = 3000 << 16;
    guest.fails(Code::Trap, "fill", &vals![end - LEN + 1, 1_u32, LEN]);
    guest.fails(Code::Trap, "copy", &vals![end - LEN + 1, 5_u32, LEN]);
    guest.fails(Code::Trap, "copy", &vals![5_u32, end - LEN + 1, LEN]);
    guest.fails(Code::Trap, "fill", &vals![5_u32, 1_u32, u32::MAX]);
    assert_eq!([load(5), load(end - LEN + 1), load(end - 1)], [20, 9, 0]);
}

#[test]
fn work_within_the_deadline_is_done() {
    let text = guest(
        WAIT,
        &format!("(memory 1) {}", short_leaf()),
        &repeated(
            "(call $leaf) (call $wait) (memory.fill (i32.const 0) (i32.const 1) (i32.const 9))",
            20,
        ),
    );
    let options = Options {
        call_deadline: Some(Duration::from_secs(60)),
        ..Options::default()
    };
    let guest = Guest::of(&module(&text), &options)
        .host("wait", || ())
        .link();
    guest.results("run", &[]);
}
