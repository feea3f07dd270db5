//! The C++ adaptor as Rust tests see it: [`ffi::Vm`] drives it, and the functions here load
//! the guests of `tests/plugins`.
#![allow(missing_docs, reason = "the bridge is documented in driver.h")]
#![allow(clippy::missing_panics_doc, reason = "a panic is how a test fails")]

// Linked for its C ABI, which the adaptor calls.
use rust_wasm as _;

use cxx::UniquePtr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

#[cxx::bridge(namespace = "adaptor")]
pub mod ffi {
    /// Zero and empty take the adaptor's default.
    #[derive(Default)]
    struct Limits {
        memory_bytes: u64,
        stack_bytes: u64,
        deadline_ms: u64,
        code_cache_dir: String,
    }

    /// A word, if there is one to be had.
    #[derive(Debug, PartialEq)]
    struct Found {
        found: bool,
        value: u64,
    }

    unsafe extern "C++" {
        include!("adaptor-tests/src/driver.h");

        type Vm;
        fn new_vm(limits: &Limits) -> UniquePtr<Vm>;

        fn warm(&self);
        fn load(&self, bytecode: &[u8], precompiled: &[u8]) -> bool;
        fn load_named(&self, bytecode: &[u8], index: u32, name: &str) -> bool;
        fn link(&self, name: &str) -> bool;
        fn link_in_context(&self, name: &str) -> bool;
        fn clone_vm(&self) -> UniquePtr<Vm>;
        fn serialize(&self, bytecode: &[u8]) -> Vec<u8>;
        fn engine_name(&self) -> String;
        fn precompiled_section_name(&self) -> String;
        fn memory_size(&self) -> u64;
        fn has_memory(&self, pointer: u64, size: u64) -> bool;
        fn read(&self, pointer: u64, size: u64) -> Vec<u8>;
        fn write(&self, pointer: u64, data: &[u8]) -> bool;
        fn write_nothing(&self, pointer: u64) -> bool;
        fn word(&self, pointer: u64) -> Found;
        fn set_word(&self, pointer: u64, value: u64) -> bool;
        fn terminate(&self);
        fn restrict(&self, restricted: bool, allowed: Vec<String>);
        fn failed(&self) -> bool;

        fn call_void(&self, name: &str, args: &[u64]) -> bool;
        fn call_word(&self, name: &str, args: &[u64]) -> Found;
        #[rust_name = "call_wwlfd"]
        fn call_WWlfd(&self, name: &str, w: u64, l: u64, f: f32, d: f64) -> Found;
        fn call_lf(&self, name: &str, f: f32) -> u64;
        fn call_fff(&self, name: &str, f: f32, g: f32) -> f32;
        fn call_dfff(&self, name: &str, f: f32, g: f32, h: f32) -> f64;

        fn register_test_functions(&self);
        fn register_proxy_functions(&self);
        fn set_reentry(&self, name: &str);
        fn started(&self) -> bool;

        fn set_configuration(&self, text: &str);
        fn set_header(&self, name: &str, value: &str);
        fn header(&self, name: &str) -> String;
        fn set_body(&self, body: &str);
        fn body(&self) -> String;

        fn set_log_level(&self, level: u32);
        fn errors(&self) -> Vec<String>;
        fn traces(&self) -> Vec<String>;
        fn plugin_log(&self) -> Vec<String>;
        fn host_calls(&self) -> Vec<String>;
    }
}

pub use ffi::{Found, Limits, Vm};

// SAFETY: a WasmVm may move between threads, and nothing in the driver is bound to one.
unsafe impl Send for Vm {}
// SAFETY: by the contract in driver.h, which the tests keep: only `terminate`, `started` and
// the logs are used while another thread is in the VM, and those are synchronised.
unsafe impl Sync for Vm {}

/// Log level `trace` of the host.
pub const TRACE: u32 = 0;
/// `FailState::UnableToInitializeCode`, as it starts an error.
pub const INITIALIZE: &str = "4: ";
/// `FailState::RuntimeError`, as it starts an error.
pub const RUNTIME: &str = "7: ";

impl Vm {
    /// The only error so far.
    #[track_caller]
    pub fn error(&self) -> String {
        let errors = self.errors();
        assert_eq!(errors.len(), 1, "{errors:#?}");
        errors.into_iter().next().unwrap_or_default()
    }

    /// The result of an export that must exist.
    #[track_caller]
    pub fn value(&self, name: &str, args: &[u64]) -> u64 {
        let result = self.call_word(name, args);
        assert!(result.found, "no export {name}: {:?}", self.errors());
        result.value
    }
}

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The bytecode of `tests/plugins/wat/<name>.wat`.
pub fn wat(name: &str) -> Vec<u8> {
    wat::parse_file(tests().join(format!("plugins/wat/{name}.wat"))).expect("valid text format")
}

/// The bytecode of a plugin that `make plugins` builds.
pub fn plugin(name: &str) -> Vec<u8> {
    let path = tests().join(format!("../target/plugins/{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}; run `make plugins`", path.display()))
}

/// The contents of a custom section; empty if there is none.
pub fn custom_section(module: &[u8], name: &str) -> Vec<u8> {
    let mut rest = &module[8..];
    while let Some((&id, after)) = rest.split_first() {
        let (size, after) = leb128(after);
        let (section, next) = after.split_at(size);
        rest = next;
        if id == 0 {
            let (size, named) = leb128(section);
            let (found, contents) = named.split_at(size);
            if found == name.as_bytes() {
                return contents.to_vec();
            }
        }
    }
    Vec::new()
}

/// A number and the bytes that follow it.
fn leb128(bytes: &[u8]) -> (usize, &[u8]) {
    let mut value = 0;
    for (i, byte) in bytes.iter().enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return (value, &bytes[i + 1..]);
        }
    }
    panic!("a number ends too early");
}

/// A VM with `bytecode` loaded and every function registered, not yet linked.
#[track_caller]
pub fn loaded(bytecode: &[u8], limits: &Limits) -> UniquePtr<Vm> {
    let vm = ffi::new_vm(limits);
    assert!(vm.load(bytecode, &[]), "{:?}", vm.errors());
    register(&vm);
    vm
}

/// Registers every host function that the driver has.
pub fn register(vm: &Vm) {
    vm.register_test_functions();
    vm.register_proxy_functions();
}

/// A VM with `bytecode` loaded and linked.
#[track_caller]
pub fn linked(bytecode: &[u8], limits: &Limits) -> UniquePtr<Vm> {
    let vm = loaded(bytecode, limits);
    assert!(vm.link("test"), "{:?}", vm.errors());
    vm
}

/// A linked VM of `tests/plugins/wat/<name>.wat` with the default limits.
#[track_caller]
pub fn run(name: &str) -> UniquePtr<Vm> {
    linked(&wat(name), &Limits::default())
}

/// Waits until `condition` holds, but not for ever.
#[track_caller]
pub fn wait_until(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(30), "waited in vain");
        std::thread::yield_now();
    }
}
