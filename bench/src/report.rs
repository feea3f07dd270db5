//! What is printed, and written as JSON.

use std::fmt::Write as _;

/// A unit's name and its size in nanoseconds or bytes.
#[derive(Clone, Copy)]
pub struct Unit(&'static str, f64);

pub const NS: Unit = Unit("ns", 1.0);
pub const US: Unit = Unit("us", 1e3);
pub const MS: Unit = Unit("ms", 1e6);
pub const KB: Unit = Unit("kB", 1e3);

pub struct Report {
    header: String,
    measures: String,
}

impl Report {
    pub fn new() -> Self {
        let header = header();
        println!("{header}");
        Self {
            header,
            measures: String::new(),
        }
    }

    /// Ours and wasmtime's, in nanoseconds or bytes.
    pub fn compare(&mut self, name: &str, unit: Unit, ours: f64, peer: f64) {
        self.add(name, unit, ours, "peer", peer);
    }

    /// Ours and something else's.
    pub fn add(&mut self, name: &str, unit: Unit, ours: f64, other_name: &str, other: f64) {
        let Unit(unit, size) = unit;
        let (ours, other) = (ours / size, other / size);
        let ratio = ours / other;
        println!("{name} ours={ours:.2}{unit} {other_name}={other:.2}{unit} ratio={ratio:.3}");
        // JSON has no infinity: a page or none is what one VM may take.
        let ratio = if ratio.is_finite() {
            format!("{ratio:.4}")
        } else {
            "null".to_owned()
        };
        let separator = if self.measures.is_empty() { "" } else { "," };
        write!(
            self.measures,
            "{separator}\n    {{\"name\": {name:?}, \"unit\": {unit:?}, \"ours\": {ours:.3}, \
             {other_name:?}: {other:.3}, \"ratio\": {ratio}}}"
        )
        .expect("a string takes all");
    }

    pub fn write_json(&self) {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/bench.json");
        let json = format!(
            "{{\n  \"header\": {:?},\n  \"measures\": [{}\n  ]\n}}\n",
            self.header, self.measures
        );
        std::fs::write(path, json).expect("the report is written");
    }
}

/// The versions and the machine.
fn header() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown CPU", |it| it.trim_start_matches(['\t', ' ', ':']));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!(
        "# ours {}, peer wasmtime {}; {} {}, {model}, {cores} cores",
        crate::ours::version(),
        locked_version("wasmtime"),
        std::env::consts::OS,
        std::env::consts::ARCH,
    )
}

/// The version that Cargo.lock names.
fn locked_version(package: &str) -> &'static str {
    let lock = include_str!("../Cargo.lock");
    let (_, rest) = lock
        .split_once(&format!("name = \"{package}\"\nversion = \""))
        .expect("the package is locked");
    rest.split('"').next().unwrap_or_default()
}
