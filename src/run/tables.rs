//! The tables of instances that wasmer makes without functions: see [`crate::load::reduced`].

use std::cell::UnsafeCell;
use std::ptr::NonNull;

use wasmer_types::entity::EntityRef as _;
use wasmer_types::{FunctionIndex, TableIndex, Type};
use wasmer_vm::{
    TableElement, VMCallerCheckedAnyfunc, VMContext, VMFuncRef, VMFunctionContext, VMInstance,
};

use crate::load::module::Module;
use crate::load::reduced::Reduced;
use crate::run::arch::HostBinding;
use crate::run::arch::import_stub;

/// Table elements to which an instance's tables point.
pub(crate) type Elements = Vec<UnsafeCell<VMCallerCheckedAnyfunc>>;

/// A function as a table has it; nothing for the number of a null reference, which is no
/// function's.
pub(crate) fn element(
    module: &Module,
    bindings: &[UnsafeCell<HostBinding>],
    vmctx: *mut VMContext,
    function: FunctionIndex,
) -> Option<VMCallerCheckedAnyfunc> {
    let (info, artifact) = (module.info(), module.artifact());
    let signature = info.functions.get(function).copied()?;
    let (func_ptr, vmctx) = match info.local_func_index(function) {
        Some(local) => (
            artifact.finished_functions()[local].0,
            VMFunctionContext { vmctx },
        ),
        None => (
            (import_stub as *const ()).cast(),
            VMFunctionContext {
                host_env: bindings[function.index()].get().cast(),
            },
        ),
    };
    Some(VMCallerCheckedAnyfunc {
        func_ptr,
        type_signature_hash: artifact.signatures()[signature],
        vmctx,
        call_trampoline: artifact.finished_function_call_trampolines()[signature],
    })
}

/// Fills the tables of an instance.
///
/// # Safety
/// `instance` was just made from `reduced`, which is of `module`, as are `bindings`. All
/// stay where they are for as long as the instance lives, and so does the result's
/// buffer.
pub(crate) unsafe fn fill_tables(
    instance: &mut VMInstance,
    reduced: &Reduced,
    module: &Module,
    bindings: &[UnsafeCell<HostBinding>],
) -> Elements {
    let (info, vmctx) = (module.info(), instance.vmctx_ptr());
    let element = |function| element(module, bindings, vmctx, function);
    // A table of fixed size has its elements in the instance.
    let inline = |table: TableIndex| {
        let local = info.local_table_index(table)?;
        let offset = module.offsets().vmctx_fixed_funcref_table_anyfuncs(local)?;
        // SAFETY: the offset lies in the instance.
        let elements = unsafe { vmctx.cast::<u8>().add(offset as usize) };
        Some(elements.cast::<VMCallerCheckedAnyfunc>())
    };

    for (table, ty) in &info.tables {
        if let Some(elements) = inline(table) {
            for index in 0..ty.minimum as usize {
                // SAFETY: there are so many.
                unsafe { elements.add(index).write(VMCallerCheckedAnyfunc::null()) };
            }
        }
    }
    let mut placed = Vec::with_capacity(reduced.placed);
    for (initializer, start) in info.table_initializers.iter().zip(&reduced.starts) {
        let table = initializer.table_index;
        let Some(local) = info.local_table_index(table) else {
            continue;
        };
        if info.tables[table].ty != Type::FuncRef {
            continue; // its elements can only be null, and are
        }
        let inline = inline(table);
        for (index, function) in (*start..).zip(&initializer.elements) {
            let element = element(*function);
            if let Some(elements) = inline {
                let element = element.unwrap_or_else(VMCallerCheckedAnyfunc::null);
                // SAFETY: `Reduced::new` has checked that it lies within.
                unsafe { elements.add(index as usize).write(element) };
                continue;
            }
            let reference = element.map(|element| {
                // Within the capacity, so that those before it stay where they are.
                placed.push(UnsafeCell::new(element));
                VMFuncRef(NonNull::from(&placed[placed.len() - 1]).cast())
            });
            // Cannot fail, for the same reason.
            let _ = instance.table_set(local, index, TableElement::FuncRef(reference));
        }
    }
    placed
}
