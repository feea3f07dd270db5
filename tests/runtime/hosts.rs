//! Host functions: every shape, definition rules, start functions.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::rc::Rc;

use rust_wasm::{Code, FunctionType, Module, Options, Type, Vm};

use crate::support::{Guest, Val, binary, failure, host, module, says};

/// A guest whose `run` calls `env.host` with constants: parameter `n` is `n + 1`, floats
/// with a half added.
fn caller(params: &[&str], result: Option<&str>) -> String {
    let mut text = String::from("(module (import \"env\" \"host\" (func $host");
    for ty in params {
        let _ = write!(text, " (param {ty})");
    }
    let result = result.map_or(String::new(), |ty| format!(" (result {ty})"));
    let _ = write!(
        text,
        "{result})) (func (export \"run\"){result} (call $host"
    );
    for (index, ty) in params.iter().enumerate() {
        let half = if ty.starts_with('f') { ".5" } else { "" };
        let _ = write!(text, " ({ty}.const {}{half})", index + 1);
    }
    text.push_str(")))");
    text
}

macro_rules! count_to {
    ($($name:ident)*) => {{
        let seen = Rc::new(RefCell::new(Vec::<u32>::new()));
        let log = seen.clone();
        let params: Vec<&str> = vec![$({ let _ = stringify!($name); "i32" }),*];
        let guest = Guest::unlinked(&caller(&params, None))
            .host("host", move |$($name: u32),*| {
                log.borrow_mut().clear();
                $(log.borrow_mut().push($name);)*
            })
            .link();
        guest.results("run", &[]);
        let expected: Vec<u32> = (1..).take(params.len()).collect();
        assert_eq!(*seen.borrow(), expected);
    }};
}

#[test]
fn zero_to_sixteen_integers() {
    count_to!();
    count_to!(a);
    count_to!(a b);
    count_to!(a b c);
    count_to!(a b c d);
    count_to!(a b c d e);
    count_to!(a b c d e f);
    count_to!(a b c d e f g);
    count_to!(a b c d e f g h);
    count_to!(a b c d e f g h i);
    count_to!(a b c d e f g h i j);
    count_to!(a b c d e f g h i j k);
    count_to!(a b c d e f g h i j k l);
    count_to!(a b c d e f g h i j k l m);
    count_to!(a b c d e f g h i j k l m n);
    count_to!(a b c d e f g h i j k l m n o);
    count_to!(a b c d e f g h i j k l m n o p);
}

#[test]
#[allow(clippy::too_many_arguments, reason = "that is the point")]
fn more_floats_than_registers() {
    let guest = Guest::unlinked(&caller(&["f64"; 16], Some("f64")))
        .host(
            "host",
            |a: f64,
             b: f64,
             c: f64,
             d: f64,
             e: f64,
             f: f64,
             g: f64,
             h: f64,
             i: f64,
             j: f64,
             k: f64,
             l: f64,
             m: f64,
             n: f64,
             o: f64,
             p: f64| {
                let all = [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p];
                all.iter()
                    .zip(1..)
                    .map(|(value, weight)| value * f64::from(weight))
                    .sum::<f64>()
            },
        )
        .link();
    let expected: f64 = (1..=16).map(|n| (f64::from(n) + 0.5) * f64::from(n)).sum();
    assert_eq!(guest.call("run", &[]), expected.into());
}

#[test]
#[allow(clippy::too_many_arguments, reason = "that is the point")]
fn integers_and_floats_mixed_beyond_the_registers() {
    let types = ["i32", "f32", "i64", "f64"];
    let params: Vec<&str> = (0..16).map(|index| types[index % 4]).collect();
    let guest = Guest::unlinked(&caller(&params, Some("i64")))
        .host(
            "host",
            |a: u32,
             b: f32,
             c: u64,
             d: f64,
             e: u32,
             f: f32,
             g: u64,
             h: f64,
             i: u32,
             j: f32,
             k: u64,
             l: f64,
             m: u32,
             n: f32,
             o: u64,
             p: f64| {
                let integers = [a.into(), c, e.into(), g, i.into(), k, m.into(), o];
                assert_eq!(integers, [1, 3, 5, 7, 9, 11, 13, 15]);
                let floats = [b.into(), d, f.into(), h, j.into(), l, n.into(), p];
                assert!(
                    floats
                        .iter()
                        .eq([2.5, 4.5, 6.5, 8.5, 10.5, 12.5, 14.5, 16.5].iter())
                );
                u64::MAX - 1
            },
        )
        .link();
    assert_eq!(guest.call("run", &[]), Val::I64(u64::MAX - 1));
}

