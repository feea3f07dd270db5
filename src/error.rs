//! The one error type of the runtime.

use std::fmt;

/// Result of a runtime operation.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an operation failed. The values are stable and equal to
/// `rust_wasm_code_t` of the C header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Code {
    /// An argument that can never be right: null handle, bad index, unknown type.
    InvalidArgument = 1,
    /// Wrong order of calls, or the VM has failed before.
    InvalidState = 2,
    /// Malformed or unsupported bytecode.
    InvalidModule = 3,
    /// Precompiled code that this build must not run.
    Incompatible = 4,
    /// Missing import, or an import or export of the wrong type.
    Link = 5,
    /// A limit of the VM or of the operating system.
    Resource = 6,
    /// The guest trapped.
    Trap = 7,
    /// The VM was terminated, or the call's deadline passed.
    Interrupt = 8,
    /// A host function asked for a trap.
    HostTrap = 9,
    /// A bug in this library, contained.
    Panic = 10,
}

/// A failure: a stable code, a one-line message, and the guest's backtrace if guest
/// code was running.
#[derive(Clone, Debug)]
pub struct Error(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    code: Code,
    message: String,
    backtrace: String,
}

impl Error {
    /// Makes an error without a backtrace.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self::with_backtrace(code, message, String::new())
    }

    /// Makes an error with a formatted guest backtrace (see [`Error::backtrace`]).
    pub fn with_backtrace(code: Code, message: impl Into<String>, backtrace: String) -> Self {
        Self(Box::new(Inner {
            code,
            message: one_line(&message.into()),
            backtrace,
        }))
    }

    /// What kind of failure this is.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// What went wrong, in one line.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The guest's backtrace, innermost frame first, a line per frame
    /// (`  0:  0x1f3 - function`), or empty.
    pub fn backtrace(&self) -> &str {
        &self.0.backtrace
    }

    /// The same error with words in front of the message.
    pub(crate) fn context(mut self, prefix: impl fmt::Display) -> Self {
        self.0.message = one_line(&format!("{prefix}: {}", self.0.message));
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if !self.0.backtrace.is_empty() {
            write!(f, "\n{}", self.0.backtrace)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// A message is one line without control characters, whatever a guest put into it.
fn one_line(message: &str) -> String {
    message.replace(char::is_control, " ")
}

/// What a panic said.
pub(crate) fn panic_message(payload: &(dyn std::any::Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

/// Turns a panic's payload into an error. Every entry into the engine goes through
/// here, since a panic must never reach the proxy.
pub(crate) fn from_panic(payload: &(dyn std::any::Any + Send)) -> Error {
    let text = panic_message(payload);
    Error::new(
        Code::Panic,
        format!("panic in the WebAssembly runtime: {text}"),
    )
}

/// Runs `f`, turning a panic into [`Code::Panic`].
pub(crate) fn contain<T>(f: impl FnOnce() -> Result<T>) -> Result<T> {
    // What `f` leaves half-changed is dropped or poisoned by the callers.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(f))
        .unwrap_or_else(|payload| Err(from_panic(payload.as_ref())))
}
