//! The wasmer engine: which compiler, which WebAssembly features, and what code
//! compiled here depends on.
//!
//! Every module gets an engine of its own. wasmer's engine owns the machine code of
//! all that it compiled and frees it only as a whole; with one engine for the
//! process, each configuration update of the proxy would leak its predecessor's code.

#[cfg(feature = "cranelift")]
use std::sync::Arc;
use std::sync::OnceLock;

#[cfg(feature = "cranelift")]
use wasmer::sys::{CompilerConfig as _, Cranelift, EngineBuilder, Features};
use wasmer::sys::{CpuFeature, Target};
use wasmer_compiler::Engine;
#[cfg(feature = "cranelift")]
use wasmer_types::CompileError;

#[cfg(feature = "cranelift")]
use crate::load::checks::{InterruptChecks, Survey};

/// Version of this runtime.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Tells code apart that was compiled by other versions of the files which say what compiled
/// code is like: a hash of their text.
const CODE_REVISION: u64 = {
    let files: [&[u8]; 5] = [
        include_bytes!("admission/function.rs"),
        include_bytes!("checks.rs"),
        include_bytes!("engine.rs"),
        include_bytes!("flags.rs"),
        include_bytes!("reduced.rs"),
    ];
    // FNV-1a.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut file = 0;
    while file < files.len() {
        let mut place = 0;
        while place < files[file].len() {
            hash = (hash ^ files[file][place] as u64).wrapping_mul(0x0100_0000_01b3);
            place += 1;
        }
        file += 1;
    }
    hash
};

/// The features that V8 and Wasmtime accept by default and guest toolchains use. No
/// threads, no 64-bit or multiple memories: the host has no use for them. Tail calls are
/// validated, and then refused by name (`admission`): this compiler does not have them.
#[cfg(feature = "cranelift")]
fn features() -> Features {
    let mut features = Features::none();
    features
        .bulk_memory(true)
        .exceptions(true)
        .extended_const(true)
        .multi_value(true)
        .reference_types(true)
        .relaxed_simd(true)
        .simd(true)
        .tail_call(true);
    features
}

/// Checks that bytecode is valid.
#[cfg(feature = "cranelift")]
pub(crate) fn validate(bytecode: &[u8]) -> Result<(), CompileError> {
    let compiler = Box::new(Cranelift::new()).compiler();
    compiler.validate_module(&features(), bytecode)
}

/// An engine that can compile the module that was surveyed, and nothing else.
#[cfg(feature = "cranelift")]
pub(crate) fn for_compiling(survey: Survey) -> Engine {
    let mut compiler = Cranelift::new();
    compiler.push_middleware(Arc::new(InterruptChecks::new(survey)));
    EngineBuilder::new(compiler)
        .set_features(Some(features()))
        .engine()
}

/// An engine that only loads compiled code.
pub(crate) fn for_loading() -> Engine {
    Engine::headless()
}

/// What compiled code depends on, in words. Code is loaded only where this text is
/// the same.
pub(crate) fn fingerprint() -> &'static str {
    static FINGERPRINT: OnceLock<String> = OnceLock::new();
    FINGERPRINT.get_or_init(|| {
        let target = Target::default();
        let mut cpu: Vec<String> = CpuFeature::for_host()
            .iter()
            .map(|it| it.to_string())
            .collect();
        cpu.sort();
        format!(
            "runtime {VERSION} revision {CODE_REVISION:x}, wasmer {}, {}, cpu {}",
            wasmer_compiler::VERSION,
            target.triple(),
            cpu.join("+"),
        )
    })
}
