//! The header's plain types, and their checked conversion.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::{Code, Error, Result};
use crate::load::names::FunctionNames;
use crate::options;
use crate::signature::Codes;

/// `rust_wasm_slice_t`: borrowed bytes.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Slice {
    /// Not read when `size` is 0.
    pub data: *const u8,
    /// Bytes.
    pub size: usize,
}

/// `rust_wasm_signature_t`: a function type, a byte per value type.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Signature {
    /// Parameter types.
    pub params: Slice,
    /// Result types.
    pub results: Slice,
}

/// `rust_wasm_name_t`: an entry of the index-to-name map.
#[repr(C)]
pub struct Name {
    /// The function's index.
    pub index: u32,
    /// Its name.
    pub name: Slice,
}

/// `rust_wasm_memory_t`: wasmer's own record, under the header's names.
#[repr(C)]
pub struct Memory {
    /// First byte.
    pub data: *mut u8,
    /// Bytes.
    pub size: usize,
}

const _: () = assert!(
    size_of::<Memory>() == size_of::<wasmer_vm::VMMemoryDefinition>()
        && std::mem::offset_of!(Memory, size)
            == std::mem::offset_of!(wasmer_vm::VMMemoryDefinition, current_length)
);

/// `rust_wasm_options_t`: limits; zero takes the default.
#[repr(C)]
pub struct Options {
    /// Bytes.
    pub max_memory_bytes: u64,
    /// Elements of all tables together.
    pub max_table_elements: u32,
    /// Frames.
    pub max_backtrace_frames: u32,
    /// Bytes.
    pub guest_stack_bytes: u64,
    /// Nanoseconds.
    pub call_deadline_ns: u64,
    /// A path, or empty.
    pub cache_dir: Slice,
}

pub(super) const EMPTY: Slice = Slice {
    data: std::ptr::null(),
    size: 0,
};

pub(super) fn invalid(message: &str) -> Error {
    Error::new(Code::InvalidArgument, message)
}

/// Borrows a handle or an input struct.
///
/// # Safety
/// `pointer` is null or valid for `'a`.
pub(super) unsafe fn handle<'a, T>(pointer: *const T, what: &str) -> Result<&'a T> {
    // SAFETY: by contract.
    unsafe { pointer.as_ref() }.ok_or_else(|| invalid(&format!("{what} is null")))
}

/// Checks an output before the work is done.
///
/// # Safety
/// `pointer` is null or valid for writes for `'a`.
pub(super) unsafe fn output<'a, T>(pointer: *mut T) -> Result<&'a mut std::mem::MaybeUninit<T>> {
    // SAFETY: by contract; it may be uninitialised.
    unsafe { pointer.cast::<std::mem::MaybeUninit<T>>().as_mut() }
        .ok_or_else(|| invalid("the output pointer is null"))
}

/// Borrows an array; the pointer does not count when it is empty.
///
/// # Safety
/// `data` is valid for `size` elements for `'a`, unless `size` is 0.
pub(super) unsafe fn array<'a, T>(data: *const T, size: usize, what: &str) -> Result<&'a [T]> {
    if size == 0 {
        return Ok(&[]);
    }
    if data.is_null() {
        return Err(invalid(&format!("{what} is null, but not empty")));
    }
    if size > isize::MAX as usize / size_of::<T>().max(1) {
        return Err(invalid(&format!("{what} is larger than the address space")));
    }
    // SAFETY: not null; by contract.
    Ok(unsafe { std::slice::from_raw_parts(data, size) })
}

impl Slice {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self {
            data: bytes.as_ptr(),
            size: bytes.len(),
        }
    }

    /// # Safety
    /// As for [`array`].
    pub(super) unsafe fn bytes<'a>(self, what: &str) -> Result<&'a [u8]> {
        // SAFETY: by contract.
        unsafe { array(self.data, self.size, what) }
    }

    /// # Safety
    /// As for [`array`].
    pub(super) unsafe fn text<'a>(self, what: &str) -> Result<&'a str> {
        // SAFETY: by contract.
        let bytes = unsafe { self.bytes(what)? };
        std::str::from_utf8(bytes).map_err(|_| invalid(&format!("{what} is not UTF-8")))
    }
}

impl Signature {
    /// # Safety
    /// As for [`array`], for both parts.
    pub(super) unsafe fn codes<'a>(self) -> Result<Codes<'a>> {
        // SAFETY: by contract.
        let (params, results) =
            unsafe { (self.params.bytes("params")?, self.results.bytes("results")?) };
        let unknown = |code: &&u8| !(0x7c..=0x7f).contains(*code);
        match params.iter().chain(results).find(unknown) {
            Some(code) => Err(invalid(&format!("{code:#x} is no value type"))),
            None => Ok(Codes { params, results }),
        }
    }
}

/// # Safety
/// As for [`array`], for the array and each name.
pub(super) unsafe fn names(names: *const Name, size: usize) -> Result<FunctionNames> {
    // SAFETY: by contract.
    let names = unsafe { array(names, size, "names")? };
    let mut result = FunctionNames::with_capacity(names.len());
    for entry in names {
        // SAFETY: by contract.
        result.add(entry.index, unsafe { entry.name.bytes("name")? });
    }
    Ok(result)
}

/// # Safety
/// `options` is null or valid, and its slices are.
pub(super) unsafe fn options(options: *const Options) -> Result<options::Options> {
    let mut result = options::Options::from_env()?.clone();
    // SAFETY: by contract.
    let Some(options) = (unsafe { options.as_ref() }) else {
        return Ok(result);
    };
    if options.max_memory_bytes != 0 {
        result.max_memory_bytes = options.max_memory_bytes;
    }
    if options.max_table_elements != 0 {
        result.max_table_elements = options.max_table_elements;
    }
    if options.max_backtrace_frames != 0 {
        result.max_backtrace_frames = options.max_backtrace_frames;
    }
    if options.guest_stack_bytes != 0 {
        result.guest_stack_bytes = usize::try_from(options.guest_stack_bytes)
            .map_err(|_| invalid("guest_stack_bytes is out of range"))?;
    }
    if options.call_deadline_ns != 0 {
        result.call_deadline = Some(Duration::from_nanos(options.call_deadline_ns));
    }
    // SAFETY: by contract.
    let cache_dir = unsafe { options.cache_dir.bytes("cache_dir")? };
    if !cache_dir.is_empty() {
        result.cache_dir = Some(PathBuf::from(OsStr::from_bytes(cache_dir)));
    }
    result.check()?;
    Ok(result)
}
