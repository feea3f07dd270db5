//! What is refused before the compiler sees it: modules that can never be linked, and those
//! that would cost far more than their size lets expect.
//!
//! A compiler's work does not follow from the length of what it reads. A type of a thousand
//! parameters is named by one byte, each function that has it is as long as any other, and
//! what lives across loops is carried by each. So every module is read once, and what it
//! would cost is added up, by what Cranelift was seen to need ([`cost`]). Plugins come to a
//! tenth of what they may cost, whichever language they were written in.

mod cost;
mod function;
mod operators;

use wasmer::sys::wasmparser::{
    BinaryReaderError, CompositeInnerType, FuncType, FunctionBody, Parser, Payload, TypeRef,
    ValType,
};
use wasmer_types::{FunctionType, Type};

use crate::error::{Code, Error, Result};
use crate::load::imports;
use crate::signature::check_host_type;
use cost::Total;

/// The most elements of function tables of a fixed size: these lie in the instance, which
/// compiled code addresses with 32 bits.
const MAX_FIXED_ELEMENTS: u64 = 1 << 26;

/// Every VM has a copy of each tag's type, and every exception has its parameters.
const MAX_TAGS: usize = 1000;
const MAX_TAG_PARAMS: usize = 16;

/// Refuses what must not be compiled.
///
/// # Errors
/// [`Code::Link`] for imports that no host can provide, [`Code::InvalidModule`] for what
/// exceeds a limit. Nothing for bytecode that cannot be read: to say so is the validator's
/// business, which comes first.
pub(crate) fn admit(bytecode: &[u8]) -> Result<()> {
    let mut module = Module {
        bytes: bytecode.len(),
        ..Module::default()
    };
    for payload in Parser::new(0).parse_all(bytecode) {
        let Ok(payload) = payload else {
            return Ok(());
        };
        if let Err(Refusal::Because(error)) = module.read(payload) {
            return Err(error);
        }
    }
    module.total.check(module.bytes)
}

/// Why reading stopped.
enum Refusal {
    Because(Error),
    Malformed,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Because(error)
    }
}

impl From<BinaryReaderError> for Refusal {
    fn from(_: BinaryReaderError) -> Self {
        Self::Malformed
    }
}

type Read = std::result::Result<(), Refusal>;

/// What has been read of a module.
#[derive(Default)]
struct Module {
    bytes: usize,
    types: Vec<FuncType>,
    /// The type of each function, imports first.
    functions: Vec<u32>,
    imports: usize,
    bodies: usize,
    tags: usize,
    fixed_elements: u64,
    total: Total,
}

impl Module {
    fn read(&mut self, payload: Payload<'_>) -> Read {
        match payload {
            Payload::TypeSection(reader) => {
                for group in reader {
                    for it in group?.into_types() {
                        // There are no others without a proposal that is not supported.
                        if let CompositeInnerType::Func(ty) = it.composite_type.inner {
                            self.total.add_type(arity(&ty));
                            self.types.push(ty);
                        }
                    }
                }
                self.total.check(self.bytes)?;
            }
            Payload::ImportSection(reader) => {
                for import in reader.into_imports() {
                    let import = import?;
                    let kind = match import.ty {
                        TypeRef::Func(ty) | TypeRef::FuncExact(ty) => {
                            self.import(import.module, import.name, ty)?;
                            continue;
                        }
                        TypeRef::Memory(_) => "memory",
                        TypeRef::Table(_) => "table",
                        TypeRef::Global(_) => "global",
                        TypeRef::Tag(_) => "tag",
                    };
                    return Err(imports::not_a_function(kind, import.module, import.name).into());
                }
                self.total.check(self.bytes)?;
            }
            Payload::FunctionSection(reader) => {
                for ty in reader {
                    self.functions.push(ty?);
                }
            }
            Payload::TableSection(reader) => {
                for table in reader {
                    let ty = table?.ty;
                    if ty.element_type.is_func_ref() && ty.maximum == Some(ty.initial) {
                        self.fixed_elements = self.fixed_elements.saturating_add(ty.initial);
                    }
                }
                let elements = self.fixed_elements;
                if elements > MAX_FIXED_ELEMENTS {
                    return Err(refuse(format!(
                        "function tables of {elements} elements, more than {MAX_FIXED_ELEMENTS}"
                    )));
                }
            }
            Payload::TagSection(reader) => {
                for tag in reader {
                    self.tags += 1;
                    let params = self.params(tag?.func_type_idx);
                    if self.tags > MAX_TAGS || params > MAX_TAG_PARAMS {
                        return Err(refuse(format!(
                            "more than {MAX_TAGS} tags, or one of more than {MAX_TAG_PARAMS} values"
                        )));
                    }
                }
            }
            Payload::CodeSectionEntry(body) => self.function(&body)?,
            _ => {}
        }
        Ok(())
    }

    fn import(&mut self, module: &str, name: &str, ty: u32) -> Read {
        self.functions.push(ty);
        self.imports += 1;
        if let Some(ty) = self.types.get(ty as usize) {
            self.total.add_import(arity(ty));
            if let Some(ty) = wasmers(ty) {
                check_host_type(&ty).map_err(|error| {
                    let why = error.message();
                    Error::new(Code::Link, format!("the import {module}.{name}: {why}"))
                })?;
            }
        }
        Ok(())
    }

    fn params(&self, ty: u32) -> usize {
        self.types
            .get(ty as usize)
            .map_or(0, |it| it.params().len())
    }

    fn function(&mut self, body: &FunctionBody<'_>) -> Read {
        let index = self.imports + self.bodies;
        self.bodies += 1;
        let cost = function::cost(
            &function::Context {
                types: &self.types,
                functions: &self.functions,
                imports: self.imports,
            },
            index,
            body,
        )?;
        self.total.add_function(index, &cost);
        Ok(self.total.check(self.bytes)?)
    }
}

fn refuse(message: String) -> Refusal {
    Refusal::Because(Error::new(Code::InvalidModule, message))
}

fn arity(ty: &FuncType) -> u64 {
    (ty.params().len() + ty.results().len()) as u64
}

/// As wasmer has it; nothing for types that are not supported.
fn wasmers(ty: &FuncType) -> Option<FunctionType> {
    let all = |types: &[ValType]| types.iter().map(|it| value_type(*it)).collect();
    let (params, results): (Option<Vec<_>>, Option<Vec<_>>) = (all(ty.params()), all(ty.results()));
    Some(FunctionType::new(params?, results?))
}

fn value_type(ty: ValType) -> Option<Type> {
    Some(match ty {
        ValType::I32 => Type::I32,
        ValType::I64 => Type::I64,
        ValType::F32 => Type::F32,
        ValType::F64 => Type::F64,
        ValType::V128 => Type::V128,
        ValType::Ref(it) if it.is_func_ref() => Type::FuncRef,
        ValType::Ref(it) if it.is_extern_ref() => Type::ExternRef,
        ValType::Ref(_) => Type::ExceptionRef,
    })
}
