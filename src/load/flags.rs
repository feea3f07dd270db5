//! Where the flags lie that stop a guest: globals which `checks` adds to a module, and
//! which its code reads.

use wasmer_types::entity::EntityRef as _;
use wasmer_types::{LocalGlobalIndex, ModuleInfo};

/// How many flags an instance has.
pub(crate) const FLAGS: u32 = 8;

/// The first flag among the local globals of a module that `checks` has prepared: it
/// appends the flags and one global more.
pub(crate) fn flags_index(info: &ModuleInfo) -> Option<LocalGlobalIndex> {
    let locals = info.globals.len().checked_sub(info.num_imported_globals)?;
    locals
        .checked_sub(FLAGS as usize + 1)
        .map(LocalGlobalIndex::new)
}
