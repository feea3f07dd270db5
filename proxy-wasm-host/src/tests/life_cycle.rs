//! Versions, starting, configuring, the order of callbacks.

use super::*;

const NOISY: &str = r#"
  (func (export "_initialize") (call $digit (i32.const 0)))
  (func (export "proxy_on_context_create") (param i32 i32) (call $digit (local.get 0)))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (call $digit (local.get 1)) (i32.const 1))
  (func (export "proxy_on_configure") (param i32 i32) (result i32) (call $digit (local.get 1)) (i32.const 1))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (call $digit (local.get 1)) (call $digit (local.get 2)) (i32.const 1))
  (func (export "proxy_on_log") (param i32) (call $digit (i32.const 7)))
  (func (export "proxy_on_done") (param i32) (result i32) (call $digit (i32.const 8)) (i32.const 1))
  (func (export "proxy_on_delete") (param i32) (call $digit (i32.const 9)))
"#;

fn digits(notes: &Notes) -> String {
    let digit = |note: String| note.split(": ").nth(1).unwrap_or("?").to_owned();
    notes.take().into_iter().map(digit).collect()
}

#[test]
fn callbacks_come_in_order() {
    let guest = Guest::new("", NOISY);
    // _initialize; root context 1; 4 bytes for the VM, 8 for the plugin.
    assert_eq!(digits(&guest.notes), "0148");
    guest.with_stream(&[], "", |context, _| {
        assert_eq!(guest.request(context), HeadersAction::StopAllAndWatermark);
        assert_eq!(digits(&guest.notes), "221");
        guest.vm.log_stream(context);
    });
    assert_eq!(digits(&guest.notes), "789");
    guest.vm.remove_plugin(guest.root);
    assert_eq!(digits(&guest.notes), "89");
    assert_eq!(guest.vm.add_plugin(&plugin(&guest.notes)), Ok(3));
}

#[test]
fn a_stream_that_the_plugin_never_saw_is_left_alone() {
    let guest = Guest::new("", NOISY);
    guest.notes.take();
    guest.with_stream(&[], "", |context, _| {
        let vm = &guest.vm;
        assert_eq!(
            vm.headers(context, Direction::Response, 0, true),
            HeadersAction::Continue
        );
        assert_eq!(
            vm.body(context, Direction::Response, 1, true),
            DataAction::Continue
        );
        assert_eq!(
            vm.trailers(context, Direction::Response, 1),
            TrailersAction::Continue
        );
    });
    assert_eq!(digits(&guest.notes), "");
}

#[test]
fn abi_versions_differ_in_header_callbacks() {
    let callback = |version: &str, params: &str, result: u32| {
        Guest::new(
            "",
            &format!(
                r#"(func (export "{version}"))
                (func (export "proxy_on_request_headers") (param {params}) (result i32) (i32.const {result}))"#
            ),
        )
    };
    for (version, params, result, action) in [
        (
            "proxy_abi_version_0_1_0",
            "i32 i32",
            0,
            HeadersAction::Continue,
        ),
        (
            "proxy_abi_version_0_2_0",
            "i32 i32 i32",
            1,
            HeadersAction::StopAllAndWatermark,
        ),
        (
            "proxy_abi_version_0_2_1",
            "i32 i32 i32",
            3,
            HeadersAction::StopAllAndBuffer,
        ),
        (
            "proxy_abi_version_0_2_100",
            "i32 i32 i32",
            1,
            HeadersAction::StopIteration,
        ),
    ] {
        let guest = callback(version, params, result);
        let got = guest.with_stream(&[], "", |context, _| guest.request(context));
        assert_eq!(got, action, "{version}");
    }
}

#[track_caller]
fn refused(rest: &str, words: &str) {
    let (_, guest) = Guest::try_new("", rest, settings());
    let error = guest.err().expect("it must not start");
    assert!(error.contains(words), "{error}");
}

#[test]
fn what_cannot_run_is_refused() {
    refused(
        r#"(func (export "proxy_abi_version_9_9_9"))"#,
        "ABI version",
    );
    refused(
        r#"(func (export "proxy_on_request_headers") (param i32) (result i32) (i32.const 0))"#,
        "proxy_on_request_headers",
    );
    refused(
        r#"(func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 0))"#,
        "proxy_on_vm_start",
    );
    refused(
        r#"(func (export "proxy_on_configure") (param i32 i32) (result i32) (i32.const 0))"#,
        "proxy_on_configure",
    );
    refused(
        r#"(func (export "_initialize") unreachable)"#,
        "start function",
    );
    let import = r#"(import "env" "no_such_function" (func))"#;
    let (_, guest) = Guest::try_new(import, "", settings());
    let error = guest.err().expect("it must not start");
    assert!(error.contains("no_such_function"), "{error}");
}

#[test]
fn a_plugin_may_put_off_its_end() {
    let guest = Guest::new(
        r#"(import "env" "proxy_done" (func $done (result i32)))"#,
        r#"(func (export "proxy_on_done") (param i32) (result i32) (i32.const 0))
        (func (export "proxy_on_delete") (param i32) (call $digit (i32.const 9)))
        (func (export "proxy_on_tick") (param i32) (call $digit (call $done)))"#,
    );
    guest.vm.tick(guest.root);
    assert_eq!(
        digits(&guest.notes),
        "1",
        "not found: nobody asked it to end"
    );
    guest.vm.remove_plugin(guest.root);
    assert_eq!(digits(&guest.notes), "");
    guest.vm.tick(guest.root);
    assert_eq!(digits(&guest.notes), "09");
    guest.vm.tick(guest.root);
    assert_eq!(digits(&guest.notes), "");
}
