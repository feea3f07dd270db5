//! Turns cpp/rust_wasm.h into assertions about `rust_wasm::ffi`, which src/lib.rs compiles.

use proc_macro2::TokenStream;
use quote::quote;
use std::path::Path;
use std::{env, fs};
use syn::{Field, FnArg, ForeignItem, Ident, Item, Signature};

const HEADER: &str = "../../cpp/rust_wasm.h";

fn main() {
    println!("cargo:rerun-if-changed={HEADER}");
    let header = bindgen::Builder::default()
        .header(HEADER)
        .allowlist_item("rust_wasm_.*")
        .prepend_enum_name(false)
        .layout_tests(false)
        .generate()
        .expect("the header parses")
        .to_string();

    let mut assertions = vec![];
    let mut functions = vec![];
    for item in syn::parse_file(&header).expect("bindgen writes Rust").items {
        match item {
            Item::ForeignMod(block) => {
                for item in block.items {
                    if let ForeignItem::Fn(function) = item {
                        assertions.push(export(&function.sig));
                        functions.push(function.sig.ident.to_string());
                    }
                }
            }
            // A handle has no fields to compare.
            Item::Struct(item) if item.fields.iter().any(|field| named(field, "_unused")) => {}
            Item::Struct(item) => assertions.push(layout(&item.ident, item.fields.iter())),
            // The fields of a union all start at zero.
            Item::Union(item) => assertions.push(layout(&item.ident, [].iter())),
            _ => {}
        }
    }
    let assertions = quote! {
        #(#assertions)*
        /// The functions of the header.
        pub const FUNCTIONS: &[&str] = &[#(#functions),*];
    };

    let out = env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    for (name, text) in [
        ("header.rs", header),
        ("assertions.rs", assertions.to_string()),
    ] {
        fs::write(Path::new(&out).join(name), text).expect("OUT_DIR is writable");
    }
}

/// The export has the declaration's type, over the library's own types.
fn export(signature: &Signature) -> TokenStream {
    let (name, output) = (&signature.ident, &signature.output);
    let inputs = signature.inputs.iter().map(|input| match input {
        FnArg::Typed(input) => &input.ty,
        FnArg::Receiver(_) => unreachable!("C has no methods"),
    });
    quote! {
        const _: unsafe extern "C" fn(#(#inputs),*) #output = rust_wasm::ffi::#name;
    }
}

/// The library's type has the same size, alignment and fields.
fn layout<'a>(name: &Ident, fields: impl Iterator<Item = &'a Field>) -> TokenStream {
    let fields = fields.map(|field| &field.ident);
    quote! {
        const _: () = {
            assert!(size_of::<header::#name>() == size_of::<#name>());
            assert!(align_of::<header::#name>() == align_of::<#name>());
            #(assert!(
                std::mem::offset_of!(header::#name, #fields)
                    == std::mem::offset_of!(#name, #fields)
            );)*
        };
    }
}

fn named(field: &Field, name: &str) -> bool {
    field.ident.as_ref().is_some_and(|ident| ident == name)
}
