//! Operators that cost more than others.

use wasmer::sys::wasmparser::{Operator, for_each_visit_simd_operator};

/// Whether it is a call of a function of wasmer's.
pub(super) fn is_library_call(operator: &Operator<'_>) -> bool {
    matches!(
        operator,
        Operator::DataDrop { .. }
            | Operator::ElemDrop { .. }
            | Operator::MemorySize { .. }
            | Operator::RefFunc { .. }
            | Operator::TableGet { .. }
            | Operator::TableSet { .. }
            | Operator::TableSize { .. }
    )
}

macro_rules! define_is_vector {
    ($(@$proposal:ident $operator:ident $({ $($name:ident: $ty:ty),* })? => $visit:ident ($($annotation:tt)*))*) => {
        /// Whether it works on vectors.
        pub(super) fn is_vector(operator: &Operator<'_>) -> bool {
            matches!(operator, $(Operator::$operator { .. })|*)
        }
    };
}

for_each_visit_simd_operator!(define_is_vector);

/// Those on vectors that are many instructions.
pub(super) fn is_long_vector(operator: &Operator<'_>) -> bool {
    matches!(
        operator,
        Operator::F32x4ConvertI32x4U
            | Operator::F32x4Max
            | Operator::F32x4Min
            | Operator::F64x2Max
            | Operator::F64x2Min
            | Operator::I32x4TruncSatF32x4S
            | Operator::I32x4TruncSatF32x4U
            | Operator::I32x4TruncSatF64x2SZero
            | Operator::I32x4TruncSatF64x2UZero
            | Operator::I64x2Abs
            | Operator::I64x2ShrS
            | Operator::I8x16Popcnt
            | Operator::I8x16Shl
            | Operator::I8x16ShrS
            | Operator::I8x16ShrU
    )
}
