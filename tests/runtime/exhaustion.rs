//! A guest that has used up its stack: whatever it does there is a trap, and harms neither
//! the process nor the thread.

use std::time::Duration;

use rust_wasm::{Code, Options};

use crate::support::{Guest, Val, least, module};

/// `run` recurses with large frames, then with small ones, and does a deed there. `recover`
/// needs whatever the deeds might have left locked, and calls the host, which did not ask for a
/// trap again.
const DEEDS: &str = r#"(module
  (import "env" "host_trap" (func $host_trap))
  (import "env" "calm" (func $calm))
  (memory (export "memory") 1)
  (data $data "abc")
  (table $table 10 funcref)
  (elem $elements func $nothing)
  (tag $tag (param i32))
  (func $nothing)
  (func $unreachable (unreachable))
  (func $load (drop (i32.load (i32.const -1))))
  (func $fill (memory.fill (i32.const 65536) (i32.const 0) (i32.const 1)))
  (func $copy (memory.copy (i32.const 65536) (i32.const 0) (i32.const 1)))
  (func $init (memory.init $data (i32.const 0) (i32.const 0) (i32.const 3)))
  (func $init_outside (memory.init $data (i32.const 0) (i32.const 0) (i32.const 4)))
  (func $throw (throw $tag (i32.const 1)))
  (func $catch (block $handler (try_table (catch_all $handler) (throw $tag (i32.const 1)))))
  (func $grow (drop (memory.grow (i32.const 0))))
  (func $table_init (table.init $table $elements (i32.const 0) (i32.const 0) (i32.const 1)))
  (func $table_init_outside
    (table.init $table $elements (i32.const 9) (i32.const 0) (i32.const 5)))
  (func $table_fill (table.fill $table (i32.const 9) (ref.null func) (i32.const 5)))
  (func $table_copy (table.copy $table $table (i32.const 9) (i32.const 0) (i32.const 5)))
  (func $table_set (table.set $table (i32.const 100) (ref.null func)))
  (func $table_grow (drop (table.grow $table (ref.null func) (i32.const 0))))
  (func $null_call (call_indirect $table (i32.const 5)))
  (table $deeds funcref (elem
    $unreachable $load $fill $copy $init $init_outside $throw $catch $grow $table_init
    $table_init_outside $table_fill $table_copy $table_set $table_grow $null_call $host_trap))
  (func $small (param $depth i32) (param $deed i32) (result i32)
    (if (result i32) (i32.eqz (local.get $depth))
      (then (call_indirect $deeds (local.get $deed)) (i32.const 0))
      (else (i32.add (i32.const 1)
        (call $small (i32.sub (local.get $depth) (i32.const 1)) (local.get $deed))))))
  (func $run (export "run") (param $large i32) (param $small i32) (param $deed i32) (result i32)
    (local v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128)
    LOADS
    (if (result i32) (i32.eqz (local.get $large))
      (then (call $small (local.get $small) (local.get $deed)))
      (else
        (call $run (i32.sub (local.get $large) (i32.const 1))
          (local.get $small) (local.get $deed))
        STORES
        (i32.add (i32.const 1)))))
  (func (export "recover") (result i32)
    (call $calm)
    (memory.init $data (i32.const 0) (i32.const 0) (i32.const 3))
    (table.init $table $elements (i32.const 0) (i32.const 0) (i32.const 1))
    (table.fill $table (i32.const 0) (ref.null func) (i32.const 5))
    (block $handler (try_table (catch_all $handler) (throw $tag (i32.const 1))))
    (drop (table.grow $table (ref.null func) (i32.const 1)))
    (memory.grow (i32.const 0)))
  (func (export "drop_all") (data.drop $data) (elem.drop $elements)))"#;

const DEED_COUNT: u32 = 17;
const LOAD: u32 = 1;

/// What `run` may have for large frames: at least this many small ones fit into one.
const SMALL_FRAMES: u32 = 20;

fn doer() -> Guest {
    // Values that stay alive across the call make the frame large.
    let loads: String = (3..19)
        .map(|local| format!("(local.set {local} (v128.load (i32.const {})))", 16 * local))
        .collect();
    let stores: String = (3..19)
        .map(|local| {
            format!(
                "(v128.store (i32.const {}) (local.get {local}))",
                16 * local
            )
        })
        .collect();
    let text = DEEDS.replace("LOADS", &loads).replace("STORES", &stores);
    let options = Options {
        guest_stack_bytes: 64 << 10,
        ..Options::default()
    };
    let guest = Guest::of(&module(&text), &options);
    let me = guest.pointer();
    guest
        .host("host_trap", move || me.vm().trap("enough"))
        .host("calm", || ())
        .link()
}

const EXHAUSTED: &str = "wasm trap: call stack exhausted";

/// The least number of large frames that leaves no room for a deed.
fn limit(guest: &Guest, deed: u32) -> u32 {
    least(100_000, |depth| exhausts(guest, &vals![depth, 0_u32, deed]))
}

fn exhausts(guest: &Guest, arguments: &[Val]) -> bool {
    let outcome = guest.try_call("run", arguments);
    outcome.is_err_and(|error| error.message() == EXHAUSTED)
}

/// Tried for all depths at the end of the stack, since each leaves another piece of the
/// engine without room. This fails by hanging or by crashing.
#[test]
fn any_deed_at_the_end_of_the_stack_is_a_trap() {
    let guest = doer();
    let end_of_stack = limit(&guest, LOAD);
    assert!(end_of_stack > 100, "{end_of_stack}");
    for deed in 0..DEED_COUNT {
        // The engine may need room of its own.
        let end_of_room = limit(&guest, deed);
        for limit in [end_of_room, end_of_stack] {
            for large in limit - 10..=limit {
                for small in 0..=SMALL_FRAMES {
                    let outcome = guest.try_call("run", &vals![large, small, deed]);
                    if large >= end_of_room {
                        let error = outcome.expect_err("no room");
                        assert_eq!(error.message(), EXHAUSTED, "deed {deed} at {large}");
                    } else if let Err(error) = outcome {
                        let code = error.code();
                        assert!(matches!(code, Code::Trap | Code::HostTrap), "{error}");
                    }
                }
                assert_eq!(guest.i32("recover", &[]), 1);
            }
        }
    }
    guest.results("drop_all", &[]);
}

/// The above tries every place only if the frames are what it takes them for.
#[test]
fn the_frames_of_that_test_are_as_large_as_it_assumes() {
    let guest = doer();
    let overflows = least(100_000, |depth| {
        exhausts(&guest, &vals![0_u32, depth, LOAD])
    });
    let small_per_large = overflows / limit(&guest, LOAD);
    assert!(
        (5..=SMALL_FRAMES).contains(&small_per_large),
        "{small_per_large}"
    );
}

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
