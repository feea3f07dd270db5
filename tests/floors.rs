//! Each crate's house has floors: a file uses what lies below it, never above.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// From the top down. Files of one floor do not use each other. A folder without an entry for
/// its files is one.
type Floors = &'static [&'static [&'static str]];

/// By the folder of their sources.
const HOUSES: [(&str, Floors); 3] = [
    ("src", RUNTIME),
    ("proxy-wasm-host/src", HOST),
    ("dynamic-module/src", MODULE),
];

const RUNTIME: Floors = &[
    &["lib"],
    &["ffi"],
    // While a plugin runs.
    &["run/mod"],
    &["run/link"],
    &["run/call"],
    &["run/vm"],
    &["run/instance"],
    &["run/tables", "run/memory", "run/libcalls"],
    &["run/stack", "run/trap", "run/bulk"],
    &["run/arch", "run/backtrace", "run/interrupt"],
    // Once, when it is loaded.
    &["load/mod"],
    &["load/module"],
    &["load/cache"],
    &["load/serialize"],
    &["load/engine", "load/admission"],
    &["load/checks", "load/imports", "load/initial", "load/names"],
    &["load/image", "load/flags", "load/reduced"],
    // What all may use.
    &["options", "signature", "variables"],
    &["limits"],
    &["error"],
    // Of the process, so that loading sees to them too: before a neighbour has its own.
    &["run/signals"],
    &[
        "run/guest_stack",
        "run/code",
        "run/payload",
        "run/stable",
        "run/ticks",
    ],
    &["run/sync"],
];

const HOST: Floors = &[
    &["lib"],
    &["start"],
    &["hostcalls"],
    &["lifecycle"],
    &["vm"],
    &["pending"],
    &["context"],
    &["program", "exports", "shared", "grpc"],
    &["host_function", "sections", "proto", "proxy"],
    &["pairs", "clock"],
    &["abi"],
];

const MODULE: Floors = &[
    &["lib"],
    // The HTTP filter.
    &["http/mod"],
    &["http/call_hooks"],
    &["http/hooks"],
    &["http/stream"],
    &["http/properties"],
    &["http/filter"],
    &[
        "http/filter_config",
        "http/local_reply",
        "http/body",
        "http/attributes",
    ],
    &["http/envoy_filter", "http/stream_times"],
    // What extension points share.
    &["envoy/mod"],
    &["envoy/plugin"],
    &["envoy/scope"],
    &["envoy/guard"],
    &["envoy/thread"],
    &[
        "envoy/metrics",
        "envoy/ticks",
        "envoy/calls",
        "envoy/footprint",
    ],
    &["envoy/config_handle"],
    &["envoy/inbox", "envoy/log"],
    &["envoy/abi"],
    &["config"],
];

/// The longest file of this project's own code, in lines.
const MAX_LINES: usize = 400;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// On which floor each unit is.
fn places(floors: Floors) -> BTreeMap<&'static str, usize> {
    let mut places = BTreeMap::new();
    for (floor, units) in floors.iter().enumerate() {
        for unit in *units {
            let twice = places.insert(*unit, floor);
            assert!(twice.is_none(), "{unit} stands twice");
        }
    }
    places
}

/// The unit of a path such as `run/stack/parked`: the first part of it with a place, or
/// else what its folder's own file has.
fn unit<'a>(path: &str, places: &BTreeMap<&'a str, usize>) -> Option<&'a str> {
    let find = |path: &str| places.get_key_value(path).map(|it| *it.0);
    let ends = path.match_indices('/').map(|it| it.0).chain([path.len()]);
    let own = || find(&format!("{}/mod", path.split('/').next()?));
    ends.filter_map(|end| find(&path[..end]))
        .next()
        .or_else(own)
}

/// What a file names that begins with `crate::`, as `run/call/RawFunc`.
fn used(code: &str) -> Vec<String> {
    let mut paths = Vec::new();
    let lines = code.lines().filter(|it| !it.trim_start().starts_with("//"));
    let code: String = lines.flat_map(|it| [it, "\n"]).collect();
    for (at, word) in code.match_indices("crate::") {
        let rest = &code[at + word.len()..];
        let end = rest.find(|it: char| !it.is_ascii_alphanumeric() && it != '_' && it != ':');
        paths.push(rest[..end.unwrap_or(rest.len())].replace("::", "/"));
    }
    paths
}

#[test]
fn every_file_uses_what_lies_below_it() {
    for (folder, floors) in HOUSES {
        let places = places(floors);
        let source = root().join(folder);
        let mut seen = Vec::new();
        let mut wrong = Vec::new();
        for file in files(&source) {
            let name = file
                .strip_prefix(&source)
                .expect("below")
                .with_extension("");
            let name = name.to_str().expect("text").to_owned();
            if name.split('/').any(|it| it == "tests") {
                continue;
            }
            let here = unit(&name, &places).unwrap_or_else(|| panic!("{name} has no floor"));
            seen.push(here);
            let floor = places[here];
            for path in used(&fs::read_to_string(&file).expect("text")) {
                // What the crate shows to all is named by its own files where it lives.
                let there = unit(&path, &places).unwrap_or("lib");
                if there != here && places[there] <= floor {
                    wrong.push(format!("{name} uses {path}, which is not below it"));
                }
            }
        }
        assert!(wrong.is_empty(), "{folder}: {wrong:#?}");
        for unit in places.keys() {
            assert!(
                seen.contains(unit),
                "{folder}: {unit} has a floor, but is not there"
            );
        }
    }
}

#[test]
fn files_are_found_by_their_paths() {
    let places = places(RUNTIME);
    let unit = |path| unit(path, &places);
    assert_eq!(unit("run/stack/parked"), Some("run/stack"));
    assert_eq!(unit("run/warm"), Some("run/mod"));
    assert_eq!(unit("error"), Some("error"));
    assert_eq!(unit("error/Error"), Some("error"));
    assert_eq!(unit("Error"), None);
    let code = "use crate::run::stack::{self};\n// crate::not\nlet x = crate::warm();";
    assert_eq!(used(code), ["run/stack/", "warm"]);
}

#[test]
fn no_file_is_too_long_to_be_read() {
    for folder in ["src", "cpp", "proxy-wasm-host/src", "dynamic-module/src"] {
        for file in files(&root().join(folder)) {
            let lines = fs::read_to_string(&file).expect("text").lines().count();
            assert!(lines <= MAX_LINES, "{}: {lines} lines", file.display());
        }
    }
}
