//! Function names for people: Rust's and C++'s manglings undone, on one line.

use std::fmt::{self, Write as _};

use super::cplusplus;
use super::work::{MAX_NAME, Work};

/// The longest name that is tried.
const MAX_MANGLED: usize = 2048;

/// The name as its author wrote it, Rust's hash dropped. Names come from plugins: a mangled
/// one can expand without bound, and a plain one can be anything. What costs too much is
/// shown as it is.
pub(super) fn readable(name: &[u8], work: &mut Work) -> String {
    let start = &name[..name.len().min(MAX_NAME)];
    let mangled = str::from_utf8(name.get(..MAX_MANGLED).map_or(name, |_| b""));
    let text = match mangled {
        Ok(name) if name.starts_with("_R") || name.starts_with("_Z") => {
            rust(name, work).or_else(|| cplusplus::demangle(name, work))
        }
        _ => None,
    };
    text.unwrap_or_else(|| String::from_utf8_lossy(start).into_owned())
        .replace(char::is_control, " ")
}

fn rust(name: &str, work: &mut Work) -> Option<String> {
    work.step()?;
    work.spend(name.len())?;
    let demangled = rustc_demangle::try_demangle(name).ok()?;
    // A name with back references is read many times over. But it never goes back twice
    // without writing something, so that the length bounds what is read in between.
    let goes_back = name.starts_with("_R") && name.contains('B');
    let mut text = Paid {
        text: String::new(),
        work,
        price: 16 + if goes_back { name.len() / 2 } else { 0 },
    };
    write!(text, "{demangled:#}").ok()?;
    Some(text.text)
}

/// Text of which each part is paid for.
struct Paid<'a> {
    text: String,
    work: &'a mut Work,
    price: usize,
}

impl fmt::Write for Paid<'_> {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        self.text.push_str(part);
        let paid = self.work.spend(self.price + part.len());
        paid.filter(|()| self.text.len() <= MAX_NAME)
            .ok_or(fmt::Error)
    }
}
