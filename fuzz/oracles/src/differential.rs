//! Target `differential`: the same module here and in Wasmtime.

use arbitrary::Unstructured;
use rust_wasm::{Code, FunctionType, Options, Type, Value, Vm};
use wasm_smith::{Config, Module as Smith};
use wasmtime::{Engine, ExternType, Instance, Module, Store, Trap, Val, ValType};

/// How much a call may do before it traps, in blocks and calls.
const FUEL: u32 = 10_000;

fn module(data: &[u8]) -> Option<Vec<u8>> {
    let config = Config {
        max_imports: 0,
        max_memories: 1,
        max_funcs: 50,
        max_instructions: 1000,
        bulk_memory_enabled: true,
        reference_types_enabled: true,
        simd_enabled: true,
        multi_value_enabled: true,
        extended_const_enabled: true,
        // What they leave to the engine.
        canonicalize_nans: true,
        relaxed_simd_enabled: false,
        // So that memory and tables grow as far in both.
        max_memory32_bytes: 16 << 20,
        memory_max_size_required: true,
        max_table_elements: 1000,
        table_max_size_required: true,
        exceptions_enabled: false,
        tail_call_enabled: false,
        threads_enabled: false,
        memory64_enabled: false,
        gc_enabled: false,
        export_everything: true,
        ..Config::default()
    };
    let mut module = Smith::new(config, &mut Unstructured::new(data)).ok()?;
    module.ensure_termination(FUEL).ok()?;
    Some(module.to_bytes())
}

/// How a call ended, in words that both share.
#[derive(Debug, PartialEq)]
enum Outcome {
    Results(Vec<u128>),
    Trap(String),
    /// Where the stack ends differs: nothing after it can be compared.
    StackOverflow,
}

fn trap(message: &str) -> Outcome {
    match message.strip_prefix("wasm trap: ").unwrap_or(message) {
        "call stack exhausted" => Outcome::StackOverflow,
        "wasm `unreachable` instruction executed" => Outcome::Trap("unreachable".into()),
        other => Outcome::Trap(other.into()),
    }
}

/// Wasmtime, of which all that the module exports can be called.
struct Peer {
    store: Store<()>,
    instance: Instance,
}

impl Peer {
    fn start(bytecode: &[u8]) -> (Module, Result<Self, Outcome>) {
        let engine = Engine::default();
        let module = Module::new(&engine, bytecode).expect("valid");
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]);
        let peer = match instance {
            Ok(instance) => Ok(Self { store, instance }),
            Err(error) => Err(trap_of(&error)),
        };
        (module, peer)
    }

    fn call(&mut self, name: &str, ty: &FunctionType) -> Outcome {
        let func = self.instance.get_func(&mut self.store, name);
        let func = func.expect("exported");
        let params: Vec<Val> = ty.params().iter().map(argument).collect();
        let mut results = vec![Val::I32(0); ty.results().len()];
        match func.call(&mut self.store, &params, &mut results) {
            Ok(()) => Outcome::Results(results.iter().map(bits).collect()),
            Err(error) => trap_of(&error),
        }
    }

    fn memory(&mut self, name: &str) -> &[u8] {
        let memory = self.instance.get_memory(&mut self.store, name);
        memory.expect("exported").data(&self.store)
    }
}

fn trap_of(error: &wasmtime::Error) -> Outcome {
    let code = error.downcast_ref::<Trap>();
    trap(&code.expect("there is nothing else to fail for").to_string())
}

const ARGUMENT: u64 = 7;

fn argument(ty: &Type) -> Val {
    match ty {
        Type::I32 => Val::I32(7),
        Type::I64 => Val::I64(7),
        Type::F32 => Val::F32(7),
        _ => Val::F64(7),
    }
}

fn bits(value: &Val) -> u128 {
    match value {
        Val::I32(value) => u128::from(value.cast_unsigned()),
        Val::I64(value) => u128::from(value.cast_unsigned()),
        Val::F32(bits) => u128::from(*bits),
        Val::F64(bits) => u128::from(*bits),
        Val::V128(value) => value.as_u128(),
        _ => 0, // a reference
    }
}

/// Ours.
fn call(vm: &Vm, name: &str, ty: &FunctionType) -> Option<Outcome> {
    let func = vm.func(name, ty).expect("its type").expect("exported");
    let slots = ty.params().len().max(ty.results().len());
    let mut values = vec![Value::from(ARGUMENT); slots];
    match vm.call(func, &mut values) {
        Ok(()) => {
            let results = ty.results().iter().zip(&values);
            // SAFETY: any slot may be read as bits.
            let bits = |(ty, value): (&Type, &Value)| unsafe {
                match ty {
                    Type::I32 | Type::F32 => u128::from(value.i32),
                    Type::I64 | Type::F64 => u128::from(value.i64),
                    Type::V128 => {
                        let [low, high] = value.slot;
                        u128::from(low) | u128::from(high) << 64
                    }
                    _ => 0,
                }
            };
            Some(Outcome::Results(results.map(bits).collect()))
        }
        Err(error) if error.code() == Code::Trap => Some(trap(error.message())),
        // Our limits, which Wasmtime does not have.
        Err(error) => {
            assert_eq!(error.code(), Code::Resource, "{error}");
            None
        }
    }
}

/// Target `differential`.
///
/// # Panics
/// If the two do not agree.
pub fn differential(data: &[u8]) {
    let Some(bytecode) = module(data) else {
        return;
    };
    let Ok(ours) = rust_wasm::Module::compile(&bytecode) else {
        return; // refused: see `load`
    };
    let vm = Vm::new(&ours, &Options::default()).expect("a VM");
    let linked = vm.link("fuzzed");
    let (module, peer) = Peer::start(&bytecode);
    let mut peer = match (linked, peer) {
        (Ok(()), Ok(peer)) => peer,
        (Err(error), Err(theirs)) => {
            // The words for what an initializer does wrong differ.
            assert!(matches!(theirs, Outcome::Trap(_) | Outcome::StackOverflow));
            let expected = [Code::Trap, Code::Link, Code::Resource];
            assert!(expected.contains(&error.code()), "{error}");
            return;
        }
        (Err(error), Ok(_)) if error.code() == Code::Resource => return,
        (ours, theirs) => panic!("linked: {ours:?}, Wasmtime: {:?}", theirs.err()),
    };
    for export in module.exports() {
        let name = export.name();
        match export.ty() {
            ExternType::Func(ty) if ty.params().all(|it| is_number(&it)) => {
                let ty = ours.exported_function(name).expect("exported").clone();
                let theirs = peer.call(name, &ty);
                let Some(ours) = call(&vm, name, &ty) else {
                    return;
                };
                if ours == Outcome::StackOverflow || theirs == Outcome::StackOverflow {
                    return;
                }
                assert_eq!(ours, theirs, "{name}");
            }
            ExternType::Memory(_) => {
                // SAFETY: the VM is not running, and keeps its memory where it is.
                let ours = unsafe {
                    let memory = vm.memory();
                    std::slice::from_raw_parts((*memory).base, (*memory).current_length)
                };
                assert!(ours == peer.memory(name), "the memories differ");
            }
            _ => {}
        }
    }
}

fn is_number(ty: &ValType) -> bool {
    matches!(
        ty,
        ValType::I32 | ValType::I64 | ValType::F32 | ValType::F64
    )
}
