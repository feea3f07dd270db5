//! Backtraces: frames, offsets, names and where they come from, demangling.

use std::time::Duration;

use rust_wasm::{Code, FunctionNames, Module, Options, Source};

use crate::support::random::Random;
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

/// What led there cannot be unwound from within a prologue.
#[test]
fn an_overflow_names_the_function_that_it_was_in() {
    let guest = Guest::new(
        r#"(module
          (func $deeper (call $deeper) (call $deeper))
          (func (export "outer") (call $deeper)))"#,
    );
    for _ in 0..3 {
        let error = guest.fails(Code::Trap, "outer", &[]);
        assert_eq!(error.message(), "wasm trap: call stack exhausted");
        assert_eq!(names(error.backtrace()), ["deeper"]);
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
        (
            "_ZN4llvm12hash_combineIJNS_14MachineOperandEjmEEENS_9hash_codeEDpRKT_",
            "llvm::hash_code llvm::hash_combine<llvm::MachineOperand, unsigned int, unsigned long>\
             (llvm::MachineOperand const&, unsigned int const&, unsigned long const&)",
        ),
        (
            "_ZZN3abs9from_baseIPKcEEvvENKUlRKT_E0_clIiEEDaS5_",
            "_ZZN3abs9from_baseIPKcEEvvENKUlRKT_E0_clIiEEDaS5_",
        ),
        (
            "_ZZN3abs9from_baseIPKcEEvvENKUliE_clEi",
            "abs::from_base<char const*>()::{lambda(int)#1}::operator()(int) const",
        ),
        (
            "_ZTSN3optI4ModeLb0EEUlRKS0_E_E",
            "typeinfo name for opt<Mode, false>::{lambda(Mode const&)#1}",
        ),
        (
            "_ZN3sys16AddSignalHandlerEPFvPvES0_",
            "sys::AddSignalHandler(void (*)(void*), void*)",
        ),
        (
            "_ZN4llvm10make_errorINS_5ErrorEJNS_4errcERA30_KcEEES1_DpOT0_",
            "llvm::Error llvm::make_error<llvm::Error, llvm::errc, char const (&) [30]>\
             (llvm::errc&&, char const (&) [30])",
        ),
        (
            "_ZNK5clang15DeclarationName11getAsStringB5cxx11Ev",
            "clang::DeclarationName::getAsString[abi:cxx11]() const",
        ),
        (
            "_ZN12_GLOBAL__N_117io_error_categoryD0Ev.cold",
            "(anonymous namespace)::io_error_category::~io_error_category() [clone .cold]",
        ),
        (
            "_ZNKRSt7__cxx1118basic_stringstreamIcSaIcEE3strEv",
            "std::__cxx11::basic_stringstream<char, std::allocator<char> >::str() const &",
        ),
        (
            "_ZStplIcSaIcEENSt7__cxx1112basic_stringIT_T0_EEOS5_c",
            "std::__cxx11::basic_string<char, std::allocator<char> > \
             std::operator+<char, std::allocator<char> >\
             (std::__cxx11::basic_string<char, std::allocator<char> >&&, char)",
        ),
        (
            "_ZThn16_N4Root6onTickEv",
            "non-virtual thunk to Root::onTick()",
        ),
        ("_ZN7ContextcvbEv", "Context::operator bool()"),
        (
            "_ZN3setILi5ELj6ELin7EEC2Em",
            "set<5, 6u, -7>::set(unsigned long)",
        ),
        ("_ZN1AaSEOS_", "A::operator=(A&&)"),
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
    let exponential = "_Z".to_owned() + &"ptdsMtiSaIgsO".repeat(16);
    for name in [
        exponential,
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
        let before = cpu_time();
        let line = shown(&name);
        // A module is compiled, too.
        assert!(
            cpu_time() - before < Duration::from_millis(100),
            "{name:.100}"
        );
        assert!(
            line.len() <= 1 << 10,
            "{} bytes from {}",
            line.len(),
            name.len()
        );
    }
}

/// What this thread has spent of the processor's time: other tests do not count.
fn cpu_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: plain call on a local.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(result, 0);
    Duration::new(
        u64::try_from(time.tv_sec).expect("not negative"),
        u32::try_from(time.tv_nsec).expect("below a second"),
    )
}

/// What C++'s and Rust's mangled names are made of, ambiguous beginnings above all.
const PARTS: &[&str] = &[
    "1a", "3foo", "99a", "N", "E", "I", "J", "X", "L", "P", "R", "O", "F", "K", "A1_", "M", "S_",
    "S0_", "S1_", "SZ_", "T_", "T0_", "Dp", "DpT_", "DpS_", "v", "i", "c", "St", "Sa", "Ss", "Z",
    "Ul", "Ut_", "C1", "D0", "cv", "li", "pt", "ds", "Mt", "iS", "aI", "gs", "sr", "dt", "DT",
    "Do", "Tv0_n1_", "Th_", "Tc", "B1x", "IiE", "IJiiiiE", "IiiiiE", "FiiE", "PFvvE", "u1a", "nw",
    "_", "0", "B_", "B0_", "B1_", "Nv", "NvC1a", "C0", "T", "Y", "X0", "TB_E", "RB_", "Fv", "G_",
    "h", "p", "Kb1_",
];

