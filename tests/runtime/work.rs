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
