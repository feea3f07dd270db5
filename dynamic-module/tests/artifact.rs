//! The built module against the Envoy that it is for: `make test` builds the one and
//! fetches the other.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn module() -> PathBuf {
    let folder = std::env::var_os("RUST_WASM_MODULE_DIR");
    folder
        .map_or_else(|| root().join("target/release"), PathBuf::from)
        .join("librust_wasm_module.so")
}

/// `$ENVOY_BIN`, or the one in `target/envoy-venv`.
fn envoy() -> PathBuf {
    if let Some(path) = std::env::var_os("ENVOY_BIN") {
        return path.into();
    }
    let lib = root().join("target/envoy-venv/lib");
    let entries = std::fs::read_dir(&lib).unwrap_or_else(|e| panic!("{}: {e}", lib.display()));
    let binary = |entry: std::io::Result<std::fs::DirEntry>| {
        entry
            .ok()
            .map(|it| it.path().join("site-packages/envoy/_bin/envoy"))
    };
    entries
        .filter_map(binary)
        .find(|it| it.exists())
        .unwrap_or_else(|| panic!("no Envoy in {}; set ENVOY_BIN", lib.display()))
}

fn symbols(file: &Path, which: &str) -> BTreeSet<String> {
    assert!(file.exists(), "{} is missing", file.display());
    let output = Command::new("nm")
        .args(["--dynamic", "--format=posix", which])
        .arg(file)
        .output()
        .expect("nm runs");
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let name = |line: &str| line.split([' ', '@']).next().map(str::to_owned);
    text.lines().filter_map(name).collect()
}

const PREFIX: &str = "envoy_dynamic_module_";

#[test]
fn envoy_has_every_callback_that_the_module_needs() {
    let mut needed = symbols(&module(), "--undefined-only");
    needed.retain(|it| it.starts_with(PREFIX));
    assert!(needed.len() > 40, "{needed:?}");
    let has = symbols(&envoy(), "--defined-only");
    let missing: Vec<_> = needed.difference(&has).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

fn hooks() -> BTreeSet<String> {
    symbols(&module(), "--defined-only")
}

#[test]
fn the_module_exports_hooks_and_nothing_else() {
    let exports = hooks();
    let is_hook = |it: &String| it.starts_with(&format!("{PREFIX}on_"));
    assert!(exports.iter().all(is_hook), "{exports:?}");
    assert!(exports.contains("envoy_dynamic_module_on_program_init"));
}

/// `dlclose` leaves it mapped: its signal handlers and thread-locals outlive its use.
#[test]
fn the_module_stays_when_it_is_closed() {
    let output = Command::new("readelf")
        .args(["--dynamic", "--wide"])
        .arg(module())
        .env("LC_ALL", "C")
        .output()
        .expect("readelf runs");
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let flags = text.lines().find(|it| it.contains("(FLAGS_1)"));
    assert!(flags.is_some_and(|it| it.contains("NODELETE")), "{text}");
}

/// Every hook is one guarded call, or does nothing.
#[test]
fn every_hook_is_guarded() {
    let (guarded, unused) = include_str!("../src/http/hooks.rs")
        .split_once("macro_rules! unused_hooks")
        .expect("it is there");
    let sources = [guarded, include_str!("../src/http/call_hooks.rs")].concat();
    let exports = sources.matches("#[unsafe(no_mangle)]").count();
    let dense: String = sources.split_whitespace().collect();
    // The guards of `with_filter` and `with_config` have no name of their own.
    let ways = [
        "guard(\"",
        "guard_last(\"",
        "with_filter(\"",
        "with_config(\"",
    ];
    let guards: usize = ways.iter().map(|it| dense.matches(it).count()).sum();
    assert_eq!(exports, guards);
    let unused = unused.matches("fn envoy_dynamic_module_on_").count();
    assert_eq!(exports + unused, hooks().len());
}