#[test]
fn names_made_to_be_dear_cost_a_backtrace_little() {
    const DEPTH: u32 = 64;
    let functions: String = (1..DEPTH)
        .map(|index| format!("(func (call {}) (nop))\n", index - 1))
        .collect();
    let text = format!(r#"(module (func (unreachable)) {functions} (export "run" (func 63)))"#);
    let bytecode = binary(&text);
    let mut random = Random::new(1);
    let mut part = move || PARTS[random.below(PARTS.len())];
    for round in 0..200_usize {
        let mut names = FunctionNames::default();
        for index in 0..DEPTH {
            let starts = ["_Z", "_ZN", "_Z1fI", "_Z1fIJ", "_R", "_RNv", "_RINvC1a1b"];
            let mut name = starts[index as usize % starts.len()].to_owned();
            for length in [120, 260, 2000] {
                let cycle: String = (0..1 + index % 5).map(|_| part()).collect();
                let missing = length * (1 + round % 2) / 2;
                name.push_str(&cycle.repeat(missing.saturating_sub(name.len()) / cycle.len()));
            }
            names.add(index, name.as_bytes());
        }
        let source = Source {
            bytecode: &bytecode,
            names,
            ..Source::default()
        };
        let module = Module::load(source, &Options::default()).expect("loads");
        let guest = Guest::of(&module, &Options::default()).link();
        let before = cpu_time();
        let error = guest.fails(Code::Trap, "run", &[]);
        let spent = cpu_time() - before;
        // Ten times what is promised; one such name alone took cpp_demangle minutes.
        assert!(
            spent < Duration::from_millis(50),
            "{spent:?} in round {round}"
        );
        assert!(error.backtrace().len() <= 16 << 10);
        assert!(error.backtrace().lines().count() > 10);
    }
}

/// What a trap at a depth of two costs, with these names in the name section.
fn cost_with_names(section: &[u8]) -> (Duration, String) {
    let mut bytecode =
        binary(r#"(module (func (unreachable)) (func (export "run") (call 0) (nop)))"#);
    bytecode.push(0);
    bytecode.extend(number(5 + section.len()));
    bytecode.extend(b"\x04name");
    bytecode.extend(section);
    let source = Source {
        bytecode: &bytecode,
        ..Source::default()
    };
    let module = Module::load(source, &Options::default()).expect("loads");
    let guest = Guest::of(&module, &Options::default()).link();
    let before = cpu_time();
    let error = guest.fails(Code::Trap, "run", &[]);
    (cpu_time() - before, error.backtrace().to_owned())
}

/// In LEB128.
fn number(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 127 {
        bytes.push(u8::try_from(number & 127).expect("seven bits") | 128);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).expect("seven bits"));
    bytes
}

/// A part of the name section.
fn names_part(id: u8, contents: &[u8]) -> Vec<u8> {
    [&[id][..], &number(contents.len()), contents].concat()
}

#[test]
fn name_sections_that_are_large_cost_a_backtrace_little() {
    let name = |index: usize, name: &[u8]| [&number(index)[..], &number(name.len()), name].concat();
    let huge = vec![b'x'; 20 << 20];
    let one = [&[2][..], &name(0, &huge), &name(1, b"end")].concat();
    let many = [
        &number(1_000_000)[..],
        &name(0, b"first"),
        &name(9, b"").repeat(999_999),
    ]
    .concat();
    for (section, innermost) in [
        (names_part(1, &one), &huge[..1024]),
        (names_part(1, &many), b"first"),
        // Of the module: each frame would have a copy.
        (
            [
                names_part(0, &[&number(huge.len())[..], &huge].concat()),
                names_part(1, b"\x01\x00\x01f"),
            ]
            .concat(),
            b"f",
        ),
    ] {
        let (spent, backtrace) = cost_with_names(&section);
        assert!(spent < Duration::from_millis(50), "{spent:?}");
        let innermost = std::str::from_utf8(innermost).expect("ASCII");
        assert_eq!(names(&backtrace)[0], innermost);
    }
}

#[test]
fn a_name_section_is_read_as_far_as_it_goes() {
    for (section, expected) in [
        (&b""[..], "function[0]"),
        (b"\x01", "function[0]"),
        (b"\x01\x02\x01\x00", "function[0]"),
        (b"\x01\x06\x02\x00\x01a\x01\x09", "a"),
        (b"\x01\xff\xff\xff\xff\x7f", "function[0]"),
        (b"\x02\x00\x01\x04\x01\x00\x01b", "b"),
    ] {
        let (_, backtrace) = cost_with_names(section);
        assert_eq!(names(&backtrace)[0], expected, "{section:?}");
    }
}

#[test]
fn a_backtrace_is_at_most_16_kb() {
    let options = Options {
        max_backtrace_frames: u32::MAX,
        ..Options::default()
    };
    let guest = Guest::with(RECURSIVE, &options);
    for depth in [3000_u32, 15_000] {
        let error = guest.fails(Code::Trap, "run", &vals![depth]);
        let backtrace = error.backtrace();
        assert!(backtrace.len() <= 16 << 10, "{}", backtrace.len());
        let shown = backtrace.lines().count() - 1;
        let last = backtrace.lines().last().expect("lines");
        if depth == 3000 {
            let more = 3001 - shown;
            assert_eq!(last.trim(), format!("... {more} more"));
        } else {
            assert!(
                last.contains("... at least ") && last.ends_with(" more"),
                "{last}"
            );
        }
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