#[test]
fn eight_floats_stay_in_registers_while_integers_spill() {
    let mut params = vec!["f32"; 8];
    params.extend(["i64"; 7]);
    let guest = Guest::unlinked(&caller(&params, Some("f32")))
        .host(
            "host",
            |a: f32,
             _: f32,
             _: f32,
             _: f32,
             _: f32,
             _: f32,
             _: f32,
             h: f32,
             _: u64,
             _: u64,
             _: u64,
             _: u64,
             _: u64,
             n: u64,
             o: u64| {
                assert_eq!((n, o), (14, 15));
                a + h
            },
        )
        .link();
    assert_eq!(guest.call("run", &[]), Val::from(10.0_f32));
}

#[test]
fn every_result_type() {
    let run = |ty: &str| Guest::unlinked(&caller(&[], Some(ty)));
    assert_eq!(
        run("i32").host("host", || u32::MAX).link().call("run", &[]),
        Val::I32(u32::MAX)
    );
    assert_eq!(
        run("i64").host("host", || u64::MAX).link().call("run", &[]),
        Val::I64(u64::MAX)
    );
    assert_eq!(
        run("f32").host("host", || -0.0_f32).link().call("run", &[]),
        Val::from(-0.0_f32)
    );
    assert_eq!(
        run("f64").host("host", || 1.25_f64).link().call("run", &[]),
        Val::from(1.25)
    );
}

#[test]
fn a_host_function_sees_the_memory_as_the_guest_left_it() {
    let guest = Guest::unlinked(
        r#"(module
          (import "env" "host" (func $host))
          (memory (export "memory") 1)
          (func (export "run") (result i32)
            (i32.store (i32.const 8) (i32.const 7))
            (drop (memory.grow (i32.const 1)))
            (call $host)
            (i32.load (i32.const 65536))))"#,
    );
    let me = guest.pointer();
    let guest = guest
        .host("host", move || {
            // SAFETY: the guest waits, and its memory has two pages.
            unsafe {
                let memory = &*me.vm().memory();
                assert_eq!(memory.current_length, 2 << 16);
                assert_eq!(memory.base.add(8).read(), 7);
                memory.base.add(65536).write(99);
            }
        })
        .link();
    assert_eq!(guest.i32("run", &[]), 99);
}

#[test]
fn an_import_is_found_by_both_names() {
    let module = module(
        r#"(module
          (import "env" "a" (func (param i32)))
          (import "other" "a" (func (param i64)))
          (import "env" "b" (func (result f32)))
          (import "" "" (func)))"#,
    );
    assert_eq!(module.import("env", "a"), Some(0));
    assert_eq!(module.import("other", "a"), Some(1));
    assert_eq!(module.import("env", "b"), Some(2));
    assert_eq!(module.import("", ""), Some(3));
    for absent in [
        ("env", "c"),
        ("other", "b"),
        ("env", ""),
        ("", "a"),
        ("enva", ""),
    ] {
        assert_eq!(module.import(absent.0, absent.1), None, "{absent:?}");
    }
    let second = &module.imports()[1];
    assert_eq!(
        (second.module.as_str(), second.name.as_str()),
        ("other", "a")
    );
    assert_eq!(second.ty, FunctionType::new([Type::I64], []));
}

#[test]
fn one_definition_serves_all_imports_of_a_name() {
    let guest = Guest::unlinked(
        r#"(module
          (import "env" "f" (func $a (result i32)))
          (import "env" "f" (func $b (result i32)))
          (func (export "run") (result i32) (i32.add (call $a) (call $b))))"#,
    )
    .host("f", || 21_u32)
    .link();
    assert_eq!(guest.i32("run", &[]), 42);
}

#[test]
fn imports_of_one_name_and_two_types_cannot_both_be_defined() {
    let module = module(
        r#"(module
          (import "env" "f" (func (result i32)))
          (import "env" "f" (func (param i64))))"#,
    );
    let vm = Vm::new(&module, &Options::default()).expect("a VM");
    let ty = FunctionType::new([], [Type::I32]);
    extern "C" fn host(_: *mut ()) -> u32 {
        0
    }
    // SAFETY: `host` has this type.
    let result = unsafe { vm.define(0, &ty, host as *const (), std::ptr::null_mut()) };
    let error = failure(Code::Link, result);
    says(
        &error,
        "env.f is () -> (i32), but the module imports it as (i64) -> ()",
    );
}

#[test]
fn the_last_definition_counts() {
    let guest = Guest::unlinked(&caller(&[], Some("i32")))
        .host("host", || 1_u32)
        .host("host", || 2_u32)
        .link();
    assert_eq!(guest.i32("run", &[]), 2);
}

