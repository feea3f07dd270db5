//! Limits of single VMs, from the operator's file.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rust_wasm::{Code, Limits, Options, Result, VmLimits};

use crate::support::{Guest, failure, module, says};

/// A file of its own for a test, removed at the end.
struct File(PathBuf);

impl File {
    fn new(text: &[u8]) -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let unique = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("rust-wasm-limits-{}-{unique}.toml", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, text).expect("writable");
        Self(path)
    }

    fn read(&self) -> Result<VmLimits> {
        VmLimits::read(&self.0)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

const FILE: &str = r#"
# Comments are allowed.
[vm.small]
max_memory_bytes = 65_536
max_table_elements = 7
max_backtrace_frames = 2
max_exception_bytes = 9
guest_stack_bytes = 65_536
call_deadline_ms = 50

[vm."eu/rate limits"]
call_deadline_ms = 0
"#;

fn options() -> Options {
    Options {
        call_deadline: Some(Duration::from_secs(30)),
        vm_limits: File::new(FILE.as_bytes()).read().expect("well-formed"),
        ..Options::default()
    }
}

#[test]
fn a_file_gives_limits_by_vm_id() {
    let limits = options().vm_limits;
    let small = Limits {
        max_memory_bytes: Some(65_536),
        max_table_elements: Some(7),
        max_backtrace_frames: Some(2),
        max_exception_bytes: Some(9),
        guest_stack_bytes: Some(65_536),
        call_deadline_ms: Some(50),
    };
    assert_eq!(limits.of("small"), Some(&small));
    let deadline = limits.of("eu/rate limits").expect("named");
    assert_eq!(deadline.call_deadline_ms, Some(0));
    assert_eq!(deadline.max_memory_bytes, None);
    assert_eq!((limits.of(""), limits.of("Small")), (None, None));
    assert_eq!(
        File::new(b"").read().expect("empty is well-formed"),
        VmLimits::default()
    );
}

#[test]
fn what_is_not_given_stays() {
    let mut limited = options();
    limited.limit(&Limits::default());
    assert_eq!(limited, options());
    limited.limit(options().vm_limits.of("eu/rate limits").expect("named"));
    assert_eq!(limited.call_deadline, None);
    assert_eq!(limited.max_memory_bytes, options().max_memory_bytes);
}

/// A VM of this module that is linked under this name.
fn linked(text: &str, vm_id: &str) -> (Guest, Result<()>) {
    let guest = Guest::of(&module(text), &options());
    let result = guest.vm().link(vm_id);
    (guest, result)
}

#[test]
fn the_memory_limit_is_the_vms() {
    let text = r#"(module (memory 1 10)
      (func (export "grow") (result i32) (memory.grow (i32.const 1))))"#;
    let grown = |vm_id| {
        let (guest, result) = linked(text, vm_id);
        result.expect("links");
        guest.i32("grow", &[])
    };
    assert_eq!((grown("small"), grown("other")), (u32::MAX, 1));
    let (_, result) = linked("(module (memory 2))", "small");
    assert_eq!(failure(Code::Resource, result).code(), Code::Resource);
    linked("(module (memory 2))", "other").1.expect("links");
}

#[test]
fn the_table_limit_is_the_vms() {
    let text = "(module (table 8 funcref))";
    failure(Code::Resource, linked(text, "small").1);
    linked(text, "other").1.expect("links");
}

#[test]
fn the_stack_and_the_number_of_frames_are_the_vms() {
    let text = r#"(module
      (func $r (export "run") (param i32)
        (if (i32.eqz (local.get 0)) (then (unreachable)))
        (call $r (i32.sub (local.get 0) (i32.const 1)))
        (nop)))"#;
    // Some frames of 32 bytes at least.
    let depth = 5000_u32;
    let run = |vm_id, depth: u32| {
        let (guest, result) = linked(text, vm_id);
        result.expect("links");
        guest.fails(Code::Trap, "run", &vals![depth])
    };
    says(&run("small", depth), "call stack exhausted");
    says(&run("other", depth), "unreachable");
    let lines = |vm_id| run(vm_id, 10).backtrace().lines().count();
    assert_eq!((lines("small"), lines("other")), (3, 11));
}

#[test]
fn the_deadline_is_the_vms() {
    let text = r#"(module (func (export "spin") (loop (br 0))))"#;
    let (guest, result) = linked(text, "small");
    result.expect("links");
    let error = guest.fails(Code::Interrupt, "spin", &[]);
    says(&error, "50ms");
    // Also that of a start function.
    let (_, result) = linked("(module (func $s (loop (br 0))) (start $s))", "small");
    says(&failure(Code::Interrupt, result), "50ms");
}

#[test]
fn a_file_that_is_wrong_is_refused_with_its_name_and_line() {
    let cases: [(&[u8], &str); 12] = [
        (b"[vm.a]\nmax_memory_byte = 1\n", "line 2: unknown field"),
        (
            b"\n\n[vn.a]\nmax_memory_bytes = 1\n",
            "line 3: unknown field",
        ),
        (
            b"[vm.a]\n\nmax_memory_bytes = '1'\n",
            "line 3: invalid type",
        ),
        (b"[vm.a]\nmax_memory_bytes = -1\n", "line 2: invalid value"),
        (b"[vm.a]\nmax_table_elements = 4294967296\n", "line 2: "),
        (b"[vm.a]\ncall_deadline_ms = 1.5\n", "line 2: invalid type"),
        (
            b"[vm.a]\nguest_stack_bytes = 1\n",
            "line 2: a guest stack of 1 bytes is out of range",
        ),
        (b"[vm.a]\n[vm.b]\n[vm.a]\n", "line 3: "),
        (
            b"[vm.a]\nmax_memory_bytes = 1\nmax_memory_bytes = 2\n",
            "line 3: ",
        ),
        (b"[vm.a\n", "line 1: "),
        (b"vm = 3\n", "line 1: invalid type"),
        (b"[vm.\"\xff\"]\n", "UTF-8"),
    ];
    for (text, expected) in cases {
        let file = File::new(text);
        let error = failure(Code::InvalidArgument, file.read());
        says(&error, &format!("limits file {}: ", file.0.display()));
        says(&error, expected);
    }
}

#[test]
fn a_file_that_is_not_there_is_refused() {
    let variables = |name: &str| (name == "RUST_WASM_LIMITS_FILE").then(|| "/nonexistent/a".into());
    let error = failure(
        Code::InvalidArgument,
        Options::from_variables(variables).map(drop),
    );
    says(&error, "limits file /nonexistent/a: No such file");
    // Empty is absent.
    let variables = |name: &str| (name == "RUST_WASM_LIMITS_FILE").then(|| "".into());
    Options::from_variables(variables).expect("no file");
}
