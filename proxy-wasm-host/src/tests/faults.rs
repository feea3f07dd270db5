//! What happens when plugins misbehave.

use super::*;

const TRAPS: &str = r#"
  (func $boom unreachable)
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (call $boom) (i32.const 0))
  (func (export "proxy_on_log") (param i32) (call $digit (i32.const 7)))
"#;

#[test]
fn a_trap_fails_the_vm_and_is_told_once() {
    let guest = Guest::new("", TRAPS);
    guest.with_stream(&[], "", |context, _| {
        assert!(!guest.vm.has_failed());
        guest.request(context);
        assert!(guest.vm.has_failed());
        let notes = guest.notes.take();
        assert_eq!(notes.len(), 1);
        for words in [
            "Function: proxy_on_request_headers failed: ",
            "unreachable",
            "in-VM backtrace",
            "boom",
        ] {
            assert!(notes[0].contains(words), "{}", notes[0]);
        }
        guest.request(context);
        guest.vm.log_stream(context);
    });
    assert_eq!(guest.notes.take(), [""; 0]);
    assert!(guest.vm.add_plugin(&plugin(&guest.notes)).is_err());
}

#[test]
fn another_vm_of_the_program_goes_on() {
    let notes = Notes::default();
    let (program, settings) = (
        Arc::new(program_of("", TRAPS).expect("compiles")),
        Arc::new(settings()),
    );
    let plugin = plugin(&notes);
    let start = || Vm::start(&program, &settings, &plugin).expect("starts");
    let (one, other) = (start(), start());
    let root = one.add_plugin(&plugin).expect("configures");
    let stream: Rc<dyn Stream> = Rc::new(MockStream::default());
    let context = one.add_stream(root, Rc::downgrade(&stream));
    let context = context.expect("there is a root");
    one.headers(context, Direction::Request, 0, true);
    one.delete_stream(context);
    assert!(one.has_failed() && !other.has_failed());
    other.add_plugin(&plugin).expect("configures");
}

#[test]
fn the_allocator_and_start_functions_are_restricted() {
    let tick = r#"(import "env" "proxy_set_tick_period_milliseconds" (func $tick (param i32) (result i32)))"#;
    let (notes, guest) = Guest::try_new(
        tick,
        r#"(func (export "_initialize") (drop (call $tick (i32.const 1))))"#,
        settings(),
    );
    assert!(guest.is_err());
    let notes = notes.take().join("\n");
    assert!(notes.contains("restricted_callback"), "{notes}");
}

#[test]
fn capabilities_restrict_imports_and_exports() {
    let import = r#"(import "env" "proxy_set_tick_period_milliseconds" (func $tick (param i32) (result i32)))"#;
    let rest = r#"
      (func (export "proxy_on_vm_start") (param i32 i32) (result i32)
        (call $digit (i32.div_u (call $tick (i32.const 1)) (i32.const 10))) (i32.const 1))
      (func (export "proxy_on_configure") (param i32 i32) (result i32) (call $digit (i32.const 5)) (i32.const 1))"#;
    let allowed = ["proxy_log", "proxy_on_vm_start"].map(String::from);
    let restricted = VmSettings {
        allowed_capabilities: Some(allowed.into()),
        ..settings()
    };
    let (notes, guest) = Guest::try_new(import, rest, restricted);
    guest.expect("it starts");
    let notes = notes.take();
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(
        notes[0].contains("proxy_set_tick_period_milliseconds"),
        "{notes:?}"
    );
    assert_eq!(
        notes[1], "Info wasm log: 1",
        "an internal failure, divided by ten"
    );
}

/// Every pointer that reaches the host is checked.
#[test]
fn pointers_outside_of_the_memory_are_refused() {
    for (at, size) in [
        (65535, 2),
        (65536, 1),
        (-1, 1),
        (0, 65537),
        (-16, 32),
        (1, -1),
    ] {
        let guest = Guest::new(
            "",
            &format!(
                r#"(func (export "proxy_on_tick") (param i32)
                  (call $digit (call $log (i32.const 2) (i32.const {at}) (i32.const {size}))))"#
            ),
        );
        guest.vm.tick(guest.root);
        assert_eq!(guest.notes.take(), ["Info wasm log: 6"], "{at} {size}");
    }
}

/// Whatever unwinds on the proxy's side, its stream is not used when it is gone.
#[test]
fn a_context_does_not_keep_a_stream_that_is_gone() {
    let guest = Guest::new(
        r#"(import "env" "proxy_get_buffer_bytes"
             (func $get (param i32 i32 i32 i32 i32) (result i32)))"#,
        r#"(func (export "proxy_on_done") (param i32) (result i32)
          (call $digit (call $get (i32.const 0) (i32.const 0) (i32.const 9) (i32.const 0) (i32.const 4)))
          (i32.const 1))
        (func (export "proxy_on_context_create") (param i32 i32))"#,
    );
    let stream: Rc<dyn Stream> = Rc::new(MockStream::default());
    let context = guest.vm.add_stream(guest.root, Rc::downgrade(&stream));
    let context = context.expect("there is a root");
    guest.request(context);
    drop(stream);
    guest.vm.delete_stream(context);
    assert_eq!(guest.notes.take(), ["Info wasm log name: 1"], "not found");
}
