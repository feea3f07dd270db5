//! References to functions, in modules that do all that can be done with them, and in
//! those that only call through tables, whose instances know no functions.

use rust_wasm::{Code, Module, Options, Source};

use crate::support::{Guest, binary};

/// Functions that are referred to, in each way there is; each returns its own number.
const MANY: &str = r#"(module
  (import "env" "first" (func $first (result i32)))
  (import "env" "second" (func $second (result i32)))
  (type $number (func (result i32)))
  (func (export "own2") (result i32) (i32.const 2))
  (func $active (result i32) (i32.const 3))
  (func (export "own4") (result i32) (i32.const 4))
  (func $passive (result i32) (i32.const 5))
  (func $wide (result i64) (i64.const 6))
  (func $global (result i32) (i32.const 7))
  (func $again (export "own8") (result i32) (i32.const 8))
  (func $late (result i32) (i32.const 9))
  (global $g funcref (ref.func $global))
  (table $fixed 8 8 funcref)
  (table $open 4 funcref)
  (elem (table $fixed) (i32.const 1) func $active $second $wide $again)
  (elem (table $open) (i32.const 0) funcref (ref.func $late) (ref.null func) (ref.func $active))
  (elem $some func $passive $first $again $active)
  (elem $none funcref (ref.null func) (ref.func $late))
  (func (export "fixed") (param i32) (result i32)
    (call_indirect $fixed (type $number) (local.get 0)))
  (func (export "open") (param i32) (result i32)
    (call_indirect $open (type $number) (local.get 0)))
  (func (export "init") (param i32 i32 i32)
    (table.init $fixed $some (local.get 0) (local.get 1) (local.get 2)))
  (func (export "init_open") (param i32 i32 i32)
    (table.init $open $none (local.get 0) (local.get 1) (local.get 2)))
  (func (export "set_global") (param i32) (table.set $fixed (local.get 0) (global.get $g)))
  (func (export "copy") (param i32 i32)
    (table.set $open (local.get 0) (table.get $fixed (local.get 1))))
  (func (export "grow") (result i32) (table.grow $open (table.get $fixed (i32.const 4)) (i32.const 2)))
  (func (export "fill") (table.fill $fixed (i32.const 0) (table.get $open (i32.const 0)) (i32.const 2))))"#;

fn both(text: &str, check: fn(&Module)) {
    let bytecode = binary(text);
    let compiled = Module::compile(&bytecode).expect("compiles");
    check(&compiled);
    let precompiled = compiled.serialize().expect("serializes");
    let source = Source {
        precompiled: &precompiled,
        ..Source::default()
    };
    check(&Module::load(source, &Options::default()).expect("loads"));
}

#[test]
fn tables_and_globals_refer_to_the_right_functions() {
    both(MANY, |module| {
        let guest = Guest::of(module, &Options::default())
            .host("first", || 0_u32)
            .host("second", || 1_u32)
            .link();
        let fixed = |at: u32| guest.i32("fixed", &vals![at]);
        let open = |at: u32| guest.i32("open", &vals![at]);
        assert_eq!(guest.i32("own2", &[]), 2);
        assert_eq!(guest.i32("own4", &[]), 4);
        assert_eq!(guest.i32("own8", &[]), 8);
        assert_eq!([fixed(1), fixed(2), fixed(4)], [3, 1, 8]);
        assert_eq!([open(0), open(2)], [9, 3]);
        let trap = |export: &str, at: u32| {
            let error = guest.fails(Code::Trap, export, &vals![at]);
            error.message().to_owned()
        };
        assert!(trap("fixed", 3).contains("type"), "{}", trap("fixed", 3));
        assert!(trap("fixed", 0).contains("uninitialized"));
        assert!(trap("open", 1).contains("uninitialized"));
        guest.results("init", &vals![4_u32, 0_u32, 4_u32]);
        assert_eq!([fixed(4), fixed(5), fixed(6), fixed(7)], [5, 0, 8, 3]);
        guest.results("init_open", &vals![0_u32, 1_u32, 1_u32]);
        assert_eq!(open(0), 9);
        guest.results("set_global", &vals![3_u32]);
        assert_eq!(fixed(3), 7);
        guest.results("copy", &vals![3_u32, 3_u32]);
        assert_eq!(open(3), 7);
        assert_eq!(guest.i32("grow", &[]), 4);
        assert_eq!([open(4), open(5)], [5, 5]);
        guest.results("fill", &[]);
        assert_eq!([fixed(0), fixed(1), fixed(2)], [9, 9, 1]);
    });
}

