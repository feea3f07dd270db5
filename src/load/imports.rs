//! What a module imports: functions, by name.

use std::fmt;
use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashTable};
use wasmer_types::entity::EntityRef as _;
use wasmer_types::{FunctionType, ImportIndex, ModuleInfo};

use crate::error::{Code, Error, Result};

/// A function that the module imports.
#[derive(Clone, Debug)]
pub struct Import {
    /// The module part of its name, such as `env`.
    pub module: String,
    /// The function's name.
    pub name: String,
    /// Its type.
    pub ty: FunctionType,
    /// The next import of the same name.
    pub(crate) twin: Option<u32>,
}

impl fmt::Display for Import {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.module, self.name)
    }
}

/// Finds imports by name, without allocating: a host asks for each of its functions
/// in each VM.
pub(crate) struct ImportIndexes {
    hasher: DefaultHashBuilder,
    table: HashTable<u32>,
}

impl ImportIndexes {
    /// Also links imports of the same name.
    pub(crate) fn new(imports: &mut [Import]) -> Self {
        let hasher = DefaultHashBuilder::default();
        let mut table = HashTable::with_capacity(imports.len());
        // Backwards, so that each finds the next of its name.
        for index in (0..imports.len()).rev() {
            let key = imports[index].key();
            let hash = hasher.hash_one(key);
            let this = u32::try_from(index).unwrap_or(u32::MAX);
            let twin =
                match table.find_mut(hash, |other: &u32| imports[*other as usize].key() == key) {
                    Some(slot) => Some(std::mem::replace(slot, this)),
                    None => {
                        let rehash = |other: &u32| hasher.hash_one(imports[*other as usize].key());
                        table.insert_unique(hash, this, rehash);
                        None
                    }
                };
            imports[index].twin = twin;
        }
        Self { hasher, table }
    }

    pub(crate) fn find(&self, imports: &[Import], module: &[u8], name: &[u8]) -> Option<u32> {
        let hash = self.hasher.hash_one((module, name));
        let same = |index: &u32| imports[*index as usize].key() == (module, name);
        self.table.find(hash, same).copied()
    }
}

impl Import {
    fn key(&self) -> (&[u8], &[u8]) {
        (self.module.as_bytes(), self.name.as_bytes())
    }
}

/// All imports, in order.
///
/// # Errors
/// [`Code::Link`] if there are others than functions.
pub(crate) fn function_imports(info: &ModuleInfo) -> Result<Vec<Import>> {
    let mut imports = Vec::with_capacity(info.num_imported_functions);
    for (key, index) in &info.imports {
        let kind = match index {
            ImportIndex::Function(function) => {
                debug_assert_eq!(function.index(), imports.len());
                let ty = &info.signatures[info.functions[*function]];
                imports.push(Import {
                    module: key.module.clone(),
                    name: key.field.clone(),
                    ty: ty.clone(),
                    twin: None,
                });
                continue;
            }
            ImportIndex::Memory(_) => "memory",
            ImportIndex::Table(_) => "table",
            ImportIndex::Global(_) => "global",
            ImportIndex::Tag(_) => "tag",
        };
        return Err(not_a_function(kind, &key.module, &key.field));
    }
    Ok(imports)
}

/// What a module is told that imports something else than functions.
pub(crate) fn not_a_function(kind: &str, module: &str, name: &str) -> Error {
    Error::new(
        Code::Link,
        format!(
            "the module imports the {kind} {module}.{name}; a Proxy-Wasm host provides functions \
             only, so a plugin must define its own {kind}"
        ),
    )
}
