//! A guest that has used up its stack: whatever it does there is a trap, and harms neither
//! the process nor the thread.

use std::time::Duration;

use rust_wasm::{Code, Options};

use crate::support::Guest;

const EXHAUSTED: &str = "wasm trap: call stack exhausted";

#[test]
fn an_interrupt_at_the_end_of_the_stack_is_an_interrupt() {
    let text = r#"(module
      (func $run (export "run") (param $depth i32) (result i32)
        (if (result i32) (i32.eqz (local.get $depth))
          (then (loop $l (br $l)) (i32.const 0))
          (else (i32.add (i32.const 1)
            (call $run (i32.sub (local.get $depth) (i32.const 1))))))))"#;
    let options = Options {
        guest_stack_bytes: 64 << 10,
        call_deadline: Some(Duration::from_millis(1)),
        ..Options::default()
    };
    let guest = Guest::with(text, &options);
    let mut depth = 500_u32;
    while guest
        .try_call("run", &vals![depth])
        .expect_err("never returns")
        .code()
        == Code::Interrupt
    {
        depth += 500;
    }
    for depth in (depth - 500..depth).step_by(20) {
        let error = guest
            .try_call("run", &vals![depth])
            .expect_err("never returns");
        let code = if error.message() == EXHAUSTED {
            Code::Trap
        } else {
            Code::Interrupt
        };
        assert_eq!(error.code(), code, "{error}");
    }
}

#[test]
fn a_frame_larger_than_the_guard_page_does_not_jump_over_it() {
    for locals in [100, 1000, 10_000, 49_000] {
        // All of them stay alive across the call.
        let sets: String = (1..locals)
            .map(|index| {
                format!(
                    "(local.set {index} (i64.add (local.get {}) (i64.const 1)))",
                    index - 1
                )
            })
            .collect();
        let adds: String = (1..locals)
            .map(|index| format!("(local.get {index}) (i64.add)"))
            .collect();
        let text = format!(
            r#"(module
              (func $deep (export "overflow") (param i64) (result i64) (local{})
                {sets}
                (call $deep (local.get {}))
                {adds}))"#,
            " i64".repeat(locals - 1),
            locals - 1,
        );
        let options = Options {
            guest_stack_bytes: 64 << 10,
            ..Options::default()
        };
        let guest = Guest::with(&text, &options);
        for _ in 0..3 {
            let error = guest.fails(Code::Trap, "overflow", &vals![1_u64]);
            assert_eq!(
                error.message(),
                "wasm trap: call stack exhausted",
                "{locals} locals"
            );
        }
    }
}

#[test]
fn calls_with_a_thousand_arguments_do_not_jump_over_the_guard_page() {
    let gets: String = (0..1000)
        .map(|index| format!("(local.get {index})"))
        .collect();
    let types = " i64".repeat(1000);
    let text = format!(
        r#"(module
          (func $deep (export "overflow") (param{types}) (result{types})
            (call $deep {gets})
            (call $deep)))"#
    );
    let options = Options {
        guest_stack_bytes: 64 << 10,
        ..Options::default()
    };
    let guest = Guest::with(&text, &options);
    let args: Vec<_> = (0..1000_u64).map(crate::support::Val::I64).collect();
    let error = guest.fails(Code::Trap, "overflow", &args);
    assert_eq!(error.message(), "wasm trap: call stack exhausted");
}
