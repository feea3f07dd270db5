//! Function types: comparing what the host says with what the module has.

use wasmer_types::{FunctionType, Type};

use crate::error::{Code, Error, Result, list};

/// The most parameters that a host function may have.
pub const MAX_HOST_PARAMS: usize = 16;

/// The longest list of parameters or results in a message: more than a host function has.
const MAX_TYPES_TEXT: usize = 120;

/// A function type as a caller has it. The C ABI has bytes, and comparing them as
/// they are spares it an allocation for each of the host's functions in each VM.
pub(crate) trait Wanted {
    fn is(&self, actual: &FunctionType) -> bool;
    fn show(&self) -> String;
}

impl Wanted for FunctionType {
    fn is(&self, actual: &FunctionType) -> bool {
        self == actual
    }

    /// In the text format.
    fn show(&self) -> String {
        let show = |types: &[Type]| {
            list(types.iter(), MAX_TYPES_TEXT, |it| {
                it.to_string().to_lowercase()
            })
        };
        format!("({}) -> ({})", show(self.params()), show(self.results()))
    }
}

/// Value types in the encoding of the binary format.
pub(crate) struct Codes<'a> {
    pub(crate) params: &'a [u8],
    pub(crate) results: &'a [u8],
}

impl Wanted for Codes<'_> {
    fn is(&self, actual: &FunctionType) -> bool {
        fn same(codes: &[u8], types: &[Type]) -> bool {
            codes.len() == types.len()
                && codes
                    .iter()
                    .zip(types)
                    .all(|(code, ty)| code_of(*ty) == *code)
        }
        same(self.params, actual.params()) && same(self.results, actual.results())
    }

    fn show(&self) -> String {
        let show = |codes: &[u8]| {
            list(codes.iter(), MAX_TYPES_TEXT, |code| match code {
                0x7f => "i32".into(),
                0x7e => "i64".into(),
                0x7d => "f32".into(),
                0x7c => "f64".into(),
                other => format!("{other:#x}"),
            })
        };
        format!("({}) -> ({})", show(self.params), show(self.results))
    }
}

fn code_of(ty: Type) -> u8 {
    match ty {
        Type::I32 => 0x7f,
        Type::I64 => 0x7e,
        Type::F32 => 0x7d,
        Type::F64 => 0x7c,
        Type::V128 => 0x7b,
        Type::FuncRef => 0x70,
        Type::ExternRef => 0x6f,
        Type::ExceptionRef => 0x69,
    }
}

/// Whether a host function can have this type: it must be one that C can express and
/// the import stub can pass on.
pub(crate) fn check_host_type(ty: &FunctionType) -> Result<()> {
    let plain = |ty: &Type| matches!(ty, Type::I32 | Type::I64 | Type::F32 | Type::F64);
    if ty.params().len() <= MAX_HOST_PARAMS
        && ty.results().len() <= 1
        && ty.params().iter().chain(ty.results()).all(plain)
    {
        return Ok(());
    }
    Err(Error::new(
        Code::Link,
        format!(
            "a host function cannot be {}: at most {MAX_HOST_PARAMS} numbers and one result",
            ty.show()
        ),
    ))
}
