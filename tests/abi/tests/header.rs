//! The header compiles alone, as every C and C++ that may include it.

use std::path::Path;
use std::process::Command;

#[test]
fn compiles_alone_as_c_and_cpp() {
    let header = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cpp/rust_wasm.h");
    for compiler in ["gcc", "clang"] {
        for (language, standard) in [("c", "c11"), ("c++", "c++20")] {
            let output = Command::new(compiler)
                .args(["-x", language, &format!("-std={standard}"), "-fsyntax-only"])
                .args(["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-include"])
                .arg(&header)
                .arg("/dev/null")
                .output()
                .expect("the compiler runs");
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(
                output.status.success(),
                "{compiler} -std={standard}: {errors}"
            );
        }
    }
}
