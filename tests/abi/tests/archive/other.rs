//! Another Rust library in the same program, which unwinds too.

/// Whether a panic was thrown and caught.
#[unsafe(no_mangle)]
pub extern "C" fn other_catches_a_panic() -> bool {
    std::panic::set_hook(Box::new(|_| {}));
    std::panic::catch_unwind(|| panic!("expected")).is_err()
}
