//! Options from environment variables.

use rust_wasm::{Code, Options};

use crate::child::alone;
use crate::support::{failure, says};

#[test]
fn options_come_from_the_environment() {
    let variables = [
        ("RUST_WASM_MAX_MEMORY_BYTES", "131072"),
        ("RUST_WASM_CALL_DEADLINE_MS", "1500"),
        ("RUST_WASM_CACHE_DIR", "/nonexistent/cache"),
    ];
    alone(
        "environment::options_come_from_the_environment",
        &variables,
        || {
            let options = Options::from_env().expect("they parse");
            assert_eq!(options.max_memory_bytes, 131_072);
            assert_eq!(options.call_deadline.map(|it| it.as_millis()), Some(1500));
            // Read once.
            // SAFETY: no other thread of this process uses the environment.
            unsafe { std::env::set_var("RUST_WASM_MAX_MEMORY_BYTES", "1") };
            assert_eq!(
                Options::from_env().expect("they parse").max_memory_bytes,
                131_072
            );
        },
    );
}

#[test]
fn unknown_variables_are_told_once() {
    let variables = [
        ("RUST_WASM_NO_SUCH", "1"),
        ("RUST_WASM_MAX_MEMORY_BYTES", "131072"),
    ];
    alone(
        "environment::unknown_variables_are_told_once",
        &variables,
        || {
            let warning = rust_wasm::take_warning().expect("a warning");
            assert!(
                warning.ends_with("no effect: RUST_WASM_NO_SUCH"),
                "{warning}"
            );
            assert_eq!(rust_wasm::take_warning(), None);
        },
    );
}

#[test]
fn a_file_of_limits_that_is_wrong_is_told_again_and_again() {
    let file = std::env::temp_dir().join(format!("rust-wasm-{}.toml", std::process::id()));
    std::fs::write(&file, "[vm.a]\n\nmax_memory = 5\n").expect("writable");
    let path = file.to_str().expect("a temporary folder's name is text");
    alone(
        "environment::a_file_of_limits_that_is_wrong_is_told_again_and_again",
        &[("RUST_WASM_LIMITS_FILE", path)],
        || {
            let file = std::env::var("RUST_WASM_LIMITS_FILE").expect("set by the parent");
            for _ in 0..2 {
                let error = failure(Code::InvalidArgument, Options::from_env().map(drop));
                says(
                    &error,
                    &format!("{file}: line 3: unknown field `max_memory`"),
                );
            }
        },
    );
    // In the child it has another name, and is not there.
    let _ = std::fs::remove_file(&file);
}

#[test]
fn a_bad_variable_is_told_again_and_again() {
    let variables = [("RUST_WASM_GUEST_STACK_BYTES", "plenty")];
    alone(
        "environment::a_bad_variable_is_told_again_and_again",
        &variables,
        || {
            for _ in 0..2 {
                let error = failure(Code::InvalidArgument, Options::from_env().map(drop));
                says(&error, "RUST_WASM_GUEST_STACK_BYTES");
            }
        },
    );
}
