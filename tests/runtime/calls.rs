//! Calling exports: types, many parameters, several results, imports exported again.

use std::fmt::Write as _;

use rust_wasm::{Code, FunctionType, Options, Type, Value, Vm};

use crate::support::{Guest, Val, failure, module, says};

#[test]
fn every_number_type_goes_in_and_comes_out_unchanged() {
    let guest = Guest::new(
        r#"(module
          (func (export "i32") (param i32) (result i32) (local.get 0))
          (func (export "i64") (param i64) (result i64) (local.get 0))
          (func (export "f32") (param f32) (result f32) (local.get 0))
          (func (export "f64") (param f64) (result f64) (local.get 0)))"#,
    );
    for bits in [0, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
        assert_eq!(guest.call("i32", &[Val::I32(bits)]), Val::I32(bits));
    }
    for bits in [0, 1, u64::MAX >> 1, 1 << 63, u64::MAX] {
        assert_eq!(guest.call("i64", &[Val::I64(bits)]), Val::I64(bits));
    }
    // Signalling NaNs with a payload and negative zero are kept bit by bit.
    for bits in [0, 0x8000_0000, 0x7f80_0000, 0x7fa0_1234, 0xffc0_0001] {
        assert_eq!(guest.call("f32", &[Val::F32(bits)]), Val::F32(bits));
    }
    for bits in [0, 1 << 63, 0x7ff0_0000_0000_0000, 0x7ff4_0000_dead_beef] {
        assert_eq!(guest.call("f64", &[Val::F64(bits)]), Val::F64(bits));
    }
}

#[test]
fn stale_bits_above_an_i32_or_f32_do_not_reach_the_guest() {
    let guest = Guest::new(
        r#"(module
          (func (export "wide") (param i32) (result i64) (i64.extend_i32_u (local.get 0)))
          (func (export "sum") (param f32) (result f64) (f64.promote_f32 (local.get 0))))"#,
    );
    let call = |name: &str, param: Type, result: Type, slot: [u64; 2]| {
        let ty = FunctionType::new([param], [result]);
        let func = guest.vm().func(name, &ty).expect("its type");
        let mut values = [Value { slot }];
        guest
            .vm()
            .call(func.expect("exported"), &mut values)
            .expect("returns");
        // SAFETY: an integer is valid whatever its bits.
        unsafe { values[0].i64 }
    };
    let garbage = 0xdead_beef_0000_0000;
    assert_eq!(
        call("wide", Type::I32, Type::I64, [garbage | 7, u64::MAX]),
        7
    );
    let slot = [garbage | u64::from(1.5_f32.to_bits()), u64::MAX];
    assert_eq!(call("sum", Type::F32, Type::F64, slot), 1.5_f64.to_bits());
}

#[test]
fn sixteen_parameters_of_mixed_types_arrive_in_order() {
    let types = ["i32", "f64", "i64", "f32"];
    let mut text = String::from("(module (memory (export \"memory\") 1) (func (export \"f\")");
    for index in 0..16 {
        let _ = write!(text, " (param {})", types[index % 4]);
    }
    for index in 0..16 {
        let ty = types[index % 4];
        let _ = write!(
            text,
            " ({ty}.store (i32.const {}) (local.get {index}))",
            8 * index
        );
    }
    text.push_str("))");
    let guest = Guest::new(&text);
    let args: Vec<Val> = (0..16_u32)
        .map(|index| match index % 4 {
            0 => (0xf000_0000 + index).into(),
            1 => (f64::from(index) + 0.5).into(),
            2 => (u64::MAX - u64::from(index)).into(),
            _ => Val::F32(1000 + index),
        })
        .collect();
    assert_eq!(guest.results("f", &args), []);
    for (index, arg) in args.iter().enumerate() {
        let stored = match arg {
            Val::I32(bits) | Val::F32(bits) => bits.to_le_bytes().to_vec(),
            Val::I64(bits) | Val::F64(bits) => bits.to_le_bytes().to_vec(),
        };
        assert_eq!(
            guest.read(8 * index, stored.len()),
            stored,
            "parameter {index}"
        );
    }
}

