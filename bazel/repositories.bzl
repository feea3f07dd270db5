"""What a WORKSPACE build needs: Envoy 1.36 to 1.39. From 1.40 on, MODULE.bazel does this."""

load("//bazel/cargo:archive.bzl", "cargo_archive")

def envoy_wasm_runtime_rust_repositories():
    """Declares the archive built by Cargo. All else that //cpp uses, Envoy has declared.

    Built by Cargo, because the Rust toolchain of these releases is older than this project's and
    serves all of Envoy's own Rust too. The build must select it:
    build --@envoy_wasm_runtime_rust//bazel:archive=@envoy_wasm_runtime_rust//bazel/cargo:archive
    """
    cargo_archive(name = "envoy_wasm_runtime_rust_cargo")