#[test]
fn wrong_definitions_are_refused() {
    let module = module(r#"(module (import "env" "f" (func (param i32))))"#);
    extern "C" fn host(_: *mut ()) {}
    let define = |import: u32, ty: &FunctionType| {
        let vm = Vm::new(&module, &Options::default()).expect("a VM");
        // SAFETY: it is never called.
        unsafe { vm.define(import, ty, host as *const (), std::ptr::null_mut()) }
    };
    define(0, &FunctionType::new([Type::I32], [])).expect("right");
    let error = failure(Code::Link, define(0, &FunctionType::new([Type::I64], [])));
    says(
        &error,
        "host function env.f is (i64) -> (), but the module imports it as (i32) -> ()",
    );
    failure(Code::InvalidArgument, define(1, &FunctionType::new([], [])));
    failure(
        Code::InvalidArgument,
        define(u32::MAX, &FunctionType::new([], [])),
    );
}

#[test]
fn what_no_host_function_can_be_is_refused_at_load() {
    let seventeen = format!("(param{})", " i32".repeat(17));
    for ty in [
        "(result i32 i32)",
        "(param v128)",
        "(param externref)",
        &seventeen,
    ] {
        let text = format!(r#"(module (import "env" "f" (func {ty})))"#);
        let error = failure(Code::Link, Module::compile(&binary(&text)).map(drop));
        says(&error, "the import env.f: a host function cannot be ");
    }
    module(&format!(
        r#"(module (import "env" "f" (func (param{}) (result f64))))"#,
        " i64".repeat(16)
    ));
}

#[test]
fn all_missing_imports_are_named() {
    let guest = Guest::unlinked(
        r#"(module
          (import "env" "here" (func))
          (import "env" "gone" (func (param i32 f64) (result i64)))
          (import "wasi" "lost" (func)))"#,
    )
    .host("here", || ());
    let error = failure(Code::Link, guest.try_link());
    says(&error, "env.gone (i32, f64) -> (i64), wasi.lost () -> ()");
    assert!(!error.message().contains("here"));
}

#[test]
fn of_many_missing_imports_a_message_names_some() {
    let imports: String = (0..3000)
        .map(|index| format!("(import \"env\" \"function_{index}\" (func (param i32 i64)))"))
        .collect();
    let guest = Guest::unlinked(&format!("(module {imports})"));
    let error = failure(Code::Link, guest.try_link());
    let message = error.message();
    assert!(message.len() <= 4096, "{}", message.len());
    says(&error, "env.function_0 (i32, i64) -> (), env.function_1 ");
    let (shown, more) = message.split_once(" … and ").expect("it says so");
    let more: usize = more
        .strip_suffix(" more")
        .and_then(|it| it.parse().ok())
        .expect("a number");
    assert_eq!(shown.matches("env.").count() + more, 3000);
    // One that is long enough for all.
    let name = "x".repeat(90_000);
    let guest = Guest::unlinked(&format!(r#"(module (import "env" "{name}" (func)))"#));
    assert!(failure(Code::Link, guest.try_link()).message().len() <= 4096);
}

#[test]
fn the_start_function_may_call_the_host_and_be_an_import() {
    let calls = Rc::new(RefCell::new(0));
    let count = calls.clone();
    let guest = Guest::unlinked(
        r#"(module
          (import "env" "host" (func $host (param i32)))
          (global $g (mut i32) (i32.const 0))
          (func $start (call $host (i32.const 5)) (global.set $g (i32.const 1)))
          (start $start)
          (func (export "started") (result i32) (global.get $g)))"#,
    )
    .host("host", move |value: u32| *count.borrow_mut() += value)
    .link();
    assert_eq!((*calls.borrow(), guest.i32("started", &[])), (5, 1));

    let count = calls.clone();
    let _imported = Guest::unlinked(r#"(module (import "env" "host" (func $host)) (start $host))"#)
        .host("host", move || *count.borrow_mut() += 100)
        .link();
    assert_eq!(*calls.borrow(), 105);
}

#[test]
fn the_start_function_may_call_back_through_the_host() {
    let guest = Guest::unlinked(
        r#"(module
          (import "env" "host" (func $host (result i32)))
          (global $g (mut i32) (i32.const 0))
          (func $start (global.set $g (call $host)))
          (start $start)
          (func (export "seven") (result i32) (i32.const 7))
          (func (export "g") (result i32) (global.get $g)))"#,
    );
    let me = guest.pointer();
    let guest = guest
        .host("host", move || me.i32("seven", &[]).expect("returns"))
        .link();
    assert_eq!(guest.i32("g", &[]), 7);
}

#[test]
fn host_functions_of_several_modules() {
    let module = module(
        r#"(module
          (import "env" "f" (func $a (result i32)))
          (import "wasi_snapshot_preview1" "f" (func $b (result i32)))
          (func (export "run") (result i32) (i32.sub (call $a) (call $b))))"#,
    );
    let guest = Guest::of(&module, &Options::default());
    host::define(guest.vm(), "env", "f", || 9_u32);
    host::define(guest.vm(), "wasi_snapshot_preview1", "f", || 4_u32);
    assert_eq!(guest.link().i32("run", &[]), 5);
}
