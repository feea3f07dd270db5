//! The guests that are measured.

use std::fmt::Write as _;

use wasmparser::{BinaryReaderError, ExternalKind, FuncType, Parser, Payload, TypeRef, ValType};

/// A module's bytecode and, with types as bytes of the binary format, its functions.
pub struct Plugin {
    pub bytecode: Vec<u8>,
    pub imports: Vec<Function>,
    pub exports: Vec<Function>,
}

pub struct Function {
    /// Empty for an export.
    pub module: String,
    pub name: String,
    pub params: Vec<u8>,
    pub results: Vec<u8>,
}

/// An HTTP filter on the Rust SDK.
pub fn rust_sdk() -> Plugin {
    file("rust-sdk")
}

/// An HTTP filter on the AssemblyScript SDK.
pub fn assemblyscript() -> Plugin {
    file("assemblyscript")
}

fn file(name: &str) -> Plugin {
    let path = format!(
        "{}/../target/plugins/{name}.wasm",
        env!("CARGO_MANIFEST_DIR")
    );
    let bytecode = std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{path}: {error}; `make plugins` builds it"));
    Plugin::new(bytecode)
}

/// Crossings in both directions.
pub fn crossing() -> Plugin {
    text(include_str!("../guests/crossing.wat"))
}

/// Compute kernels, `(i32) -> i32` each, after so many small functions.
pub fn kernels(small_functions: usize) -> Plugin {
    let small = "(func (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))";
    let kernels = include_str!("../guests/kernels.wat");
    let (head, tail) = kernels
        .split_once("  (memory ")
        .expect("the kernels have a memory");
    text(&format!(
        "{head}{} (memory {tail}",
        small.repeat(small_functions)
    ))
}

/// Two megabytes of code: as a plugin with a large library, many small functions that
/// branch, loop, load, store and call each other.
pub fn large() -> Plugin {
    let mut wat = String::from(
        "(module (memory (export \"memory\") 2)
           (func (export \"_initialize\"))
           (func (export \"run\") (param i32) (result i32) (call $f0 (local.get 0)))",
    );
    const FUNCTIONS: u32 = 5000;
    for index in 0..FUNCTIONS {
        write!(
            wat,
            "(func $f{index} (param i32) (result i32) (local i32 i64)"
        )
        .expect("written");
        for block in 0..8 {
            let constant = (index * 8 + block).wrapping_mul(2_654_435_761);
            let offset = constant % 60_000;
            write!(
                wat,
                "(if (i32.gt_u (local.get 0) (i32.const {constant})) (then
                   (local.set 1 (i32.xor (i32.load offset={offset} (i32.and (local.get 0) (i32.const 0xfff)))
                                         (i32.rotl (local.get 1) (i32.const {block})))))
                 (else
                   (local.set 2 (i64.add (i64.mul (local.get 2) (i64.const {constant}))
                                         (i64.extend_i32_u (local.get 0))))
                   (i64.store offset={offset} (i32.and (local.get 1) (i32.const 0xff8)) (local.get 2))))"
            )
            .expect("written");
        }
        // Calls go upwards, so that they end.
        let callee = index + 1 + index % 7;
        if callee < FUNCTIONS && index % 3 != 0 {
            write!(
                wat,
                "(local.set 1 (call $f{callee} (i32.add (local.get 1) (i32.wrap_i64 (local.get 2)))))"
            )
            .expect("written");
        }
        wat.push_str(
            "(loop $again
               (local.set 1 (i32.mul (i32.add (local.get 1) (local.get 0)) (i32.const 31)))
               (br_if $again (local.tee 0 (i32.shr_u (local.get 0) (i32.const 3)))))
             (local.get 1))",
        );
    }
    wat.push(')');
    text(&wat)
}

fn text(wat: &str) -> Plugin {
    Plugin::new(wat::parse_str(wat).expect("the guest is well-formed"))
}

impl Plugin {
    fn new(bytecode: Vec<u8>) -> Self {
        let (imports, exports) = functions(&bytecode).expect("the guest is well-formed");
        Self {
            bytecode,
            imports,
            exports,
        }
    }
}

/// The functions that a module imports and exports.
fn functions(bytecode: &[u8]) -> Result<(Vec<Function>, Vec<Function>), BinaryReaderError> {
    let mut types = Vec::new();
    let mut type_of = Vec::new();
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    let function = |module: &str, name: &str, ty: &FuncType| Function {
        module: module.to_owned(),
        name: name.to_owned(),
        params: ty.params().iter().map(type_code).collect(),
        results: ty.results().iter().map(type_code).collect(),
    };
    for payload in Parser::new(0).parse_all(bytecode) {
        match payload? {
            Payload::TypeSection(section) => {
                for ty in section.into_iter_err_on_gc_types() {
                    types.push(ty?);
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import?;
                    if let TypeRef::Func(ty) = import.ty {
                        imports.push(function(import.module, import.name, &types[ty as usize]));
                        type_of.push(ty);
                    }
                }
            }
            Payload::FunctionSection(section) => {
                for ty in section {
                    type_of.push(ty?);
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export?;
                    if export.kind == ExternalKind::Func {
                        let ty = type_of[export.index as usize];
                        exports.push(function("", export.name, &types[ty as usize]));
                    }
                }
            }
            _ => {}
        }
    }
    Ok((imports, exports))
}

/// As in the binary format.
fn type_code(ty: &ValType) -> u8 {
    match ty {
        ValType::I32 => 0x7f,
        ValType::I64 => 0x7e,
        ValType::F32 => 0x7d,
        ValType::F64 => 0x7c,
        _ => panic!("plugins pass numbers"),
    }
}
