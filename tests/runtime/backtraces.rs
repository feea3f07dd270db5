//! Backtraces: frames, offsets, names and where they come from, demangling.

use rust_wasm::{Code, FunctionNames, Module, Options, Source};

use crate::support::{Guest, binary, failure, module};

/// `outer` → `middle` → `inner`, which traps.
const THREE: &str = r#"(module $three
  (func $inner (unreachable))
  (func $middle (nop) (call $inner) (nop))
  (func $outer (export "outer") (nop) (call $middle) (nop)))"#;

/// The names in a backtrace, innermost first.
fn names(backtrace: &str) -> Vec<&str> {
    backtrace
        .lines()
        .map(|line| line.split_once(" - ").map_or(line, |(_, name)| name))
        .collect()
}

#[test]
fn a_line_per_frame_with_index_offset_and_name() {
    let error = Guest::new(THREE).fails(Code::Trap, "outer", &[]);
    let bytecode = binary(THREE);
    assert_eq!(names(error.backtrace()), ["inner", "middle", "outer"]);
    for (index, line) in error.backtrace().lines().enumerate() {
        let (prefix, _) = line.split_once(" - ").expect("a name");
        let (number, offset) = prefix.split_once(":  0x").expect("an offset");
        assert_eq!(number, format!("{index:>3}"));
        let offset = usize::from_str_radix(offset, 16).expect("hexadecimal");
        // It points at the instruction in the module: `unreachable` or `call`.
        let opcode = bytecode[offset];
        assert_eq!(opcode, if index == 0 { 0x00 } else { 0x10 }, "{line}");
    }
}

#[test]
fn a_function_without_a_name_shows_its_index() {
    let text = r#"(module
      (import "env" "host" (func))
      (func (unreachable))
      (func (export "outer") (call 1) (nop)))"#;
    let guest = Guest::unlinked(text).host("host", || ()).link();
    let error = guest.fails(Code::Trap, "outer", &[]);
    assert_eq!(names(error.backtrace()), ["function[1]", "function[2]"]);
}

/// A guest of `THREE` whose loader gives the functions these names.
fn named(names: &[(u32, &[u8])]) -> Guest {
    let mut map = FunctionNames::default();
    for (index, name) in names {
        map.add(*index, name);
    }
    let source = Source {
        bytecode: &binary(THREE),
        names: map,
        ..Source::default()
    };
    let module = Module::load(source, &Options::default()).expect("loads");
    Guest::of(&module, &Options::default()).link()
}

#[test]
fn the_loaders_names_replace_the_modules() {
    let guest = named(&[(0, b"zero"), (2, b"two"), (9, b"nobody")]);
    let error = guest.fails(Code::Trap, "outer", &[]);
    assert_eq!(names(error.backtrace()), ["zero", "function[1]", "two"]);
}

/// What a backtrace shows for a function of this name.
fn shown(name: impl AsRef<[u8]>) -> String {
    let error = named(&[(0, name.as_ref())]).fails(Code::Trap, "outer", &[]);
    let mut lines = error.backtrace().lines();
    let first = lines.next().expect("a frame").to_owned();
    let others = lines.count();
    assert_eq!(others, 2, "one line per frame: {:?}", error.backtrace());
    first.split_once(" - ").expect("a name").1.to_owned()
}

#[test]
fn a_name_that_is_no_text_is_shown_as_far_as_it_is() {
    assert_eq!(shown(b"a\xffb"), "a\u{fffd}b");
}

#[test]
fn mangled_names_are_made_readable() {
    for (mangled, readable) in [
        (
            "_ZN4core9panicking5panic17h0123456789abcdefE",
            "core::panicking::panic",
        ),
        ("_RNvCs1234_7mycrate3foo", "mycrate::foo"),
        ("_Z3fooi", "foo(int)"),
        (
            "_ZN7Context9onRequestEjb",
            "Context::onRequest(unsigned int, bool)",
        ),
        (
            "_ZNSt6vectorIiSaIiEE9push_backEOi",
            "std::vector<int, std::allocator<int> >::push_back(int&&)",
        ),
        ("main.(*plugin).OnTick", "main.(*plugin).OnTick"),
        ("assembly/index/onTick", "assembly/index/onTick"),
        ("_Zmalformed", "_Zmalformed"),
        ("_Z", "_Z"),
        ("_R", "_R"),
        ("", ""),
    ] {
        assert_eq!(shown(mangled), readable);
    }
}

#[test]
fn a_name_cannot_break_its_line() {
    for name in [
        "two\nlines",
        "\n  9:  0x1 - forged",
        "carriage\rreturn",
        "\u{1b}[31mred",
        "nul\0",
    ] {
        let line = shown(name);
        assert!(
            !line.contains(char::is_control),
            "{name:?} shows as {line:?}"
        );
    }
}

