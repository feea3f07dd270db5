//! How the module that Envoy loads is linked.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=RUST_WASM_MODULE_SYMBOLS");
    // Cargo would export the runtime's C ABI beside the hooks.
    println!("cargo:rustc-cdylib-link-arg=-Wl,--exclude-libs,ALL");
    // The module never leaves the process, whatever `do_not_close` says: signal handlers and
    // thread-locals stay behind when Envoy closes it.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    // Two fifths of the file are for debuggers and profilers; those who want them set this.
    let release = std::env::var("PROFILE").is_ok_and(|it| it == "release");
    if release && std::env::var_os("RUST_WASM_MODULE_SYMBOLS").is_none() {
        println!("cargo:rustc-cdylib-link-arg=-Wl,--strip-all");
    }
}
