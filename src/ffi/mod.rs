//! The C ABI, declared and documented in `cpp/rust_wasm.h`.
//!
//! Every export is a plain `extern "C"` function whose body is one guarded call:
//! [`guard`] for those that return an error, [`guard_or`] for the others. The
//! exports' safety contract is the header's; in short: a pointer is null or points to
//! what its type says, and a handle is not used after its `_free`.
#![allow(
    clippy::missing_safety_doc,
    reason = "the contract stands in cpp/rust_wasm.h"
)]

mod convert;
mod error;
mod module;
mod process;
mod vm;

pub use crate::run::vm::RawFunc as Func;
pub use convert::{Memory, Name, Options, Signature, Slice};
pub use error::*;
pub use module::*;
pub use process::*;
pub use vm::*;

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{Error, Result, from_panic};

/// Runs the body of an export that returns null or an owned error.
#[inline]
fn guard(body: impl FnOnce() -> Result<()>) -> *mut Error {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => std::ptr::null_mut(),
        Ok(Err(error)) => into_raw(error),
        Err(payload) => into_raw(from_panic(payload.as_ref())),
    }
}

/// Runs the body of an export that cannot report an error: `otherwise` stands for a
/// panic.
#[inline]
fn guard_or<T>(otherwise: T, body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(otherwise)
}

#[cold]
fn into_raw(error: Error) -> *mut Error {
    Box::into_raw(Box::new(error))
}

/// Frees what `Box::into_raw` gave out; null is nothing.
///
/// # Safety
/// `object` is null or came from `Box::into_raw` and is freed once.
unsafe fn free<T>(object: *mut T) {
    if !object.is_null() {
        // SAFETY: by contract.
        drop(unsafe { Box::from_raw(object) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    /// Takes an error that a guard has given out.
    fn take(error: *mut Error) -> Error {
        assert!(!error.is_null());
        // SAFETY: just given out by `guard`.
        *unsafe { Box::from_raw(error) }
    }

    #[test]
    fn a_guard_gives_null_for_success_and_the_error_for_failure() {
        assert!(guard(|| Ok(())).is_null());
        let error = take(guard(|| Err(Error::new(Code::Link, "one\ntwo"))));
        assert_eq!((error.code(), error.message()), (Code::Link, "one two"));
    }

    #[test]
    fn a_guard_turns_every_panic_into_an_error() {
        let message = |body: fn() -> Result<()>| {
            let error = take(guard(body));
            assert_eq!(error.code(), Code::Panic);
            error.message().to_owned()
        };
        assert!(message(|| panic!("plain")).ends_with(": plain"));
        assert!(message(|| panic!("number {}", 5)).ends_with(": number 5"));
        assert!(message(|| std::panic::panic_any(5)).ends_with(": no message"));
        let index = message(|| {
            let empty: Vec<u8> = Vec::new();
            let _ = empty[std::hint::black_box(1)];
            Ok(())
        });
        assert!(index.contains("out of bounds"), "{index}");
    }

    #[test]
    fn a_guard_without_errors_has_a_value_for_panics() {
        assert_eq!(guard_or(7, || 8), 8);
        assert_eq!(guard_or(7, || panic!("no matter")), 7);
    }

    #[test]
    fn free_takes_null() {
        // SAFETY: null, and then a box given away.
        unsafe {
            free::<Error>(std::ptr::null_mut());
            free(into_raw(Error::new(Code::Trap, "freed")));
        }
    }
}
