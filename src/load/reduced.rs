//! Modules that refer to functions in one way only: they call through tables.
//!
//! wasmer keeps 40 bytes per function of the module in every instance, so that each can
//! be referred to, and what it takes to hand on each import. But compiled code calls
//! functions directly, and exports are called by their addresses; few plugins do more than
//! to fill tables when they start and to call through them. They are marked when they are
//! compiled. wasmer then makes their instances without functions, and the runtime fills
//! their tables.

use std::sync::Arc;

use wasmer_types::{GlobalInit, ModuleInfo, TableInitializer, Type};

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
    pub(crate) starts: Box<[u32]>,
    /// How many elements need a place of their own, because their table has none.
    pub(crate) placed: usize,
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
