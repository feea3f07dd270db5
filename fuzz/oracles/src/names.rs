//! Target `names`: a function's name, in a backtrace.

use rust_wasm::{FunctionType, Module, Options, Vm};

use crate::{SLOWDOWN, cpu_seconds};

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
