//! What is refused before the compiler sees it: modules that can never be linked, and those
//! that would cost far more than their size lets expect.
//!
//! A compiler's work does not follow from the length of what it reads. A type of a thousand
//! parameters is named by one byte, each function that has it is as long as any other, and
//! what lives across loops is carried by each. So every module is read once, and what it
//! would cost is added up, by what Cranelift was seen to need ([`cost`]). Plugins come to a
//! fifth of what they may cost, whichever language they were written in.

mod cost;
mod function;
mod operators;

use wasmer::sys::wasmparser::{
    BinaryReaderError, CompositeInnerType, ElementItems, FuncType, FunctionBody, Parser, Payload,
    TypeRef, ValType,
};
use wasmer_compiler::wptype_to_type;
use wasmer_types::FunctionType;

use crate::error::{Code, Error, Result};
use crate::load::checks::Survey;
use crate::load::imports;
use crate::signature::check_host_type;
use cost::Total;

/// The most elements of function tables of a fixed size: these lie in the instance, which
/// compiled code addresses with 32 bits.
const MAX_FIXED_ELEMENTS: u64 = 1 << 26;

/// Every VM has a copy of each tag's type, and every exception has its parameters.
const MAX_TAGS: usize = 1000;
const MAX_TAG_PARAMS: usize = 16;

/// Refuses what must not be compiled, and surveys the rest.
///
/// # Errors
/// [`Code::Link`] for imports that no host can provide, [`Code::InvalidModule`] for what
/// exceeds a limit. The bytecode is valid: the validator comes first, since the number of
/// locals that a function declares is taken on trust.
pub(crate) fn admit(bytecode: &[u8]) -> Result<Survey> {
    let mut module = Module::new(bytecode.len());
    for payload in Parser::new(0).parse_all(bytecode) {
        module.read(payload?)?;
    }
    module.total.check(module.bytes)?;
    Ok(module.survey)
}

/// Of bytecode that the validator has let pass.
impl From<BinaryReaderError> for Error {
    fn from(error: BinaryReaderError) -> Self {
        Self::new(Code::InvalidModule, error.to_string())
    }
}

/// What has been read of a module.
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
    survey: Survey,
}

impl Module {
    fn new(bytes: usize) -> Self {
        Self {
            bytes,
            types: Vec::new(),
            functions: Vec::new(),
            imports: 0,
            bodies: 0,
            tags: 0,
            fixed_elements: 0,
            total: Total::default(),
            survey: Survey::new(),
        }
    }

    fn read(&mut self, payload: Payload<'_>) -> Result<()> {
        match payload {
            Payload::TypeSection(reader) => {
                for group in reader {
                    for it in group?.into_types() {
                        // There are no others without a proposal that is not supported.
                        if let CompositeInnerType::Func(ty) = it.composite_type.inner {
                            for ty in ty.params().iter().chain(ty.results()) {
                                check_type(*ty)?;
                            }
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
                    return Err(imports::not_a_function(kind, import.module, import.name));
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
                    check_type(ValType::Ref(ty.element_type))?;
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
            Payload::GlobalSection(reader) => {
                for global in reader {
                    check_type(global?.ty.content_type)?;
                }
            }
            Payload::ElementSection(reader) => {
                for elements in reader {
                    if let ElementItems::Expressions(ty, _) = elements?.items {
                        check_type(ValType::Ref(ty))?;
                    }
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

    fn import(&mut self, module: &str, name: &str, ty: u32) -> Result<()> {
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

    fn function(&mut self, body: &FunctionBody<'_>) -> Result<()> {
        let index = self.imports + self.bodies;
        self.bodies += 1;
        let counts = function::count(
            &function::Context {
                types: &self.types,
                functions: &self.functions,
                imports: self.imports,
            },
            index,
            body,
        )?;
        counts.survey(&mut self.survey);
        self.total.add_function(index, &counts.cost());
        self.total.check(self.bytes)
    }
}

fn refuse(message: String) -> Error {
    Error::new(Code::InvalidModule, message)
}

/// Refuses what the validator knows and the compiler does not, such as `nullexnref`: wasmer takes
/// for granted that it never sees that.
fn check_type(ty: ValType) -> Result<()> {
    match wptype_to_type(ty) {
        Ok(_) => Ok(()),
        Err(_) => Err(refuse(format!("the type {ty} is not supported"))),
    }
}

fn arity(ty: &FuncType) -> u64 {
    (ty.params().len() + ty.results().len()) as u64
}

/// As wasmer has it; nothing for types that are not supported.
fn wasmers(ty: &FuncType) -> Option<FunctionType> {
    let all = |types: &[ValType]| types.iter().map(|it| wptype_to_type(*it).ok()).collect();
    let (params, results): (Option<Vec<_>>, Option<Vec<_>>) = (all(ty.params()), all(ty.results()));
    Some(FunctionType::new(params?, results?))
}
