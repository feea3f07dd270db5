//! wasmtime, set up as proxy-wasm-cpp-host's adaptor does: epochs on, everything else by
//! default. Where its Rust API offers a faster way than the adaptor takes (`TypedFunc`,
//! `InstancePre`), it is given that.

use wasmtime::{Config, Engine, FuncType, InstancePre, Linker, Module, Store, Val, ValType};

use crate::plugins::Plugin;

pub fn engine() -> Engine {
    let mut config = Config::new();
    config.epoch_interruption(true);
    Engine::new(&config).expect("an engine")
}

/// A store whose epoch does not end.
pub fn store<T: 'static>(engine: &Engine, data: T) -> Store<T> {
    let mut store = Store::new(engine, data);
    store.set_epoch_deadline(1);
    store
}

/// A plugin's module, linked with host functions that all do nothing.
pub fn link(engine: &Engine, module: &Module, plugin: &Plugin) -> InstancePre<()> {
    let mut linker = Linker::new(engine);
    for import in &plugin.imports {
        let types = |bytes: &[u8]| bytes.iter().map(|it| value_type(*it)).collect::<Vec<_>>();
        let ty = FuncType::new(engine, types(&import.params), types(&import.results));
        linker
            .func_new(&import.module, &import.name, ty, |_, _, results| {
                results.fill(Val::I32(0));
                Ok(())
            })
            .expect("defined once");
    }
    linker.instantiate_pre(module).expect("all is defined")
}

fn value_type(code: u8) -> ValType {
    match code {
        0x7f => ValType::I32,
        0x7e => ValType::I64,
        0x7d => ValType::F32,
        _ => ValType::F64,
    }
}
