//! What the fuzzer's targets do with their input. Each ends in an answer or an error, within
//! limits of time and memory; anything else is a find.
//!
//! | target | input |
//! |---|---|
//! | `load` | what wasm-smith makes a valid module of: loaded, linked and called |
//! | `bytes` | a module as it is: the same |
//! | `code` | changes to compiled code of a right module: refused, or right |
//! | `names` | a function's name, in a backtrace |

use std::sync::OnceLock;
use std::time::Duration;

use arbitrary::Unstructured;
use rust_wasm::{Code, FunctionType, Module, Options, Source, Type, Value, Vm};
use wasm_smith::{Config, Module as Smith};

/// What admission promises for a load, in CPU time of this process; the fuzzer's instrumentation
/// of the compiler takes several times as long.
const SLOWDOWN: f64 = 10.0;
const SECONDS_PER_BYTE: f64 = 10e-6;
const MIN_SECONDS: f64 = 0.2;

/// What admission promises in memory, and what the process and the fuzzer have besides.
const BYTES_PER_BYTE: usize = 300;
const MIN_BYTES: usize = 128 << 20;

fn cpu_seconds() -> f64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: plain call with a valid place.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

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

/// The module whose code is changed, as bytecode and as code.
fn right_module() -> &'static (Vec<u8>, Vec<u8>) {
    static RIGHT: OnceLock<(Vec<u8>, Vec<u8>)> = OnceLock::new();
    RIGHT.get_or_init(|| {
        // (func (export "f") (result i32) (i32.const 7))
        let bytecode =
            b"\0asm\x01\0\0\0\x01\x05\x01\x60\0\x01\x7f\x03\x02\x01\0\x07\x05\x01\x01f\0\0\
            \x0a\x06\x01\x04\0\x41\x07\x0b"
                .to_vec();
        let module = Module::compile(&bytecode).expect("it is right");
        let code = module.serialize().expect("it was compiled");
        (bytecode, code)
    })
}

/// Target `code`: pairs of a place and a value, of which each changes one byte.
pub fn code(data: &[u8]) {
    let (bytecode, right) = right_module();
    let mut changed = right.clone();
    for change in data.chunks_exact(4) {
        let place = u32::from_le_bytes([change[0], change[1], change[2], 0]) as usize;
        let place = place % changed.len();
        changed[place] ^= change[3];
    }
    let source = Source {
        bytecode,
        precompiled: &changed,
        ..Source::default()
    };
    let module = Module::load(source, &Options::default()).expect("it can be compiled");
    assert!(!module.is_precompiled() || changed == *right);
    let alone = Source {
        precompiled: &changed,
        ..Source::default()
    };
    match Module::load(alone, &Options::default()) {
        Ok(_) => assert!(changed == *right),
        Err(error) => assert_eq!(error.code(), Code::Incompatible, "{error}"),
    }
}

/// Target `names`.
pub fn names(data: &[u8]) {
    // (func (export "f") unreachable), with this name for the function.
    let leb128 = |mut number: usize| {
        let mut bytes = Vec::new();
        while number > 127 {
            bytes.push(u8::try_from(number & 127).unwrap_or(0) | 128);
            number >>= 7;
        }
        bytes.push(u8::try_from(number).unwrap_or(0));
        bytes
    };
    let name = [leb128(data.len()), data.to_vec()].concat();
    let functions = [vec![1, 0], name].concat();
    let functions = [vec![1], leb128(functions.len()), functions].concat();
    let section = [b"\x04name".to_vec(), functions].concat();
    let bytecode = [
        b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07\x05\x01\x01f\0\0\
            \x0a\x05\x01\x03\0\0\x0b"
            .to_vec(),
        vec![0],
        leb128(section.len()),
        section,
    ]
    .concat();
    let Ok(module) = Module::compile(&bytecode) else {
        return; // it is no UTF-8
    };
    let vm = Vm::new(&module, &Options::default()).expect("a VM");
    vm.link("fuzzed").expect("no imports");
    let ty = FunctionType::new([], []);
    let func = vm.func("f", &ty).expect("its type").expect("exported");
    let before = cpu_seconds();
    let error = vm.call(func, &mut []).expect_err("it traps");
    let took = cpu_seconds() - before;
    assert!(took < 0.005 * SLOWDOWN, "{took} s");
    assert!(error.backtrace().len() <= 17 << 10);
}
