//! The archives: what the prelinked one exports, that it links beside another Rust library, and
//! that a crash of the program is as well reported with each of them as without.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The prelinked archive that `make staticlib` or `make headless` builds.
fn archive(folder: &str) -> PathBuf {
    built(&format!("{folder}/release/librust_wasm_prelinked.a"))
}

fn built(file: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    let path = target.join(file.trim_start_matches('/'));
    assert!(
        path.exists(),
        "{} is missing; run `make staticlib headless`",
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
        .arg(archive("")));
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
    let symbols = run(Command::new("nm").arg("--undefined-only").arg(archive("")));
    assert!(symbols.contains("U _Unwind_RaiseException"));
}

/// What the program says when all is well.
const GOOD: &str = "2 + 3 = 5; trap; caught, caught\n";

/// Links the program with an archive, beside another Rust library, and the same without one.
/// How much the archive adds when stripped is for `cargo test -- --nocapture`.
fn link(name: &str, archive: &Path, (c, cpp): (&str, &str)) -> (PathBuf, u64) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let other = out.join(format!("libother-{name}.a"));
    run(Command::new("rustc")
        .args(["--edition=2024", "--crate-type=staticlib", "-O"])
        .arg(here.join("tests/archive/other.rs"))
        .arg("-o")
        .arg(&other));
    let compiled = |source: &str| {
        let object = out.join(format!("{source}-{name}-{c}.o"));
        run(Command::new(c)
            .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-O0"])
            .args(["-fno-omit-frame-pointer", "-c", "-I"])
            .arg(here.join("../../cpp"))
            .arg(here.join("tests/archive").join(source))
            .arg("-o")
            .arg(&object));
        object
    };
    let objects = [compiled("program.c"), compiled("crash.c")];
    let link = |kind: &str, inputs: &[&Path], flags: &[&str]| {
        let program = out.join(format!("{kind}-{name}-{c}"));
        run(Command::new(cpp)
            .args(["-std=c++20", "-Wall", "-Wextra", "-Werror"])
            .args(flags)
            .arg(here.join("tests/archive/unwinding.cc"))
            .args(inputs)
            .arg(&other)
            // The crash's functions are found by their dynamic symbols.
            .args(["-Wl,--gc-sections", "-Wl,--strip-all", "-rdynamic"])
            .args(["-lgcc_s", "-lpthread", "-ldl", "-lm", "-o"])
            .arg(&program));
        program
    };
    let program = link("with", &[&objects[0], &objects[1], archive], &[]);
    let without = link("without", &[], &["-DWITHOUT_ARCHIVE"]);
    run(&mut Command::new(&without));
    let size = |path: &Path| path.metadata().expect("linked").len();
    let added = size(&program) - size(&without);
    println!("{c}: the {name} archive adds {added} bytes to a stripped program");
    (program, added)
}

const COMPILERS: [(&str, &str); 2] = [("gcc", "g++"), ("clang", "clang++")];

/// Both bring Rust's standard library, whose symbols would clash were ours not local. The program
/// is C and C++: its exceptions, the other library's panics and our traps share one unwinder.
#[test]
fn links_and_runs_beside_another_rust_library() {
    for compilers in COMPILERS {
        let (program, added) = link("full", &archive(""), compilers);
        assert_eq!(run(&mut Command::new(&program)), GOOD);
        // Of docs/custom-envoy.md, which says 17 MB; not much more without that being noticed.
        assert!(added < 19_000_000, "{compilers:?}: {added}");
    }
}

/// The archive without a compiler runs what the full one has compiled, and says why it runs
/// nothing else.
#[test]
fn headless_runs_precompiled_code_only() {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache-for-headless");
    let _ = std::fs::remove_dir_all(&cache);
    let (full, _) = link("full-for-headless", &archive(""), COMPILERS[0]);
    let (headless, added) = link("headless", &archive("headless"), COMPILERS[0]);
    assert!(added < 3_000_000, "{added}");

    let refused = Command::new(&headless).output().expect("starts");
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&refused.stderr),
        "this build has no compiler and runs precompiled modules only\n"
    );
    for program in [full, headless] {
        let mut cached = Command::new(program);
        assert_eq!(run(cached.env("RUST_WASM_CACHE_DIR", &cache)), GOOD);
    }
}

/// The proxy's handler has no frame of the runtime before it, whichever archive that is in: the
/// program's own functions follow on the handler's frame, down to `main`.
#[test]
fn the_stack_of_a_crash_is_whole() {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache-for-crashes");
    let _ = std::fs::remove_dir_all(&cache);
    let plain = built("release/librust_wasm.a");
    // The headless one runs what the others have compiled.
    for (name, archive) in [
        ("crash", archive("")),
        ("crash-plain", plain),
        ("crash-headless", archive("headless")),
    ] {
        for compilers in COMPILERS {
            let (program, _) = link(name, &archive, compilers);
            let output = Command::new(program)
                .arg("crash")
                .env("RUST_WASM_CACHE_DIR", &cache)
                .output()
                .expect("starts");
            let said = String::from_utf8_lossy(&output.stdout);
            assert_eq!(output.status.code(), Some(42), "{name}: {output:?}");
            // The first is the kernel's way back from the handler.
            let stack = format!("{GOOD}?\ncrash_middle\ncrash_outer\nmain\n");
            assert!(said.starts_with(&stack), "{name}, {compilers:?}: {said}");
        }
    }
}
