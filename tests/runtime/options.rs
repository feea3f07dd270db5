//! Options from environment variables. `from_variables` takes them from a list here; that
//! `from_env` reads the environment is for `process`.

use std::path::Path;
use std::time::Duration;

use rust_wasm::{Code, Options, Result};

use crate::support::{failure, says};

fn parse(variables: &[(&str, &str)]) -> Result<Options> {
    Options::from_variables(|name| {
        let found = variables.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| value.into())
    })
}

#[test]
fn defaults() {
    let options = parse(&[]).expect("no variables");
    assert_eq!(options, Options::default());
    assert_eq!(options.max_memory_bytes, 1 << 30);
    assert_eq!(options.max_table_elements, 1_000_000);
    assert_eq!(options.max_backtrace_frames, 64);
    assert_eq!(options.guest_stack_bytes, 1 << 20);
    assert_eq!((options.call_deadline, options.cache_dir), (None, None));
    assert_eq!(options.cache_max_bytes, 1 << 30);
}

#[test]
fn every_variable_has_its_effect() {
    let options = parse(&[
        ("RUST_WASM_MAX_MEMORY_BYTES", "123456789012"),
        ("RUST_WASM_MAX_TABLE_ELEMENTS", " 5 "),
        ("RUST_WASM_MAX_BACKTRACE_FRAMES", "6"),
        ("RUST_WASM_GUEST_STACK_BYTES", "70000"),
        ("RUST_WASM_CALL_DEADLINE_MS", "250"),
        ("RUST_WASM_CACHE_DIR", "/var/cache/wasm"),
        ("RUST_WASM_CACHE_MAX_BYTES", "1000"),
    ])
    .expect("they parse");
    assert_eq!(options.max_memory_bytes, 123_456_789_012);
    assert_eq!(options.max_table_elements, 5);
    assert_eq!(options.max_backtrace_frames, 6);
    assert_eq!(options.guest_stack_bytes, 70_000);
    assert_eq!(options.call_deadline, Some(Duration::from_millis(250)));
    assert_eq!(options.cache_max_bytes, 1000);
    assert_eq!(
        options.cache_dir.as_deref(),
        Some(Path::new("/var/cache/wasm"))
    );
}

#[test]
fn empty_variables_and_a_deadline_of_zero_count_as_absent() {
    let options = parse(&[
        ("RUST_WASM_MAX_MEMORY_BYTES", ""),
        ("RUST_WASM_CALL_DEADLINE_MS", "0"),
        ("RUST_WASM_CACHE_DIR", ""),
    ]);
    assert_eq!(options.expect("they parse"), Options::default());
}

#[test]
fn a_variable_that_does_not_parse_is_named() {
    for (name, value) in [
        ("RUST_WASM_MAX_MEMORY_BYTES", "1GiB"),
        ("RUST_WASM_MAX_MEMORY_BYTES", "-1"),
        ("RUST_WASM_MAX_MEMORY_BYTES", "18446744073709551616"),
        ("RUST_WASM_MAX_TABLE_ELEMENTS", "4294967296"),
        ("RUST_WASM_MAX_BACKTRACE_FRAMES", "many"),
        ("RUST_WASM_GUEST_STACK_BYTES", "0x10000"),
        ("RUST_WASM_CALL_DEADLINE_MS", "1.5"),
        ("RUST_WASM_CACHE_MAX_BYTES", "1G"),
    ] {
        let error = failure(Code::InvalidArgument, parse(&[(name, value)]));
        says(&error, name);
        says(&error, value);
    }
}

#[test]
fn a_variable_that_is_no_text_is_not_taken_for_absent() {
    use std::os::unix::ffi::OsStringExt as _;

    let parse = |name: &'static str| {
        Options::from_variables(|it| {
            (it == name).then(|| std::ffi::OsString::from_vec(b"/5\xff".to_vec()))
        })
    };
    let error = failure(Code::InvalidArgument, parse("RUST_WASM_CALL_DEADLINE_MS"));
    says(&error, "RUST_WASM_CALL_DEADLINE_MS");
    let options = parse("RUST_WASM_CACHE_DIR").expect("any bytes are a path");
    let dir = options.cache_dir.expect("set");
    assert_eq!(dir.as_os_str().as_encoded_bytes(), b"/5\xff");
}

#[test]
fn a_value_out_of_range_is_refused() {
    for value in ["0", "65535", "67108865"] {
        let error = failure(
            Code::InvalidArgument,
            parse(&[("RUST_WASM_GUEST_STACK_BYTES", value)]),
        );
        says(&error, &format!("{value} bytes is out of range"));
    }
    for value in ["65536", "67108864"] {
        parse(&[("RUST_WASM_GUEST_STACK_BYTES", value)]).expect("in range");
    }
}
