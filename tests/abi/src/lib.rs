//! Compiles only if the library's exports and types are those of cpp/rust_wasm.h.

/// The header, as bindgen reads it.
#[allow(
    missing_docs,
    non_camel_case_types,
    clippy::missing_safety_doc,
    reason = "generated; the header has the documentation"
)]
pub mod header {
    include!(concat!(env!("OUT_DIR"), "/header.rs"));
}

mod assertions {
    use super::header;

    // The library's twin of each type of the header. The plain ones, whose layout counts, by the
    // names of their structs,
    use rust_wasm::Value as rust_wasm_value;
    use rust_wasm::ffi::{
        Memory as rust_wasm_memory, Name as rust_wasm_name, Options as rust_wasm_options,
        Signature as rust_wasm_signature, Slice as rust_wasm_slice,
    };
    // and by the names that functions use;
    use {
        rust_wasm_memory as rust_wasm_memory_t, rust_wasm_name as rust_wasm_name_t,
        rust_wasm_options as rust_wasm_options_t, rust_wasm_signature as rust_wasm_signature_t,
        rust_wasm_slice as rust_wasm_slice_t, rust_wasm_value as rust_wasm_value_t,
    };
    // and those of which only the pointer crosses.
    use rust_wasm::ffi::{Func as rust_wasm_func_t, HostFn as rust_wasm_host_fn_t};
    use rust_wasm::{
        Code as rust_wasm_code_t, Error as rust_wasm_error_t, Module as rust_wasm_module_t,
        Vm as rust_wasm_vm_t,
    };
    #[allow(non_camel_case_types, reason = "the header's name")]
    type rust_wasm_bytes_t = Vec<u8>;

    include!(concat!(env!("OUT_DIR"), "/assertions.rs"));
}
pub use assertions::FUNCTIONS;

// The values of the enumerations. An enum constant is unsigned in the header.
const _: () = {
    use header::*;
    use rust_wasm::Code;
    assert!(RUST_WASM_INVALID_ARGUMENT == Code::InvalidArgument as u32);
    assert!(RUST_WASM_INVALID_STATE == Code::InvalidState as u32);
    assert!(RUST_WASM_INVALID_MODULE == Code::InvalidModule as u32);
    assert!(RUST_WASM_INCOMPATIBLE == Code::Incompatible as u32);
    assert!(RUST_WASM_LINK == Code::Link as u32);
    assert!(RUST_WASM_RESOURCE == Code::Resource as u32);
    assert!(RUST_WASM_TRAP == Code::Trap as u32);
    assert!(RUST_WASM_INTERRUPT == Code::Interrupt as u32);
    assert!(RUST_WASM_HOST_TRAP == Code::HostTrap as u32);
    assert!(RUST_WASM_PANIC == Code::Panic as u32);
    assert!(size_of::<rust_wasm_code>() == size_of::<Code>());
};
