//! Precompiled modules: round trips, and refusal of everything else.

use rust_wasm::{Code, Module, Options, Source};

use crate::support::{Guest, binary, failure, random::Random, says};

/// Has some of everything that a precompiled module must carry.
const RICH: &str = r#"(module $rich
  (import "env" "host" (func $host (param i32) (result i32)))
  (memory (export "memory") 2)
  (global $g (mut i32) (i32.const 7))
  (table $t funcref (elem $double))
  (data (i32.const 3) "data")
  (data $passive "passive")
  (tag $tag (param i32))
  (func $start (global.set $g (call $host (global.get $g))))
  (start $start)
  (func $double (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
  (func (export "g") (result i32) (global.get $g))
  (func (export "double") (param i32) (result i32)
    (call_indirect $t (param i32) (result i32) (local.get 0) (i32.const 0)))
  (func (export "init") (result i32)
    (memory.init $passive (i32.const 100) (i32.const 0) (i32.const 7))
    (i32.load8_u (i32.const 100)))
  (func (export "catch") (result i32)
    (block $handler (result i32)
      (try_table (catch $tag $handler) (throw $tag (i32.const 9)))
      (unreachable)))
  (func $trap (export "trap") (unreachable))
  (func (export "spin") (loop $l (br $l))))"#;

fn load(bytecode: &[u8], precompiled: &[u8]) -> rust_wasm::Result<Module> {
    let source = Source {
        bytecode,
        precompiled,
        ..Source::default()
    };
    Module::load(source, &Options::default())
}

fn serialized(bytecode: &[u8]) -> Vec<u8> {
    let module = Module::compile(bytecode).expect("compiles");
    module.serialize().expect("serializes")
}

fn assert_rich(module: &Module) {
    let guest = Guest::of(module, &Options::default())
        .host("host", |n: u32| n + 1)
        .link();
    assert_eq!(guest.i32("g", &[]), 8, "the start function ran once");
    assert_eq!(guest.i32("double", &vals![21_u32]), 42);
    assert_eq!(guest.i32("init", &[]), u32::from(b'p'));
    assert_eq!(guest.i32("catch", &[]), 9);
    assert_eq!(guest.read(0, 8), b"\0\0\0data\0");
    let error = guest.fails(Code::Trap, "trap", &[]);
    assert_eq!(error.backtrace().lines().count(), 1);
    let terminator = guest.terminator();
    std::thread::scope(|scope| {
        scope.spawn(move || terminator.terminate());
        guest.fails(Code::Interrupt, "spin", &[]);
    });
}

#[test]
fn a_precompiled_module_does_all_that_the_compiled_one_does() {
    let bytecode = binary(RICH);
    let code = serialized(&bytecode);
    let compiled = Module::compile(&bytecode).expect("compiles");
    assert!(!compiled.is_precompiled());
    assert_rich(&compiled);
    for source in [&bytecode[..], &[]] {
        let module = load(source, &code).expect("loads");
        assert!(module.is_precompiled());
        assert_eq!(module.precompiled_rejection(), "");
        assert_eq!(module.import("env", "host"), Some(0));
        assert_rich(&module);
    }
}

#[test]
fn serializing_again_gives_working_code() {
    let bytecode = binary(RICH);
    let first = load(&bytecode, &serialized(&bytecode)).expect("loads");
    let again = first.serialize().expect("serializes");
    assert_rich(&load(&bytecode, &again).expect("loads"));
}

#[test]
fn without_its_bytecode_a_module_cannot_be_serialized() {
    let module = load(&[], &serialized(&binary("(module)"))).expect("loads");
    failure(Code::InvalidState, module.serialize());
}

#[test]
fn code_of_other_bytecode_is_refused() {
    let bytecode = binary(r#"(module (func (export "f") (result i32) (i32.const 1)))"#);
    let other = serialized(&binary(
        r#"(module (func (export "f") (result i32) (i32.const 2)))"#,
    ));
    let module = load(&bytecode, &other).expect("compiles instead");
    assert!(!module.is_precompiled());
    assert!(module.precompiled_rejection().contains("other bytecode"));
    assert_eq!(
        Guest::of(&module, &Options::default()).link().i32("f", &[]),
        1
    );
}

#[test]
fn every_truncation_is_refused() {
    let bytecode = binary("(module)");
    let code = serialized(&bytecode);
    for size in 1..code.len() {
        let error = failure(Code::Incompatible, load(&[], &code[..size]));
        says(&error, "precompiled code not used: ");
    }
    // With bytecode, it is compiled instead and tells why.
    let module = load(&bytecode, &code[..code.len() - 1]).expect("compiles instead");
    assert!(!module.is_precompiled());
    assert!(!module.precompiled_rejection().is_empty());
}

#[test]
fn every_flipped_bit_and_changed_byte_is_refused() {
    let bytecode = binary(RICH);
    let code = serialized(&bytecode);
    let mut random = Random::new(1);
    for _ in 0..20_000 {
        let mut damaged = code.clone();
        let at = random.below(damaged.len());
        damaged[at] ^= 1 << random.below(8);
        failure(Code::Incompatible, load(&[], &damaged));
    }
    for _ in 0..5_000 {
        let mut damaged = code.clone();
        for _ in 0..=random.below(20) {
            let at = random.below(damaged.len());
            damaged[at] = random.byte();
        }
        if damaged != code {
            failure(Code::Incompatible, load(&[], &damaged));
        }
    }
}

#[test]
fn what_is_no_precompiled_module_is_refused() {
    let longer = [serialized(&binary("(module)")), vec![0]].concat();
    for junk in [&b"x"[..], &[0; 56], &[0xff; 4096], &binary(RICH), &longer] {
        failure(Code::Incompatible, load(&[], junk));
    }
}

#[test]
fn nothing_at_all_is_an_empty_module() {
    let error = failure(Code::InvalidModule, load(&[], &[]));
    says(&error, "empty");
}

#[test]
fn bad_bytecode_with_good_code_is_not_run() {
    let code = serialized(&binary("(module)"));
    failure(Code::InvalidModule, load(b"\0asm\x01\0\0\0junk", &code));
}
