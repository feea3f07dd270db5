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

/// The longest message, in bytes: it is logged for every VM.
const MAX_MESSAGE: usize = 4096;

/// A message is one line without control characters, and not long, whatever a guest put
/// into it.
fn one_line(message: &str) -> String {
    let plain = |text: &str| text.replace(char::is_control, " ");
    if message.len() <= MAX_MESSAGE {
        return plain(message);
    }
    let shown = start(message, MAX_MESSAGE - 40);
    let more = message.len() - shown.len();
    format!("{}… and {more} bytes more", plain(shown))
}

/// At most so many bytes of it.
fn start(text: &str, size: usize) -> &str {
    &text[..text.floor_char_boundary(size)]
}

/// Items with commas, as many as have room in so many bytes, and how many more there are.
pub(crate) fn list<T>(
    mut items: impl Iterator<Item = T>,
    room: usize,
    show: impl Fn(T) -> String,
) -> String {
    let mut list = String::new();
    while let Some(item) = items.next() {
        let text = show(item);
        let separator = if list.is_empty() { "" } else { ", " };
        if list.len() + separator.len() + text.len() <= room {
            list.push_str(separator);
            list.push_str(&text);
            continue;
        }
        let mut more = 1 + items.count();
        if list.is_empty() {
            list.push_str(start(&text, room));
            list.push('…');
            more -= 1;
        }
        if more > 0 {
            list.push_str(&format!(" … and {more} more"));
        }
        break;
    }
    list
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_short_line() {
        let message = |text: &str| Error::new(Code::Trap, text).message().to_owned();
        assert_eq!(message("two\nlines\0"), "two lines ");
        let longest = "x".repeat(MAX_MESSAGE);
        assert_eq!(message(&longest), longest);
        for long in [
            "x".repeat(MAX_MESSAGE + 1),
            "é".repeat(1 << 20),
            "\n".repeat(5000),
        ] {
            let cut = message(&long);
            assert!(cut.len() <= MAX_MESSAGE, "{}", cut.len());
            let (shown, more) = cut.split_once("… and ").expect("it says so");
            assert_eq!(more, format!("{} bytes more", long.len() - shown.len()));
        }
        let error = Error::new(Code::Trap, longest).context("prefix\n");
        assert!(error.message().starts_with("prefix : xxx"));
        assert!(error.message().len() <= MAX_MESSAGE);
    }

    #[test]
    fn a_list_is_as_long_as_there_is_room() {
        let list = |items: &[&str]| list(items.iter(), 10, |it| (*it).to_owned());
        assert_eq!(list(&[]), "");
        assert_eq!(list(&["one", "two"]), "one, two");
        assert_eq!(list(&["one", "two", "3", "4"]), "one, two … and 2 more");
        assert_eq!(list(&["twelve words"]), "twelve wor…");
        assert_eq!(list(&["twelve words", "one"]), "twelve wor… … and 1 more");
    }
}
