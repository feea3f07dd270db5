//! Bytecode that nobody's compiler made: whatever it is, loading, linking and calling give
//! an answer or an error.

use std::time::Duration;

use rust_wasm::{Code, FunctionType, Module, Options, Type, Value, Vm};

use crate::support::{binary, failure, random::Random};

/// Small modules with some of everything.
const SEEDS: &[&str] = &[
    r#"(module (memory (export "memory") 1) (data (i32.const 8) "hello")
      (func (export "f") (param i32) (result i32)
        (loop $l (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $l (local.get 0)))
        (i32.load (local.get 0))))"#,
    r#"(module (table $t 4 funcref) (elem (i32.const 0) $a $b)
      (func $a (result i32) (i32.const 1)) (func $b (result i32) (call $a))
      (func (export "f") (param i32) (result i32)
        (call_indirect $t (result i32) (local.get 0))))"#,
    r#"(module (global $g (mut i64) (i64.const 5)) (global i32 (i32.add (i32.const 1) (i32.const 2)))
      (func $start (global.set $g (i64.add (global.get $g) (i64.const 1)))) (start $start)
      (func (export "f") (param f64 f32) (result f64)
        (f64.add (local.get 0) (f64.promote_f32 (local.get 1)))))"#,
    r#"(module (tag $t (param i32 i64))
      (func $thrower (throw $t (i32.const 1) (i64.const 2)))
      (func (export "f") (result i32 i64)
        (block $h (result i32 i64) (try_table (catch $t $h) (call $thrower)) (unreachable))))"#,
    r#"(module (memory 1 2) (data $d "abc") (table $t 1 10 externref)
      (func (export "f") (param i32) (result i32)
        (memory.init $d (local.get 0) (i32.const 0) (i32.const 3)) (data.drop $d)
        (memory.copy (i32.const 0) (local.get 0) (i32.const 8))
        (i32.add (table.grow $t (ref.null extern) (local.get 0)) (memory.grow (i32.const 1)))))"#,
    r#"(module (memory 1) (func (export "f") (param i32) (result i32)
      (i8x16.extract_lane_s 3 (i8x16.shuffle 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 31
        (v128.load (local.get 0)) (i32x4.splat (local.get 0))))))"#,
    r#"(module (func $f (export "f") (param i32) (result i32)
      (block $a (block $b (block $c (br_table $a $b $c (local.get 0)))
        (return (call $f (i32.const 1)))) (return (i32.const 2))) (i32.const 3)))"#,
];

fn options() -> Options {
    Options {
        call_deadline: Some(Duration::from_millis(5)),
        max_memory_bytes: 16 << 20,
        max_table_elements: 1000,
        guest_stack_bytes: 64 << 10,
        ..Options::default()
    }
}

/// Loads, links and calls all that can be called. How far it came: 0 is refused, 1 loaded,
/// 2 linked, 3 called something.
fn try_everything(bytecode: &[u8]) -> usize {
    let module = match Module::compile(bytecode) {
        Ok(module) => module,
        Err(error) => {
            let expected = [Code::InvalidModule, Code::Link, Code::Resource];
            assert!(expected.contains(&error.code()), "{error}");
            return 0;
        }
    };
    let vm = Vm::new(&module, &options()).expect("a VM");
    if let Err(error) = vm.link("hostile") {
        let expected = [Code::Link, Code::Trap, Code::Interrupt, Code::Resource];
        assert!(expected.contains(&error.code()), "{error}");
        return 1;
    }
    let Some(ty) = module.exported_function("f").cloned() else {
        return 2;
    };
    let number = |it: &Type| matches!(it, Type::I32 | Type::I64 | Type::F32 | Type::F64);
    if !ty.params().iter().all(number) {
        return 2;
    }
    call(&vm, &ty);
    3
}

fn call(vm: &Vm, ty: &FunctionType) {
    let func = vm.func("f", ty).expect("its type").expect("exported");
    for argument in [0_u64, 1, 65535, u64::MAX] {
        let slots = ty.params().len().max(ty.results().len());
        let mut values = vec![Value::from(argument); slots];
        if let Err(error) = vm.call(func, &mut values) {
            let expected = [Code::Trap, Code::Interrupt];
            assert!(expected.contains(&error.code()), "{error}");
        }
    }
}

/// Counts how far each got, so that a test that exercises nothing is noticed.
fn mutations(seed: u64, rounds: usize, mutate: impl Fn(&mut Random, &mut Vec<u8>)) -> [usize; 4] {
    let mut random = Random::new(seed);
    let seeds: Vec<Vec<u8>> = SEEDS.iter().map(|it| binary(it)).collect();
    let mut reached = [0; 4];
    for round in 0..rounds {
        let mut bytecode = seeds[round % seeds.len()].clone();
        mutate(&mut random, &mut bytecode);
        reached[try_everything(&bytecode)] += 1;
    }
    reached
}

#[test]
fn the_seeds_are_good() {
    for seed in SEEDS {
        assert_eq!(try_everything(&binary(seed)), 3, "{seed}");
    }
}

