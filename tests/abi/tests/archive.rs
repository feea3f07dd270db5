//! The prelinked archive: what it exports, and that it links beside another Rust library.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The archive that `make staticlib` builds.
fn archive() -> PathBuf {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/release/librust_wasm_prelinked.a");
    assert!(
        path.exists(),
        "{} is missing; run `make staticlib`",
        path.display()
    );
    path
}

fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn exports_the_headers_functions_and_nothing_else() {
    let symbols = run(Command::new("nm")
        .args(["--extern-only", "--defined-only", "--format=posix"])
        .arg(archive()));
    let mut exports: Vec<_> = symbols
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, _)| name)
        .collect();
    exports.retain(|name| !name.ends_with("]:")); // the line that names the archive's member
    exports.sort_unstable();
    let mut functions = abi_tests::FUNCTIONS.to_vec();
    functions.sort_unstable();
    assert_eq!(exports, functions);
}

#[test]
fn leaves_the_unwinder_to_the_program() {
    let symbols = run(Command::new("nm").arg("--undefined-only").arg(archive()));
    assert!(symbols.contains("U _Unwind_RaiseException"));
}

/// Both bring Rust's standard library, whose symbols would clash were ours not local. The program
/// is C and C++: its exceptions, the other library's panics and our traps share one unwinder.
#[test]
fn links_and_runs_beside_another_rust_library() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let other = out.join("libother.a");
    run(Command::new("rustc")
        .args(["--edition=2024", "--crate-type=staticlib", "-O"])
        .arg(here.join("tests/archive/other.rs"))
        .arg("-o")
        .arg(&other));
    for (c, cpp) in [("gcc", "g++"), ("clang", "clang++")] {
        let object = out.join(format!("program-{c}.o"));
        run(Command::new(c)
            .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-c", "-I"])
            .arg(here.join("../../cpp"))
            .arg(here.join("tests/archive/program.c"))
            .arg("-o")
            .arg(&object));
        let link = |name: &str, inputs: &[&Path], flags: &[&str]| {
            let program = out.join(format!("{name}-{c}"));
            run(Command::new(cpp)
                .args(["-std=c++20", "-Wall", "-Wextra", "-Werror"])
                .args(flags)
                .arg(here.join("tests/archive/unwinding.cc"))
                .args(inputs)
                .arg(&other)
                .args(["-Wl,--gc-sections", "-Wl,--strip-all"])
                .args(["-lgcc_s", "-lpthread", "-ldl", "-lm", "-o"])
                .arg(&program));
            program
        };
        let program = link("archive", &[&object, &archive()], &[]);
        assert_eq!(
            run(&mut Command::new(&program)),
            "2 + 3 = 5; trap; caught, caught\n"
        );

        let without = link("without", &[], &["-DWITHOUT_ARCHIVE"]);
        run(&mut Command::new(&without));
        let size = |path: &Path| path.metadata().expect("linked").len();
        let added = size(&program) - size(&without);
        // For `cargo test -- --nocapture`. The bound is a little above what docs/custom-envoy.md says.
        println!("{c}: the archive adds {added} bytes to a stripped program");
        assert!(added < 20 << 20, "{c}: {added}");
    }
}