/// Tables of fixed size have their elements in another place than those that may grow.
const CALLED_THROUGH: &str = r#"(module
  (import "env" "first" (func $first (result i32)))
  (import "env" "second" (func $second (param i32) (result i32)))
  (type $number (func (result i32)))
  (type $increment (func (param i32) (result i32)))
  (func $two (result i32) (i32.const 2))
  (func $three (result i32) (i32.const 3))
  (func $wide (result i64) (i64.const 4))
  (global $null (mut funcref) (ref.null func))
  (memory 1)
  (table $fixed SIZE funcref)
  (table $foreign 3 externref)
  (table $empty SIZE funcref)
  (table $open SIZE funcref)
  (elem (table $fixed) (i32.const 1) func $three $first $wide $second)
  (elem (table $open) (i32.add (i32.const 2) (i32.const 3)) func $second $three)
  (elem (table $foreign) (i32.const 0) externref (ref.null extern))
  (elem (table $open) (i32.const 0) func $two $three $first $two)
  (elem (table $open) (i32.const 1) funcref (ref.null func) (ref.func $three))
  (elem (table $fixed) (i32.const 7) func $two)
  (elem (table $fixed) (i32.const 8) func)
  (elem func $two)
  (elem declare func $three)
  (start $run)
  (func $run (i32.store (i32.const 0) (call_indirect $fixed (type $number) (i32.const 7))))
  (func (export "started") (result i32) (i32.load (i32.const 0)))
  (func (export "null") (result i32) (ref.is_null (global.get $null)))
  (func (export "fixed") (param i32) (result i32)
    (call_indirect $fixed (type $number) (local.get 0)))
  (func (export "increment") (param i32) (result i32)
    (call_indirect $fixed (type $increment) (i32.const 9) (local.get 0)))
  (func (export "empty") (param i32) (result i32)
    (call_indirect $empty (type $number) (local.get 0)))
  (func (export "open") (param i32) (result i32)
    (call_indirect $open (type $number) (local.get 0)))
  (func (export "open_increment") (param i32) (result i32)
    (call_indirect $open (type $increment) (i32.const 9) (local.get 0))))"#;

#[test]
fn calls_through_tables_reach_the_right_functions() {
    for size in ["8 8", "8", "8 9"] {
        both(&CALLED_THROUGH.replace("SIZE", size), |module| {
            let vms: Vec<Guest> = (0..3)
                .map(|vm: u32| {
                    Guest::of(module, &Options::default())
                        .host("first", move || 100 * vm)
                        .host("second", move |n: u32| 100 * vm + n + 1)
                        .link()
                })
                .collect();
            for (vm, guest) in (0_u32..).zip(&vms) {
                let call = |export: &str, at: u32| guest.i32(export, &vals![at]);
                assert_eq!(guest.i32("started", &[]), 2);
                assert_eq!(guest.i32("null", &[]), 1);
                assert_eq!([1, 2, 7].map(|at| call("fixed", at)), [3, 100 * vm, 2]);
                assert_eq!(call("increment", 4), 100 * vm + 10);
                assert_eq!([0, 2, 3, 6].map(|at| call("open", at)), [2, 3, 2, 3]);
                assert_eq!(call("open_increment", 5), 100 * vm + 10);
                for (export, at, says) in [
                    ("fixed", 0, "uninitialized"),
                    ("fixed", 5, "uninitialized"),
                    ("fixed", 3, "type"),
                    ("fixed", 4, "type"),
                    ("increment", 1, "type"),
                    ("fixed", 8, "table"),
                    ("fixed", u32::MAX, "table"),
                    ("empty", 0, "uninitialized"),
                    ("empty", 8, "table"),
                    ("open", 1, "uninitialized"),
                    ("open", 7, "uninitialized"),
                    ("open", 5, "type"),
                    ("open", 8, "table"),
                ] {
                    let error = guest.fails(Code::Trap, export, &vals![at]);
                    assert!(error.message().contains(says), "{export} {at}: {error}");
                }
            }
        });
    }
}

#[test]
fn the_sizes_of_tables_are_known_to_code() {
    let guest = Guest::new(
        r#"(module (table $fixed 3 3 funcref) (table $open 4 funcref)
          (func (export "fixed") (result i32) (table.size $fixed))
          (func (export "open") (result i32) (table.size $open)))"#,
    );
    assert_eq!(guest.i32("fixed", &[]), 3);
    assert_eq!(guest.i32("open", &[]), 4);
}

/// A module cannot claim for itself only to call through tables.
#[test]
fn code_may_refer_to_any_declared_function() {
    const TEXT: &str = r#"(module
      (@custom "rust-wasm.calls-through-tables" "")
      (type $number (func (result i32)))
      (func (export "one") (result i32) (i32.const 1))
      (func $two (result i32) (i32.const 2))
      (func $three (result i32) (i32.const 3))
      (elem declare func $three)
      (table 1 funcref)
      (func (export "three") (result i32)
        (table.set (i32.const 0) (ref.func $three))
        (call_indirect (type $number) (i32.const 0))))"#;
    both(TEXT, |module| {
        let guest = Guest::of(module, &Options::default()).link();
        assert_eq!(guest.i32("one", &[]), 1);
        assert_eq!(guest.i32("three", &[]), 3);
    });
}
