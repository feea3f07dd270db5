//! Errors as C sees them.

use super::convert::{EMPTY, Slice};
use super::{free, guard_or};
use crate::error::{Code, Error};

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rust_wasm_error_free(error: *mut Error) {
    // SAFETY: the header's contract.
    guard_or((), || unsafe { free(error) });
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rust_wasm_error_code(error: *const Error) -> Code {
    guard_or(Code::Panic, || {
        // SAFETY: the header's contract.
        unsafe { error.as_ref() }.map_or(Code::InvalidArgument, Error::code)
    })
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rust_wasm_error_message(error: *const Error) -> Slice {
    guard_or(EMPTY, || {
        // SAFETY: the header's contract.
        unsafe { error.as_ref() }.map_or(EMPTY, |it| Slice::of(it.message().as_bytes()))
    })
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rust_wasm_error_backtrace(error: *const Error) -> Slice {
    guard_or(EMPTY, || {
        // SAFETY: the header's contract.
        unsafe { error.as_ref() }.map_or(EMPTY, |it| Slice::of(it.backtrace().as_bytes()))
    })
}
