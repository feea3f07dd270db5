//! This runtime, at its C ABI, and wasmtime, at its Rust API, side by side in one
//! process. `make bench` runs everything; `make bench ONLY="crossing memory"` some of it.

mod compute;
mod crossing;
mod harness;
mod instantiate;
mod load;
mod memory;
mod ours;
mod peer;
mod plugins;
mod report;
mod scratch;

use report::Report;

type Group = (&'static str, fn(&mut Report));

const GROUPS: [Group; 5] = [
    ("crossing", crossing::run),
    ("instantiate", instantiate::run),
    ("memory", memory::run),
    ("compute", compute::run),
    ("load", load::run),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, engine, count, code] = &arguments[..]
        && flag == memory::CHILD
    {
        return memory::child(engine, count.parse().expect("a count"), code.as_ref());
    }
    for name in &arguments {
        assert!(
            GROUPS.iter().any(|(group, _)| group == name),
            "no group of measures is called {name}"
        );
    }
    let mut report = Report::new();
    for (name, run) in GROUPS {
        if arguments.is_empty() || arguments.iter().any(|it| it == name) {
            run(&mut report);
        }
    }
    report.write_json();
}
