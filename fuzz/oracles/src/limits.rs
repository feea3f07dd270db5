//! Targets `load` and `bytes`: modules within their limits of time and memory.

use std::time::Duration;

use arbitrary::Unstructured;
use rust_wasm::{Code, FunctionType, Module, Options, Type, Value, Vm};
use wasm_smith::{Config, Module as Smith};

use crate::{SLOWDOWN, cpu_seconds};

/// What admission promises for a load, in CPU time of this process.
const SECONDS_PER_BYTE: f64 = 10e-6;
const MIN_SECONDS: f64 = 0.2;

/// What admission promises in memory, and what the process and the fuzzer have besides.
const BYTES_PER_BYTE: usize = 300;
const MIN_BYTES: usize = 128 << 20;

/// The most memory that the process has had, in bytes.
fn peak() -> usize {
    // SAFETY: plain call with a valid place; all zeros are a valid value.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usize::try_from(usage.ru_maxrss).unwrap_or(0) << 10
    }
}

fn options() -> Options {
    Options {
        call_deadline: Some(Duration::from_millis(20)),
        max_memory_bytes: 64 << 20,
        max_table_elements: 10_000,
        guest_stack_bytes: 256 << 10,
        max_exception_bytes: 8 << 20,
        ..Options::default()
    }
}

/// Loads within what admission promises.
fn loaded(bytecode: &[u8]) -> Option<Module> {
    let (before, had) = (cpu_seconds(), peak());
    let module = Module::compile(bytecode);
    let took = cpu_seconds() - before;
    let may_take = SLOWDOWN * MIN_SECONDS.max(SECONDS_PER_BYTE * bytecode.len() as f64);
    assert!(took < may_take, "{took} s for {} bytes", bytecode.len());
    let more = peak() - had;
    let may_need = MIN_BYTES.max(BYTES_PER_BYTE * bytecode.len());
    assert!(more < may_need, "{more} bytes for {}", bytecode.len());
    match module {
        Ok(module) => Some(module),
        Err(error) => {
            let expected = [Code::InvalidModule, Code::Link, Code::Resource];
            assert!(expected.contains(&error.code()), "{error}");
            assert!(error.message().len() <= 4200, "{error}");
            None
        }
    }
}

fn is_number(ty: &Type) -> bool {
    matches!(ty, Type::I32 | Type::I64 | Type::F32 | Type::F64)
}

/// Links and calls all that can be called.
fn run(module: &Module, exports: &[String]) {
    let vm = Vm::new(module, &options()).expect("a VM");
    if let Err(error) = vm.link("fuzzed") {
        let expected = [Code::Link, Code::Trap, Code::Interrupt, Code::Resource];
        assert!(expected.contains(&error.code()), "{error}");
        return;
    }
    for name in exports {
        let Some(ty) = module.exported_function(name).cloned() else {
            continue;
        };
        if ty.params().iter().all(is_number) {
            call(&vm, name, &ty);
        }
    }
}

fn call(vm: &Vm, name: &str, ty: &FunctionType) {
    let func = vm.func(name, ty).expect("its type").expect("exported");
    let slots = ty.params().len().max(ty.results().len());
    let mut values = vec![Value::from(7_u64); slots];
    let before = cpu_seconds();
    let outcome = vm.call(func, &mut values);
    let took = cpu_seconds() - before;
    assert!(took < 2.0, "{took} s with a deadline of 20 ms");
    if let Err(error) = outcome {
        let expected = [Code::Trap, Code::Interrupt, Code::Resource];
        assert!(expected.contains(&error.code()), "{error}");
        assert!(
            error.backtrace().len() <= 17 << 10,
            "{}",
            error.backtrace().len()
        );
    }
}

/// Target `load`.
pub fn load(data: &[u8]) {
    let config = Config {
        max_imports: 0,
        max_memories: 1,
        max_funcs: 200,
        max_instructions: 5000,
        bulk_memory_enabled: true,
        reference_types_enabled: true,
        simd_enabled: true,
        relaxed_simd_enabled: true,
        multi_value_enabled: true,
        exceptions_enabled: true,
        extended_const_enabled: true,
        tail_call_enabled: false,
        threads_enabled: false,
        memory64_enabled: false,
        gc_enabled: false,
        export_everything: true,
        ..Config::default()
    };
    let Ok(module) = Smith::new(config, &mut Unstructured::new(data)) else {
        return;
    };
    bytes(&module.to_bytes());
}

/// Target `bytes`.
pub fn bytes(data: &[u8]) {
    let Some(module) = loaded(data) else {
        return;
    };
    // What wasm-smith calls its exports, and the seeds theirs.
    let mut names: Vec<String> = (0..40).map(|it| it.to_string()).collect();
    names.extend(["", "f", "run"].map(String::from));
    run(&module, &names);
}
