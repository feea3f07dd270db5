//! Modules that refer to functions in one way only: they call through tables.
//!
//! wasmer keeps 40 bytes per function of the module in every instance, so that each can
//! be referred to, and what it takes to hand on each import. But compiled code calls
//! functions directly, and exports are called by their addresses (`instance`); few
//! plugins do more than to fill tables when they start and to call through them. They
//! are marked when they are compiled. wasmer then makes their instances without
//! functions, and their tables are filled here.

use std::cell::UnsafeCell;
use std::ptr::NonNull;
use std::sync::Arc;

use wasmer_types::entity::EntityRef as _;
use wasmer_types::{FunctionIndex, GlobalInit, ModuleInfo, TableIndex, TableInitializer, Type};
use wasmer_vm::{TableElement, VMCallerCheckedAnyfunc, VMFuncRef, VMFunctionContext, VMInstance};

use crate::load::module::Module;
use crate::run::arch::import_stub;
use crate::run::stack::HostBinding;

/// The custom section that marks a module. It is the compiler's: the module's own
/// sections are gone by then.
const MARK: &str = "rust-wasm.calls-through-tables";

#[cfg(feature = "cranelift")]
pub(crate) fn mark(info: &mut ModuleInfo) {
    let index = info.custom_sections_data.push(Box::new([]));
    info.custom_sections.insert(MARK.to_owned(), index);
}

/// Whether code may refer to a function in other ways than by a call, or see what is in
/// a table.
#[cfg(feature = "cranelift")]
pub(crate) fn is_reference(operator: &wasmer::sys::wasmparser::Operator<'_>) -> bool {
    use wasmer::sys::wasmparser::Operator;
    matches!(
        operator,
        Operator::RefFunc { .. }
            | Operator::TableGet { .. }
            | Operator::TableSet { .. }
            | Operator::TableSize { .. }
            | Operator::TableGrow { .. }
            | Operator::TableFill { .. }
            | Operator::TableCopy { .. }
            | Operator::TableInit { .. }
    )
}

/// What the instances of a marked module are made from.
pub(crate) struct Reduced {
    /// Without functions and what names them.
    pub(crate) info: Arc<ModuleInfo>,
    /// For each of the module's table initializers, where it begins.
    starts: Box<[u32]>,
    /// How many elements need a place of their own, because their table has none.
    placed: usize,
}

impl Reduced {
    /// Nothing if the module is not marked, or if an initializer must fail: wasmer says
    /// how. `offset` evaluates an initializer's offset.
    pub(crate) fn new(
        info: &ModuleInfo,
        offset: impl Fn(&TableInitializer) -> Option<i32>,
    ) -> Option<Self> {
        let mut globals = info.global_initializers.values();
        if !info.custom_sections.contains_key(MARK)
            || globals.any(|global| matches!(global, GlobalInit::RefFunc(_)))
        {
            return None;
        }
        let mut placed = 0;
        let mut starts = Vec::with_capacity(info.table_initializers.len());
        for initializer in &info.table_initializers {
            let table = info.tables.get(initializer.table_index)?;
            let start = u32::try_from(offset(initializer)?).ok()?;
            let count = u32::try_from(initializer.elements.len()).ok()?;
            if start.checked_add(count)? > table.minimum {
                return None;
            }
            if table.ty == Type::FuncRef && !table.is_fixed_funcref_table() {
                placed += initializer.elements.len();
            }
            starts.push(start);
        }
        let imports = info.functions.values().take(info.num_imported_functions);
        // Sizes and types alone.
        let info = ModuleInfo {
            passive_data: info.passive_data.clone(),
            global_initializers: info.global_initializers.clone(),
            signatures: info.signatures.clone(),
            signature_hashes: info.signature_hashes.clone(),
            functions: imports.copied().collect(),
            tables: info.tables.clone(),
            memories: info.memories.clone(),
            globals: info.globals.clone(),
            tags: info.tags.clone(),
            num_imported_functions: info.num_imported_functions,
            num_imported_tables: info.num_imported_tables,
            num_imported_memories: info.num_imported_memories,
            num_imported_tags: info.num_imported_tags,
            num_imported_globals: info.num_imported_globals,
            ..ModuleInfo::default()
        };
        Some(Self {
            info: Arc::new(info),
            starts: starts.into_boxed_slice(),
            placed,
        })
    }
}

/// Table elements to which an instance's tables point.
pub(crate) type Elements = Vec<UnsafeCell<VMCallerCheckedAnyfunc>>;

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
    let (info, artifact, vmctx) = (module.info(), module.artifact(), instance.vmctx_ptr());
    let bodies = artifact.finished_functions();
    let trampolines = artifact.finished_function_call_trampolines();
    let signatures = artifact.signatures();
    let element = |function: FunctionIndex| {
        // The number of a null reference is no function's.
        let signature = info.functions.get(function).copied()?;
        let (func_ptr, vmctx) = match info.local_func_index(function) {
            Some(local) => (bodies[local].0, VMFunctionContext { vmctx }),
            None => (
                (import_stub as *const ()).cast(),
                VMFunctionContext {
                    host_env: bindings[function.index()].get().cast(),
                },
            ),
        };
        Some(VMCallerCheckedAnyfunc {
            func_ptr,
            type_signature_hash: signatures[signature],
            vmctx,
            call_trampoline: trampolines[signature],
        })
    };
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