#[test]
fn flipped_bits() {
    let reached = mutations(2, 3000, |random, bytecode| {
        for _ in 0..=random.below(2) {
            let at = random.below(bytecode.len() - 8) + 8;
            bytecode[at] ^= 1 << random.below(8);
        }
    });
    assert!(reached[0] > 300 && reached[3] > 300, "{reached:?}");
}

#[test]
fn changed_bytes() {
    let reached = mutations(3, 3000, |random, bytecode| {
        let at = random.below(bytecode.len() - 8) + 8;
        bytecode[at] = random.byte();
    });
    assert!(reached[0] > 300 && reached[3] > 100, "{reached:?}");
}

#[test]
fn inserted_removed_and_repeated_bytes() {
    let reached = mutations(4, 3000, |random, bytecode| {
        let at = random.below(bytecode.len());
        match random.below(3) {
            0 => bytecode.insert(at, random.byte()),
            1 => drop(bytecode.remove(at)),
            _ => {
                let end = (at + random.below(20)).min(bytecode.len());
                let part = bytecode[at..end].to_vec();
                bytecode.splice(at..at, part);
            }
        }
    });
    assert!(reached[0] > 1000, "{reached:?}");
}

#[test]
fn code_bytes_in_any_order() {
    // Keeps the sections and mixes within the last quarter, where the code is.
    let reached = mutations(5, 3000, |random, bytecode| {
        let from = bytecode.len() * 3 / 4;
        let size = bytecode.len() - from;
        if size > 1 {
            bytecode.swap(from + random.below(size), from + random.below(size));
        }
    });
    assert!(reached[0] > 100 && reached[3] > 100, "{reached:?}");
}

#[test]
fn every_truncation() {
    for seed in SEEDS {
        let bytecode = binary(seed);
        for size in 0..bytecode.len() {
            try_everything(&bytecode[..size]);
        }
    }
}

#[test]
fn random_bytes() {
    let mut random = Random::new(6);
    for round in 0..3000 {
        let mut bytecode = if round % 2 == 0 {
            b"\0asm\x01\0\0\0".to_vec()
        } else {
            Vec::new()
        };
        for _ in 0..random.below(200) {
            bytecode.push(random.byte());
        }
        try_everything(&bytecode);
    }
}

#[test]
fn sections_that_promise_more_than_there_is() {
    for section in 0..14_u8 {
        for count in [&b"\xff\xff\xff\xff\x0f"[..], b"\x80\x80\x04", b"\xff\x7f"] {
            let mut bytecode = b"\0asm\x01\0\0\0".to_vec();
            bytecode.push(section);
            bytecode.push(u8::try_from(count.len()).expect("short"));
            bytecode.extend_from_slice(count);
            failure(Code::InvalidModule, Module::compile(&bytecode).map(drop));
            let size = bytecode.len() - count.len() - 1;
            bytecode.truncate(size);
            bytecode.extend_from_slice(count);
            failure(Code::InvalidModule, Module::compile(&bytecode).map(drop));
        }
    }
}

#[test]
fn the_flag_of_the_interrupt_checks_is_out_of_reach() {
    // The runtime appends globals to the module's own.
    for global in 0..4 {
        for body in ["(global.set {} (i32.const 1))", "(drop (global.get {}))"] {
            let body = body.replace("{}", &global.to_string());
            let text = format!("(module (func (export \"f\") {body}))");
            failure(
                Code::InvalidModule,
                Module::compile(&binary(&text)).map(drop),
            );
        }
        let exported = format!("(module (export \"g\" (global {global})))");
        failure(
            Code::InvalidModule,
            Module::compile(&binary(&exported)).map(drop),
        );
        let constant = format!("(module (global i32 (global.get {global})))");
        failure(
            Code::InvalidModule,
            Module::compile(&binary(&constant)).map(drop),
        );
        let offset = format!("(module (memory 1) (data (global.get {global}) \"\"))");
        failure(
            Code::InvalidModule,
            Module::compile(&binary(&offset)).map(drop),
        );
    }
}

#[test]
fn deep_and_wide_code() {
    let nested = |count: usize, open: &str, close: &str| {
        let body = open.repeat(count) + &close.repeat(count);
        format!("(module (func (export \"f\") {body}))")
    };
    let drops = "(drop (i32.const 1))".repeat(50_000);
    let jumps = " 0".repeat(50_000);
    let nested_adds = "(i32.const 1) ".repeat(5000) + &"i32.add ".repeat(4999);
    for text in [
        nested(5000, "block ", "end "),
        nested(5000, "loop ", "end "),
        nested(2000, "i32.const 0 if ", "end "),
        format!("(module (func (export \"f\") {drops}))"),
        format!("(module (func (export \"f\") (br_table{jumps} (i32.const 0))))"),
        format!("(module (func (export \"f\") (result i32) {nested_adds}))"),
        format!(
            "(module (func (export \"f\") (local{})))",
            " i64".repeat(49_999)
        ),
        format!("(module {})", "(global i32 (i32.const 0))".repeat(50_000)),
        format!("(module {})", "(func)".repeat(5_000)),
        format!("(module {})", "(table 1 funcref)".repeat(100)),
    ] {
        try_everything(&binary(&text));
    }
}