#[test]
fn several_results_come_back_in_order() {
    let guest = Guest::new(
        r#"(module
          (func (export "swap") (param i32 f64) (result f64 i32) (local.get 1) (local.get 0))
          (func (export "eight") (param i64) (result i64 f32 i32 f64 i64 f32 i32 f64)
            (local.get 0) (f32.const 2.5) (i32.const 3) (f64.const 4.5)
            (i64.const -5) (f32.const -6.5) (i32.const -7) (f64.const 8.5))
          (func (export "more_results_than_params") (param i32) (result i32 i32 i32)
            (local.get 0) (local.get 0) (i32.const 9)))"#,
    );
    assert_eq!(guest.results("swap", &vals![1_u32, 2.5]), vals![2.5, 1_u32]);
    assert_eq!(
        guest.results("eight", &vals![1_u64]),
        vals![
            1_u64,
            2.5_f32,
            3_u32,
            4.5,
            u64::MAX - 4,
            -6.5_f32,
            u32::MAX - 6,
            8.5
        ]
    );
    assert_eq!(
        guest.results("more_results_than_params", &vals![4_u32]),
        vals![4_u32, 4_u32, 9_u32]
    );
}

#[test]
fn as_many_parameters_and_results_as_the_format_allows() {
    let list = |word: &str| format!("({word}{})", " i64".repeat(1000));
    let gets: String = (0..1000)
        .rev()
        .map(|index| format!(" (local.get {index})"))
        .collect();
    let text = format!(
        "(module (func (export \"reverse\") {} {}{gets}))",
        list("param"),
        list("result")
    );
    let guest = Guest::new(&text);
    let args: Vec<Val> = (0..1000_u64).map(Val::I64).collect();
    let results = guest.results("reverse", &args);
    assert!(results.iter().eq(args.iter().rev()));
}

#[test]
fn a_function_is_found_by_name_and_type_only() {
    let guest = Guest::new(
        r#"(module
          (memory (export "memory") 1)
          (global (export "global") i32 (i32.const 1))
          (func (export "f") (param i32) (result i64) (i64.const 1))
          (func (export "") (result i32) (i32.const 1))
          (func (export "ünïcødé ✓") (result i32) (i32.const 2)))"#,
    );
    let none = FunctionType::new([], []);
    for absent in ["g", "F", "f\0", "memory", "global"] {
        assert_eq!(
            guest.vm().func(absent, &none).expect("no failure"),
            None,
            "{absent:?}"
        );
    }
    let error = failure(Code::Link, guest.vm().func("f", &none));
    says(
        &error,
        "exported function f is (i32) -> (i64), expected () -> ()",
    );
    assert_eq!(guest.i32("", &[]), 1);
    assert_eq!(guest.i32("ünïcødé ✓", &[]), 2);
}

#[test]
fn asking_twice_gives_the_same_function() {
    let guest = Guest::new(r#"(module (func (export "f")) (func (export "g")))"#);
    let ty = FunctionType::new([], []);
    let find = |name: &str| {
        guest
            .vm()
            .func(name, &ty)
            .expect("its type")
            .expect("exported")
    };
    assert_eq!(find("f"), find("f"));
    assert_ne!(find("f"), find("g"));
}

#[test]
fn one_function_under_two_names() {
    let guest =
        Guest::new(r#"(module (func (export "a") (export "b") (result i32) (i32.const 5)))"#);
    assert_eq!((guest.i32("a", &[]), guest.i32("b", &[])), (5, 5));
}

#[test]
fn too_few_slots_and_foreign_ids_are_refused() {
    let text = r#"(module
      (func (export "f") (param i32 i32) (result i32) (local.get 1))
      (func (export "g")))"#;
    let guest = Guest::new(text);
    let ty = FunctionType::new([Type::I32; 2], [Type::I32]);
    let func = guest
        .vm()
        .func("f", &ty)
        .expect("its type")
        .expect("exported");
    let mut values = [Value::default(); 1];
    let error = failure(Code::InvalidArgument, guest.vm().call(func, &mut values));
    says(&error, "1 value slots, the function needs 2");

    let other = Guest::new(text);
    let error = failure(
        Code::InvalidArgument,
        other.vm().call(func, &mut [Value::default(); 2]),
    );
    says(&error, "no such function");
}

#[test]
fn the_host_passes_no_references_but_null() {
    let guest = Guest::new(
        r#"(module (func (export "f") (param funcref externref i32) (result i32)
          (ref.is_null (local.get 0))))"#,
    );
    let ty = FunctionType::new([Type::FuncRef, Type::ExternRef, Type::I32], [Type::I32]);
    let func = guest
        .vm()
        .func("f", &ty)
        .expect("that type")
        .expect("there");
    let mut values = [Value::default(), 1_u64.into(), 1_u32.into()];
    guest.vm().call(func, &mut values).expect("returns");
    // SAFETY: an i32.
    assert_eq!(unsafe { values[0].i32 }, 1);
    let mut values = [0x1234_5678_u64.into(), Value::default(), 1_u32.into()];
    let error = failure(Code::InvalidArgument, guest.vm().call(func, &mut values));
    says(&error, "a reference that is not null");
}

