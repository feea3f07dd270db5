//! What a module's memory and globals start with, worked out once for all its VMs.

use wasmer_compiler::{Artifact, ArtifactCreate as _};
use wasmer_types::entity::EntityRef as _;
use wasmer_types::{
    DataInitializerLike as _, DataInitializerLocationLike as _, GlobalIndex, InitExpr, InitExprOp,
    ModuleInfo,
};

use crate::error::{Code, Error, Result};
use crate::load::image::{Image, Segment};

/// The memory's contents.
///
/// # Errors
/// [`Code::Trap`] if a data segment lies outside it.
pub(crate) fn initial_image(artifact: &Artifact, info: &ModuleInfo) -> Result<Image> {
    let out_of_bounds = |offset: u64, size: usize| {
        Error::new(
            Code::Trap,
            format!(
                "wasm trap: out of bounds memory access: a data segment of {size} bytes at {offset:#x}"
            ),
        )
    };
    // No segment can exist without a memory: validated.
    let limit = info
        .memories
        .values()
        .next()
        .map_or(0, |it| u64::from(it.minimum.0) << 16);
    let globals = initial_globals(info);
    let mut segments = Vec::new();
    for initializer in artifact.data_initializers() {
        let data = initializer.data();
        let offset = evaluate(&initializer.location().offset_expr(), &globals, info)
            .ok_or_else(|| Error::new(Code::InvalidModule, "malformed data segment offset"))?;
        let offset = u64::from(offset.cast_unsigned());
        if offset + data.len() as u64 > limit {
            return Err(out_of_bounds(offset, data.len()));
        }
        // Below 4 GiB.
        let offset = usize::try_from(offset).map_err(|_| out_of_bounds(offset, data.len()))?;
        segments.push(Segment { offset, data });
    }
    Ok(Image::new(&segments))
}

/// The values of the module's own i32 globals at the start, in order: a global's
/// initializer may refer to earlier ones only.
pub(crate) fn initial_globals(info: &ModuleInfo) -> Vec<Option<i32>> {
    use wasmer_types::GlobalInit;
    let mut values = Vec::with_capacity(info.global_initializers.len());
    for initializer in info.global_initializers.values() {
        let value = match initializer {
            GlobalInit::I32Const(value) => Some(*value),
            GlobalInit::GetGlobal(other) => known(&values, *other, info),
            GlobalInit::Expr(expression) => evaluate(expression, &values, info),
            _ => None,
        };
        values.push(value);
    }
    values
}

fn known(values: &[Option<i32>], global: GlobalIndex, info: &ModuleInfo) -> Option<i32> {
    values
        .get(info.local_global_index(global)?.index())
        .copied()
        .flatten()
}

/// Evaluates a constant expression of type i32.
pub(crate) fn evaluate(
    expression: &InitExpr,
    globals: &[Option<i32>],
    info: &ModuleInfo,
) -> Option<i32> {
    let mut stack: Vec<i32> = Vec::new();
    for op in expression.ops() {
        let value = match op {
            InitExprOp::I32Const(value) => *value,
            InitExprOp::GlobalGetI32(global) => known(globals, *global, info)?,
            InitExprOp::I32Add | InitExprOp::I32Sub | InitExprOp::I32Mul => {
                let right = stack.pop()?;
                let left = stack.pop()?;
                match op {
                    InitExprOp::I32Add => left.wrapping_add(right),
                    InitExprOp::I32Sub => left.wrapping_sub(right),
                    _ => left.wrapping_mul(right),
                }
            }
            _ => return None,
        };
        stack.push(value);
    }
    match stack[..] {
        [value] => Some(value),
        _ => None,
    }
}
