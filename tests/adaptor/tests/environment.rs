//! What operators set: the environment is the process's, so this program is one test.

use adaptor_tests::*;

const LIMITS: &str = "[vm.small]\nmax_memory_bytes = 131_072\n";

#[test]
fn an_unknown_variable_is_told_once_and_limits_are_the_vm_ids() {
    let file = std::env::temp_dir().join(format!("rust-wasm-{}.toml", std::process::id()));
    std::fs::write(&file, LIMITS).expect("writable");
    // SAFETY: no other thread of this process uses the environment yet.
    unsafe {
        std::env::set_var("RUST_WASM_NO_SUCH", "1");
        std::env::set_var("RUST_WASM_LIMITS_FILE", &file);
    }
    let first = loaded(&wat("memory"), &Limits::default());
    std::fs::remove_file(&file).expect("it was read once");
    let warning = first.error();
    assert!(warning.starts_with("none: Wasm runtime: "), "{warning}");
    assert!(warning.ends_with(": RUST_WASM_NO_SUCH"), "{warning}");
    assert!(!first.failed());

    // A file of the operator's comes before the host's own limits.
    let limits = Limits {
        memory_bytes: 1 << 24,
        ..Limits::default()
    };
    let second = loaded(&wat("memory"), &limits);
    assert_eq!(second.errors(), [""; 0]);
    let pages_to_be_had = |vm: &Vm, vm_id: &str| {
        assert!(vm.link(vm_id), "{:?}", vm.errors());
        while vm.value("grow", &[1]) != u64::from(u32::MAX) {}
        vm.memory_size() >> 16
    };
    assert_eq!(pages_to_be_had(&second.clone_vm(), "small"), 2);
    assert_eq!(pages_to_be_had(&second.clone_vm(), "other"), 256);
    assert_eq!(pages_to_be_had(&second, "small"), 2);
}
