//! What operators set: the environment is the process's, so this program is one test.

use adaptor_tests::*;

#[test]
fn an_unknown_variable_is_told_once_in_the_hosts_log() {
    // SAFETY: no other thread of this process uses the environment yet.
    unsafe { std::env::set_var("RUST_WASM_NO_SUCH", "1") };
    let first = ffi::new_vm(&Limits::default());
    assert!(first.load(&wat("add"), &[]));
    let [warning] = &first.errors()[..] else {
        panic!("{:?}", first.errors());
    };
    assert!(warning.starts_with("none: Wasm runtime: "), "{warning}");
    assert!(warning.ends_with(": RUST_WASM_NO_SUCH"), "{warning}");
    assert!(!first.failed());

    let second = ffi::new_vm(&Limits::default());
    assert!(second.load(&wat("add"), &[]));
    assert_eq!(second.errors(), [""; 0]);
    assert_eq!(first.clone_vm().errors(), [""; 0]);
}
