//! The names of this project's environment variables, and a warning about others that
//! look like them: a misspelt limit is one that is not there.

use std::ffi::OsString;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::list;

const PREFIX: &str = "RUST_WASM_";

/// Every variable that begins with [`PREFIX`], whoever reads it.
const KNOWN: [&str; 16] = [
    // The runtime: see `Options`.
    "RUST_WASM_CACHE_DIR",
    "RUST_WASM_CACHE_MAX_BYTES",
    "RUST_WASM_CALL_DEADLINE_MS",
    "RUST_WASM_GUEST_STACK_BYTES",
    "RUST_WASM_LIMITS_FILE",
    "RUST_WASM_MAX_BACKTRACE_FRAMES",
    "RUST_WASM_MAX_EXCEPTION_BYTES",
    "RUST_WASM_MAX_MEMORY_BYTES",
    "RUST_WASM_MAX_TABLE_ELEMENTS",
    // The dynamic module.
    "RUST_WASM_NODE",
    // Builds and tests, which may leave them set.
    "RUST_WASM_ARCHIVE",
    "RUST_WASM_CARGO_FLAGS",
    "RUST_WASM_MODULE_DIR",
    "RUST_WASM_MODULE_SYMBOLS",
    "RUST_WASM_TEST_CHILD",
    "RUST_WASM_TEST_RUNNER",
];

/// A warning that names the environment variables which begin with `RUST_WASM_` and mean
/// nothing. The process's first caller gets it, to log it where the proxy logs; there is
/// none for any other.
pub fn take_warning() -> Option<String> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::Relaxed) {
        return None;
    }
    warning_about(std::env::vars_os().map(|(name, _)| name))
}

fn warning_about(names: impl Iterator<Item = OsString>) -> Option<String> {
    let mut unknown: Vec<_> = names
        .map(|it| it.to_string_lossy().into_owned())
        .filter(|it| it.starts_with(PREFIX) && !KNOWN.contains(&it.as_str()))
        .collect();
    if unknown.is_empty() {
        return None;
    }
    unknown.sort();
    Some(format!(
        "environment variables that the WebAssembly runtime does not know have no effect: {}",
        list(unknown.into_iter(), 1000, |it| it)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    fn warning(names: &[&str]) -> Option<String> {
        warning_about(names.iter().map(OsString::from))
    }

    #[test]
    fn a_warning_names_what_is_unknown() {
        assert_eq!(warning(&["PATH", "RUST_LOG", "WASM", "XRUST_WASM_A"]), None);
        assert_eq!(warning(&KNOWN), None);
        let text = warning(&["RUST_WASM_NO_SUCH", "RUST_WASM_CACHE_DIR", "RUST_WASM_"]);
        let text = text.expect("a warning");
        assert!(
            text.ends_with("no effect: RUST_WASM_, RUST_WASM_NO_SUCH"),
            "{text}"
        );
        // As the system has them: not always text.
        use std::os::unix::ffi::OsStringExt as _;
        let name = OsString::from_vec(b"RUST_WASM_\xff".to_vec());
        assert!(warning_about([name].into_iter()).is_some());
    }

    /// What a text names that begins with the prefix.
    fn named_in(text: &str) -> impl Iterator<Item = &str> {
        text.match_indices(PREFIX).filter_map(|(start, _)| {
            // Not the C ABI's `RUST_WASM_H_` and `rust_wasm_…`, nor a part of another name.
            let before = text[..start].chars().next_back();
            if before.is_some_and(|it| it.is_ascii_alphanumeric() || it == '_') {
                return None;
            }
            let rest = &text[start..];
            let end = rest.find(|it: char| !it.is_ascii_uppercase() && it != '_');
            Some(&rest[..end.unwrap_or(rest.len())])
        })
    }

    /// Every text of the project, but not this list.
    fn read(folder: &Path, names: &mut BTreeSet<String>) {
        let skipped = ["target", ".git", "node_modules", "variables.rs"];
        for entry in std::fs::read_dir(folder).expect("readable") {
            let entry = entry.expect("readable");
            let name = entry.file_name();
            if skipped.iter().any(|it| name == *it) {
                continue;
            }
            let path = entry.path();
            if entry.file_type().expect("readable").is_dir() {
                read(&path, names);
            } else if let Ok(text) = std::fs::read_to_string(&path) {
                names.extend(named_in(&text).map(str::to_owned));
            }
        }
    }

    #[test]
    fn the_list_is_what_code_and_documents_name() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut named = BTreeSet::new();
        read(root, &mut named);
        // Not variables: the C ABI's constants, and names that tests make up.
        let header = std::fs::read_to_string(root.join("cpp/rust_wasm.h")).expect("readable");
        let code = header.lines().filter(|it| !it.starts_with("//"));
        let constants: BTreeSet<&str> = code.flat_map(named_in).collect();
        let expected: BTreeSet<&str> = KNOWN.into_iter().collect();
        let named: BTreeSet<&str> = named
            .iter()
            .map(String::as_str)
            .filter(|it| expected.contains(it) || !constants.contains(it))
            .filter(|it| !it.contains("_NO_SUCH") && *it != PREFIX)
            .collect();
        assert_eq!(named, expected);
        // Operators read of theirs in one of these.
        let documents = ["README.md", "dynamic-module/README.md", "ARCHITECTURE.md"]
            .map(|it| std::fs::read_to_string(root.join(it)).expect("readable"))
            .concat();
        for variable in &KNOWN[..9] {
            assert!(documents.contains(&format!("`{variable}`")), "{variable}");
        }
    }
}
