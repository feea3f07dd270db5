//! Compiles the adaptor and its driver: against tests/cpp/mirror, or against a checkout of
//! proxy-wasm-cpp-host when PROXY_WASM_CPP_HOST and PROXY_WASM_CPP_SDK name those two.

use std::env;
use std::path::{Path, PathBuf};

fn main() {
    let root = Path::new("../..");
    let mut build = cxx_build::bridge("src/lib.rs");
    build
        .std("c++20")
        .include(root.join("cpp"))
        .file("src/driver.cc")
        .file(root.join("cpp/rust_vm.cc"));
    let mut watched = vec![PathBuf::from("src"), root.join("cpp")];

    if let (Some(host), Some(sdk)) = (
        checkout("PROXY_WASM_CPP_HOST"),
        checkout("PROXY_WASM_CPP_SDK"),
    ) {
        build
            .flag("-isystem")
            .flag(&host)
            .flag("-isystem")
            .flag(&sdk)
            .file(host.join("src/bytecode_util.cc"))
            .file("src/real_host.cc");
        watched.extend([host, sdk]);
    } else {
        let mirror = root.join("tests/cpp/mirror");
        build.include(&mirror);
        watched.push(mirror);
    }
    build.compile("adaptor");

    for path in watched {
        println!("cargo:rerun-if-changed={}", path.display());
    }
}

fn checkout(variable: &str) -> Option<PathBuf> {
    println!("cargo:rerun-if-env-changed={variable}");
    env::var_os(variable).map(PathBuf::from)
}
