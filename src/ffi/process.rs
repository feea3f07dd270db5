//! What concerns the whole process.

use std::os::unix::ffi::OsStrExt as _;
use std::sync::{LazyLock, OnceLock};

use super::convert::{EMPTY, Options, Slice, output};
use super::{guard, guard_or};
use crate::error::Error;
use crate::load::engine::VERSION;
use crate::run::warm;
use crate::variables::take_warning;

/// See the header.
#[unsafe(no_mangle)]
pub extern "C" fn rust_wasm_version() -> Slice {
    static TEXT: LazyLock<String> =
        LazyLock::new(|| format!("{} wasmer {}", VERSION, wasmer_compiler::VERSION));
    guard_or(EMPTY, || Slice::of(TEXT.as_bytes()))
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rust_wasm_options_init(options: *mut Options) -> *mut Error {
    guard(|| {
        // SAFETY: the header's contract.
        let out = unsafe { output(options)? };
        let defaults = crate::options::Options::from_env()?;
        let deadline = defaults.call_deadline.map_or(0, |it| it.as_nanos());
        let cache_dir = defaults.cache_dir.as_deref();
        out.write(Options {
            max_memory_bytes: defaults.max_memory_bytes,
            max_table_elements: defaults.max_table_elements,
            max_backtrace_frames: defaults.max_backtrace_frames,
            guest_stack_bytes: defaults.guest_stack_bytes as u64,
            call_deadline_ns: u64::try_from(deadline).unwrap_or(u64::MAX),
            cache_dir: cache_dir.map_or(EMPTY, |it| Slice::of(it.as_os_str().as_bytes())),
        });
        Ok(())
    })
}

/// See the header.
#[unsafe(no_mangle)]
pub extern "C" fn rust_wasm_take_warning() -> Slice {
    static WARNING: OnceLock<String> = OnceLock::new();
    guard_or(EMPTY, || {
        take_warning().map_or(EMPTY, |it| Slice::of(WARNING.get_or_init(|| it).as_bytes()))
    })
}

/// See the header.
#[unsafe(no_mangle)]
pub extern "C" fn rust_wasm_warm() -> *mut Error {
    guard(warm)
}