#[test]
fn no_name_makes_demangling_endless_or_large() {
    // A<int, int>, then A<that, that>, and so on: each argument doubles the text.
    let doubling = |times: usize| {
        let mut name = "_Z1f1AIiiE".to_owned();
        for index in 0..times {
            let last = format!("S{}_", base36(index));
            name.push_str(&format!("S_I{last}{last}E"));
        }
        name
    };
    let mut tuples = "_RMC0".to_owned() + &"T".repeat(20);
    tuples.push_str("aB1_");
    for name in [
        doubling(20),
        doubling(40),
        doubling(80),
        doubling(400),
        tuples,
        "_Z".to_owned() + &"P".repeat(4000) + "i",
        "_Z1f".to_owned() + &"P".repeat(4000) + "i",
        "_ZN".to_owned() + &"1a".repeat(2000) + "E",
        "_R".to_owned() + &"N".repeat(100_000),
        "_RNvC1a".to_owned() + &"F".repeat(10_000),
        "long".repeat(100_000),
    ] {
        let line = shown(&name);
        assert!(
            line.len() <= 1 << 20,
            "{} bytes from {}",
            line.len(),
            name.len()
        );
    }
}

fn base36(mut number: usize) -> String {
    let mut text = String::new();
    loop {
        text.insert(
            0,
            char::from(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[number % 36]),
        );
        number /= 36;
        if number == 0 {
            return text;
        }
    }
}

/// `run` recurses as deep as its argument, then traps.
const RECURSIVE: &str = r#"(module
  (func $r (export "run") (param i32)
    (if (i32.eqz (local.get 0)) (then (unreachable)))
    (call $r (i32.sub (local.get 0) (i32.const 1)))
    (nop)))"#;

#[test]
fn the_number_of_frames_is_limited() {
    let module = module(RECURSIVE);
    for (limit, depth) in [(64, 1000), (1, 3), (5, 4), (5, 5), (0, 3)] {
        let options = Options {
            max_backtrace_frames: limit,
            ..Options::default()
        };
        let guest = Guest::of(&module, &options).link();
        let error = guest.fails(Code::Trap, "run", &vals![depth]);
        let frames = names(error.backtrace())
            .iter()
            .filter(|it| **it == "r")
            .count();
        let expected = (depth + 1).min(limit);
        assert_eq!(
            u32::try_from(frames).expect("few"),
            expected,
            "{limit} {depth}"
        );
        assert_eq!(
            error.backtrace().contains(" more"),
            depth + 1 > limit,
            "{limit} {depth}"
        );
    }
}

#[test]
fn a_nested_calls_frames_are_not_in_the_outer_backtrace() {
    let text = r#"(module
      (import "env" "host" (func $host))
      (func $inner (export "inner") (unreachable))
      (func $outer (export "outer") (call $host) (unreachable)))"#;
    let guest = Guest::unlinked(text);
    let me = guest.pointer();
    let guest = guest
        .host("host", move || {
            let error = failure(Code::Trap, me.try_call("inner", &[]));
            assert_eq!(names(error.backtrace())[0], "inner");
        })
        .link();
    let error = guest.fails(Code::Trap, "outer", &[]);
    assert_eq!(names(error.backtrace()), ["outer"]);
}

#[test]
fn a_host_traps_backtrace_begins_at_the_caller_of_the_host() {
    let text = r#"(module
      (import "env" "host" (func $host))
      (func $caller (call $host) (nop))
      (func $outer (export "outer") (call $caller) (nop)))"#;
    let guest = Guest::unlinked(text);
    let me = guest.pointer();
    let guest = guest.host("host", move || me.vm().trap("no")).link();
    let error = guest.fails(Code::HostTrap, "outer", &[]);
    assert_eq!(names(error.backtrace()), ["caller", "outer"]);
}

#[test]
fn precompiled_code_has_the_same_backtrace_and_without_bytecode_no_names() {
    let bytecode = binary(THREE);
    let compiled = module(THREE);
    let code = compiled.serialize().expect("serializes");
    let trace = |module: &Module| {
        let guest = Guest::of(module, &Options::default()).link();
        let error = guest.fails(Code::Trap, "outer", &[]);
        error.backtrace().to_owned()
    };
    let load = |bytecode| {
        let source = Source {
            bytecode,
            precompiled: &code,
            ..Source::default()
        };
        let module = Module::load(source, &Options::default()).expect("loads");
        assert!(module.is_precompiled());
        trace(&module)
    };
    let expected = trace(&compiled);
    assert_eq!(load(&bytecode), expected);
    let anonymous = expected
        .replace("inner", "function[0]")
        .replace("middle", "function[1]")
        .replace("outer", "function[2]");
    assert_eq!(load(&[]), anonymous);
}
