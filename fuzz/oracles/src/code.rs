//! Target `code`: changes to compiled code.

use std::sync::OnceLock;

use rust_wasm::{Code, Module, Options, Source};

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