#[test]
fn an_import_exported_again_can_be_called_from_the_host() {
    let guest = Guest::unlinked(
        r#"(module
          (import "env" "host" (func $host (param i32 f64 i32 i32 i32 i32 i32) (result i32)))
          (export "again" (func $host)))"#,
    )
    .host(
        "host",
        |a: u32, b: f64, c: u32, d: u32, e: u32, f: u32, g: u32| {
            assert_eq!((c, d, e, f), (3, 4, 5, 6));
            assert_eq!(b.to_bits(), 2.5_f64.to_bits());
            a + g
        },
    )
    .link();
    let args = vals![1_u32, 2.5, 3_u32, 4_u32, 5_u32, 6_u32, 7_u32];
    assert_eq!(guest.i32("again", &args), 8);
}

#[test]
fn imports_are_called_directly_and_through_a_table() {
    let guest = Guest::unlinked(
        r#"(module
          (import "env" "add" (func $add (param i32 i32) (result i32)))
          (import "env" "mul" (func $mul (param i32 i32) (result i32)))
          (type $binary (func (param i32 i32) (result i32)))
          (func $sub (param i32 i32) (result i32) (i32.sub (local.get 0) (local.get 1)))
          (table funcref (elem $add $mul $sub))
          (func (export "direct") (result i32) (call $add (i32.const 3) (i32.const 4)))
          (func (export "indirect") (param i32) (result i32)
            (call_indirect (type $binary) (i32.const 5) (i32.const 6) (local.get 0)))
          (func (export "by_reference") (result i32)
            (table.set (i32.const 0) (ref.func $mul))
            (call_indirect (type $binary) (i32.const 5) (i32.const 6) (i32.const 0))))"#,
    )
    .host("add", |a: u32, b: u32| a + b)
    .host("mul", |a: u32, b: u32| a * b)
    .link();
    assert_eq!(guest.i32("direct", &[]), 7);
    assert_eq!(guest.i32("indirect", &vals![0_u32]), 11);
    assert_eq!(guest.i32("indirect", &vals![1_u32]), 30);
    assert_eq!(guest.i32("indirect", &vals![2_u32]), u32::MAX);
    assert_eq!(guest.i32("by_reference", &[]), 30);
}

#[test]
fn the_memory_stays_at_its_place_when_it_grows() {
    let guest = Guest::new(
        r#"(module
          (memory (export "memory") 1)
          (func (export "grow") (result i32) (memory.grow (i32.const 3)))
          (func (export "store")
            (i32.store8 (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 1))
              (i32.const 42))))"#,
    );
    let place = guest.vm().memory();
    // SAFETY: the place is stable while the VM lives.
    let read = || unsafe { ((*place).base, (*place).current_length) };
    let before = read();
    assert_eq!(before.1, 65536);
    assert_eq!(guest.i32("grow", &[]), 1);
    assert_eq!(guest.vm().memory(), place);
    assert_eq!(read(), (before.0, 4 * 65536), "base and place are kept");
    guest.results("store", &[]);
    assert_eq!(guest.read(4 * 65536 - 1, 1), [42]);
}

#[test]
fn the_memory_is_the_export_or_else_the_only_one() {
    let size = |text: &str| Guest::new(text).memory_size();
    assert_eq!(size(r#"(module (memory (export "memory") 2))"#), 2 << 16);
    assert_eq!(size(r#"(module (memory (export "other") 3))"#), 3 << 16);
    assert_eq!(size("(module (memory 4))"), 4 << 16);
    assert_eq!(size("(module)"), 0);
    assert_eq!(
        size(r#"(module (memory 1) (func (export "memory")))"#),
        1 << 16
    );
    let unlinked = Vm::new(&module("(module (memory 1))"), &Options::default()).expect("a VM");
    // SAFETY: the place is stable while the VM lives.
    assert_eq!(unsafe { (*unlinked.memory()).current_length }, 0);
}
