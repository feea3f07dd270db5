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

pub use crate::call::RawFunc as Func;
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
