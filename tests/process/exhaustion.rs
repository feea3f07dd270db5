//! Whatever a guest does at the very end of its stack is a trap. Alone in a process, for the
//! reason given in `nested`.

use rust_wasm::{Code, Options};

use crate::child::alone;
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
    alone(
        "exhaustion::any_deed_at_the_end_of_the_stack_is_a_trap",
        &[],
        try_every_deed,
    );
}

fn try_every_deed() {
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
    alone(
        "exhaustion::the_frames_of_that_test_are_as_large_as_it_assumes",
        &[],
        measure_frames,
    );
}

fn measure_frames() {
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
