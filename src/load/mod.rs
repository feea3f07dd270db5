//! What happens once, when a plugin is loaded: bytecode or precompiled code becomes a
//! module, which all its VMs share. Nothing here touches a VM.
//!
//! From the top down:
//!
//! | file | what lives there |
//! |---|---|
//! | `module` | a loaded module, and where its code comes from |
//! | `cache`, `serialize` | compiled code as files and as bytes |
//! | `admission` | what is refused before it is compiled |
//! | `engine`, `checks` | compiler, WebAssembly features, what is planted into compiled code |
//! | `imports`, `initial`, `image`, `names` | what else a module tells: imports, initial memory, functions' names |
//! | `flags`, `reduced` | what compiled code and its instances agree on: where the flags lie that stop a guest, which instances have no functions |

#[cfg(feature = "cranelift")]
mod admission;
#[expect(unsafe_code, reason = "asks libc for the user")]
pub(crate) mod cache;
#[cfg(feature = "cranelift")]
pub(crate) mod checks;
pub(crate) mod engine;
pub(crate) mod flags;
#[expect(unsafe_code, reason = "a sealed file")]
pub(crate) mod image;
pub(crate) mod imports;
pub(crate) mod initial;
pub(crate) mod module;
pub(crate) mod names;
pub(crate) mod reduced;
#[expect(unsafe_code, reason = "machine code is taken on trust")]
pub(crate) mod serialize;
