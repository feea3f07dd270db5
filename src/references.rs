//! The functions that an instance must know.
//!
//! wasmer keeps 40 bytes per function of the module in every instance, so that each can
//! be referred to. But compiled code calls functions directly, exports are called by
//! their addresses (`instance`), and what is in no table, global or element segment is
//! never referred to, unless code has a `ref.func`, which names a function by its
//! number. That is rare: a module without is marked when it is compiled, and its
//! instances are made with those few functions alone, renumbered.

use std::sync::Arc;

use wasmer_types::entity::{
    BoxedSlice, EntityRef as _, PrimaryMap, packed_option::ReservedValue as _,
};
use wasmer_types::{CustomSectionIndex, FunctionIndex, GlobalInit, LocalFunctionIndex, ModuleInfo};
use wasmer_vm::FunctionBodyPtr;

pub(crate) type Bodies = BoxedSlice<LocalFunctionIndex, FunctionBodyPtr>;

/// The custom section that marks a module without `ref.func` in its code. It is the
/// compiler's: the module's own sections are gone by then.
const MARK: &str = "rust-wasm.no-ref.func";

#[cfg_attr(
    not(feature = "cranelift"),
    expect(dead_code, reason = "marks what is compiled")
)]
pub(crate) fn mark(info: &mut ModuleInfo) {
    let index: CustomSectionIndex = info.custom_sections_data.push(Box::new([]));
    info.custom_sections.insert(MARK.to_owned(), index);
}

/// What instances are made from: `info` and `bodies` with those functions only that can
/// be referred to.
pub(crate) fn reduce(info: &Arc<ModuleInfo>, bodies: &Bodies) -> (Arc<ModuleInfo>, Bodies) {
    if !info.custom_sections.contains_key(MARK) {
        return (info.clone(), bodies.clone());
    }
    let imports = info.functions.values().take(info.num_imported_functions);
    // Without what an instance has no use for, above all names.
    let mut reduced = ModuleInfo {
        hash: info.hash,
        table_initializers: info.table_initializers.clone(),
        passive_elements: info.passive_elements.clone(),
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
    let mut reduced_bodies = PrimaryMap::new();
    let mut numbers = vec![FunctionIndex::reserved_value(); info.functions.len()];

    // Null references have the reserved number, which is no function's.
    let mut renumber = |function: &mut FunctionIndex| {
        let Some(local) = info.local_func_index(*function) else {
            return;
        };
        let Some(number) = numbers.get_mut(function.index()) else {
            return;
        };
        if *number == FunctionIndex::reserved_value() {
            *number = reduced.functions.push(info.functions[*function]);
            reduced_bodies.push(bodies[local]);
        }
        *function = *number;
    };
    for table in &mut reduced.table_initializers {
        table.elements.iter_mut().for_each(&mut renumber);
    }
    for elements in reduced.passive_elements.values_mut() {
        elements.iter_mut().for_each(&mut renumber);
    }
    for global in reduced.global_initializers.values_mut() {
        if let GlobalInit::RefFunc(function) = global {
            renumber(function);
        }
    }
    (Arc::new(reduced), reduced_bodies.into_boxed_slice())
}
