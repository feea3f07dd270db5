//! The built module against the Envoy that it is for: `make test` builds the one and
//! fetches the other.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn module() -> PathBuf {
    std::env::var_os("RUST_WASM_MODULE").map_or_else(
        || root().join("target/release/librust_wasm_module.so"),
        PathBuf::from,
    )
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

/// Besides the hooks there is the C ABI of the runtime, which Cargo exports from every
/// crate. Envoy loads modules with `RTLD_LOCAL`, so nobody sees it.
fn hooks() -> BTreeSet<String> {
    let mut exports = symbols(&module(), "--defined-only");
    exports.retain(|it| it.starts_with(PREFIX));
    exports
}

#[test]
fn the_module_exports_hooks_and_no_callbacks() {
    let exports = hooks();
    let is_hook = |it: &String| it.starts_with(&format!("{PREFIX}on_"));
    assert!(exports.iter().all(is_hook), "{exports:?}");
    assert!(exports.contains("envoy_dynamic_module_on_program_init"));
}

/// Every hook is one guarded call, or does nothing.
#[test]
fn every_hook_is_guarded() {
    let source = include_str!("../src/envoy/hooks.rs");
    let (guarded, unused) = source
        .split_once("macro_rules! unused_hooks")
        .expect("it is there");
    let exports = guarded.matches("#[unsafe(no_mangle)]").count();
    let dense: String = guarded.split_whitespace().collect();
    // `with_filter` has the one guard that is not a hook's own.
    let guards = dense.matches("guard(\"").count() + dense.matches("with_filter(\"").count();
    assert_eq!(exports, guards);
    let unused = unused.matches("fn envoy_dynamic_module_on_").count();
    assert_eq!(exports + unused, hooks().len());
}
