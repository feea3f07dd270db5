//! Hostcalls, one group after the other.

use super::*;

pub(super) const TEXT: &str = r#"(data (i32.const 100) "one") (data (i32.const 110) "two")
  (data (i32.const 120) "request\00path") (data (i32.const 140) "plugin_name")
  (data (i32.const 160) "node") (data (i32.const 170) "clear_route_cache")"#;

fn i32s(count: usize) -> String {
    "i32 ".repeat(count)
}

pub(super) fn import(name: &str, params: usize) -> String {
    format!(
        r#"(import "env" "{name}" (func ${name} (param {}) (result i32)))"#,
        i32s(params)
    )
}

/// A plugin that runs `body` on request headers, and its notes.
fn on_request(imports: &[(&str, usize)], body: &str, check: impl FnOnce(&Guest, &MockStream)) {
    let imports: String = imports
        .iter()
        .map(|(name, params)| import(name, *params))
        .collect();
    let guest = Guest::new(
        &imports,
        &format!(
            r#"{TEXT} (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
              {body} (i32.const 0))
            (func $give (call $say (i32.load (i32.const 16)) (i32.load (i32.const 20))))"#
        ),
    );
    guest.with_stream(&[("one", "1"), ("x", "y")], "a body", |context, stream| {
        assert_eq!(guest.request(context), HeadersAction::Continue);
        check(&guest, stream);
    });
}

fn said(guest: &Guest) -> Vec<String> {
    let strip = |note: String| note.replace("Info wasm log name: ", "");
    guest.notes.take().into_iter().map(strip).collect()
}

#[test]
fn headers() {
    on_request(
        &[
            ("proxy_get_header_map_value", 5),
            ("proxy_add_header_map_value", 5),
            ("proxy_remove_header_map_value", 3),
            ("proxy_get_header_map_pairs", 3),
            ("proxy_set_header_map_pairs", 3),
            ("proxy_get_header_map_size", 2),
        ],
        r#"
        ;; the value of "one"
        (call $digit (call $proxy_get_header_map_value (i32.const 0) (i32.const 100) (i32.const 3) (i32.const 16) (i32.const 20)))
        (call $give)
        ;; "two" is not there; there are no response headers; there is no map 99
        (call $digit (call $proxy_get_header_map_value (i32.const 0) (i32.const 110) (i32.const 3) (i32.const 16) (i32.const 20)))
        (call $digit (call $proxy_get_header_map_value (i32.const 2) (i32.const 110) (i32.const 3) (i32.const 16) (i32.const 20)))
        (call $digit (call $proxy_get_header_map_value (i32.const 99) (i32.const 110) (i32.const 3) (i32.const 16) (i32.const 20)))
        ;; two: one; then all but "one", as pairs that are read and set again
        (call $digit (call $proxy_add_header_map_value (i32.const 0) (i32.const 110) (i32.const 3) (i32.const 100) (i32.const 3)))
        (call $digit (call $proxy_remove_header_map_value (i32.const 0) (i32.const 100) (i32.const 3)))
        (call $digit (call $proxy_get_header_map_pairs (i32.const 0) (i32.const 16) (i32.const 20)))
        (call $digit (i32.load (i32.load (i32.const 16))))
        (call $digit (call $proxy_set_header_map_pairs (i32.const 0) (i32.load (i32.const 16)) (i32.load (i32.const 20))))
        (call $digit (call $proxy_get_header_map_size (i32.const 0) (i32.const 24)))
        (call $digit (i32.load (i32.const 24)))"#,
        |guest, stream| {
            let expected = ["0", "1", "1", "2", "2", "0", "0", "0", "2", "0", "0", "8"];
            assert_eq!(said(guest), expected);
            let headers = stream.headers.borrow();
            assert_eq!(headers[0], (b"x".to_vec(), b"y".to_vec()));
            assert_eq!(headers[1], (b"two".to_vec(), b"one".to_vec()));
        },
    );
}

#[test]
fn bodies() {
    on_request(
        &[
            ("proxy_get_buffer_bytes", 5),
            ("proxy_set_buffer_bytes", 5),
            ("proxy_get_buffer_status", 3),
        ],
        r#"
        (call $digit (call $proxy_get_buffer_bytes (i32.const 0) (i32.const 2) (i32.const 100) (i32.const 16) (i32.const 20)))
        (call $give)
        ;; beyond the end; start and size overflow; no plugin configuration now
        (call $digit (call $proxy_get_buffer_bytes (i32.const 0) (i32.const 50) (i32.const 1) (i32.const 16) (i32.const 20)))
        (call $digit (i32.load (i32.const 20)))
        (call $digit (call $proxy_get_buffer_bytes (i32.const 0) (i32.const 2) (i32.const -1) (i32.const 16) (i32.const 20)))
        (call $digit (call $proxy_get_buffer_bytes (i32.const 7) (i32.const 0) (i32.const 1) (i32.const 16) (i32.const 20)))
        ;; prepend, append, replace 4 bytes; into the middle is refused
        (call $digit (call $proxy_set_buffer_bytes (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 100) (i32.const 3)))
        (call $digit (call $proxy_set_buffer_bytes (i32.const 0) (i32.const 9) (i32.const 0) (i32.const 110) (i32.const 3)))
        (call $digit (call $proxy_set_buffer_bytes (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 110) (i32.const 3)))
        (call $digit (call $proxy_set_buffer_bytes (i32.const 0) (i32.const 3) (i32.const 1) (i32.const 110) (i32.const 3)))
        (call $digit (call $proxy_get_buffer_status (i32.const 0) (i32.const 16) (i32.const 20)))
        (call $digit (i32.sub (i32.load (i32.const 16)) (i32.const 10)))"#,
        |guest, stream| {
            let expected = [
                "0", "body", "0", "0", "2", "1", "0", "0", "0", "2", "0", "1",
            ];
            assert_eq!(said(guest), expected);
            assert_eq!(*stream.body.borrow(), b"two bodytwo");
        },
    );
}

#[test]
fn properties_and_streams() {
    on_request(
        &[
            ("proxy_get_property", 4),
            ("proxy_set_property", 4),
            ("proxy_continue_stream", 1),
            ("proxy_close_stream", 1),
            ("proxy_call_foreign_function", 6),
        ],
        r#"
        (call $digit (call $proxy_get_property (i32.const 120) (i32.const 12) (i32.const 16) (i32.const 20)))
        (call $give)
        (call $digit (call $proxy_get_property (i32.const 140) (i32.const 11) (i32.const 16) (i32.const 20)))
        (call $give)
        (call $digit (call $proxy_get_property (i32.const 160) (i32.const 4) (i32.const 16) (i32.const 20)))
        (call $digit (call $proxy_get_property (i32.const 100) (i32.const 3) (i32.const 16) (i32.const 20)))
        (call $digit (call $proxy_set_property (i32.const 100) (i32.const 3) (i32.const 110) (i32.const 3)))
        ;; resuming in the callback itself is "continue"; the response comes later
        (call $digit (call $proxy_continue_stream (i32.const 0)))
        (call $digit (call $proxy_continue_stream (i32.const 1)))
        (call $digit (call $proxy_continue_stream (i32.const 9)))
        (call $digit (call $proxy_close_stream (i32.const 0)))
        (call $digit (call $proxy_call_foreign_function (i32.const 170) (i32.const 17) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
        (call $digit (call $proxy_call_foreign_function (i32.const 100) (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
        "#,
        |guest, _| {
            let expected = [
                "0",
                "/the/path",
                "0",
                "name",
                "0",
                "1",
                "one=two",
                "0",
                "0",
                "0",
                "2",
                "0",
                "clear route cache",
                "0",
                "1",
                "Resume(Response)",
                "Close",
            ];
            assert_eq!(said(guest), expected);
        },
    );
}

#[test]
fn shared_data_and_queues() {
    on_request(
        &[
            ("proxy_set_shared_data", 5),
            ("proxy_get_shared_data", 5),
            ("proxy_register_shared_queue", 3),
            ("proxy_resolve_shared_queue", 5),
            ("proxy_enqueue_shared_queue", 3),
            ("proxy_dequeue_shared_queue", 3),
        ],
        r#"
        (call $digit (call $proxy_get_shared_data (i32.const 110) (i32.const 3) (i32.const 16) (i32.const 20) (i32.const 24)))
        (call $digit (call $proxy_set_shared_data (i32.const 100) (i32.const 3) (i32.const 110) (i32.const 3) (i32.const 0)))
        (call $digit (call $proxy_get_shared_data (i32.const 100) (i32.const 3) (i32.const 16) (i32.const 20) (i32.const 24)))
        (call $give)
        (call $digit (call $proxy_set_shared_data (i32.const 100) (i32.const 3) (i32.const 110) (i32.const 3) (i32.const -1)))
        (call $digit (call $proxy_register_shared_queue (i32.const 100) (i32.const 3) (i32.const 24)))
        (call $digit (call $proxy_resolve_shared_queue (i32.const 0) (i32.const 0) (i32.const 100) (i32.const 3) (i32.const 28)))
        (call $digit (i32.eq (i32.load (i32.const 24)) (i32.load (i32.const 28))))
        (call $digit (call $proxy_enqueue_shared_queue (i32.load (i32.const 24)) (i32.const 110) (i32.const 3)))
        (call $digit (call $proxy_dequeue_shared_queue (i32.load (i32.const 24)) (i32.const 16) (i32.const 20)))
        (call $give)
        (call $digit (call $proxy_dequeue_shared_queue (i32.load (i32.const 24)) (i32.const 16) (i32.const 20)))"#,
        |guest, _| {
            let expected = [
                "1",
                "0",
                "0",
                "two",
                "8",
                "0",
                "0",
                "1",
                "queue of 1",
                "0",
                "0",
                "two",
                "7",
            ];
            assert_eq!(said(guest), expected);
        },
    );
}

#[test]
fn metrics() {
    let guest = Guest::new(
        r#"(import "env" "proxy_define_metric" (func $define (param i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_increment_metric" (func $increment (param i32 i64) (result i32)))
        (import "env" "proxy_record_metric" (func $record (param i32 i64) (result i32)))
        (import "env" "proxy_get_metric" (func $get (param i32 i32) (result i32)))"#,
        r#"(func (export "proxy_on_tick") (param i32)
          (call $digit (call $define (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 24)))
          (call $digit (call $record (i32.load (i32.const 24)) (i64.const 5)))
          (call $digit (call $increment (i32.load (i32.const 24)) (i64.const -2)))
          (call $digit (call $get (i32.load (i32.const 24)) (i32.const 32)))
          (call $digit (i32.load (i32.const 32)))
          (call $digit (call $define (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 24)))
          (call $digit (call $increment (i32.load (i32.const 24)) (i64.const -2)))
          (call $digit (call $get (i32.const 4000) (i32.const 32)))
          (call $digit (call $define (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 24))))"#,
    );
    guest.vm.tick(guest.root);
    let notes: Vec<_> = guest
        .notes
        .take()
        .iter()
        .map(|it| it.replace("Info wasm log: ", ""))
        .collect();
    assert_eq!(
        notes,
        [
            "Gauge ", "0", "0", "0", "0", "3", "Counter ", "0", "2", "1", "2"
        ]
    );
}

#[test]
fn a_local_response_ends_the_iteration() {
    let guest = Guest::new(
        &import("proxy_send_local_response", 8),
        &format!(
            r#"{TEXT} (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
              (call $digit (call $proxy_send_local_response (i32.const 404) (i32.const 100) (i32.const 3)
                (i32.const 110) (i32.const 3) (i32.const 0) (i32.const 0) (i32.const -1)))
              (i32.const 0))
            (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
              (drop (call $proxy_send_local_response (i32.const 500) (i32.const 100) (i32.const 3)
                (i32.const 110) (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 7)))
              (i32.const 0))
            (func (export "proxy_on_tick") (param i32)
              (call $digit (call $proxy_send_local_response (i32.const 404) (i32.const 100) (i32.const 3)
                (i32.const 110) (i32.const 3) (i32.const 0) (i32.const 0) (i32.const -1))))"#
        ),
    );
    guest.vm.tick(guest.root);
    assert_eq!(
        guest.notes.take(),
        ["Info wasm log: 0"],
        "nothing to answer, which is no error"
    );
    guest.with_stream(&[], "", |context, _| {
        assert_eq!(guest.request(context), HeadersAction::StopAllAndWatermark);
        let notes = guest.notes.take();
        assert_eq!(notes[0], "Info wasm log name: 0");
        let response = LocalResponse {
            status: 404,
            details: b"one".to_vec(),
            body: b"two".to_vec(),
            headers: Vec::new(),
            grpc_status: None,
        };
        assert_eq!(notes[1], format!("{:?}", StreamAction::Respond(response)));
        let action = guest.vm.body(context, Direction::Request, 0, true);
        assert_eq!(action, DataAction::StopNoBuffer);
        assert!(guest.notes.take()[0].contains("grpc_status: Some(7)"));
    });
}

#[test]
fn configurations() {
    let guest = Guest::new(
        &import("proxy_get_buffer_bytes", 5),
        r#"(func $give (param i32)
            (drop (call $proxy_get_buffer_bytes (local.get 0) (i32.const 0) (i32.const 99) (i32.const 16) (i32.const 20)))
            (call $say (i32.load (i32.const 16)) (i32.load (i32.const 20))))
          (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (call $give (i32.const 6)) (i32.const 1))
          (func (export "proxy_on_configure") (param i32 i32) (result i32) (call $give (i32.const 7)) (i32.const 1))"#,
    );
    assert_eq!(
        guest.notes.take(),
        ["Info wasm log: vm's", "Info wasm log: plugin's"]
    );
}

#[test]
fn ticks_and_time() {
    let guest = Guest::new(
        &[
            import("proxy_set_tick_period_milliseconds", 1),
            import("proxy_get_current_time_nanoseconds", 1),
            import("proxy_get_log_level", 1),
        ]
        .concat(),
        r#"(func (export "proxy_on_tick") (param i32)
          (call $digit (call $proxy_set_tick_period_milliseconds (i32.const 20)))
          (call $digit (call $proxy_get_current_time_nanoseconds (i32.const 16)))
          ;; after 2020
          (call $digit (i64.gt_u (i64.load (i32.const 16)) (i64.const 1577836800000000000)))
          (call $digit (call $proxy_get_log_level (i32.const 16)))
          (call $digit (i32.load (i32.const 16)))
          (drop (call $log (i32.const 0) (i32.const 0) (i32.const 1)))
          (call $digit (call $log (i32.const 6) (i32.const 0) (i32.const 1))))"#,
    );
    guest.vm.tick(guest.root);
    let notes: Vec<_> = guest
        .notes
        .take()
        .iter()
        .map(|it| it.replace("Info wasm log: ", ""))
        .collect();
    assert_eq!(
        notes,
        ["ticks of 1 every 20ms", "0", "0", "1", "0", "1", "2"]
    );
}

/// A plugin may define what it has already: on every request, for one.
#[test]
fn a_metric_is_defined_once() {
    let guest = Guest::new(
        r#"(import "env" "proxy_define_metric"
             (func $define (param i32 i32 i32 i32) (result i32)))
           (import "env" "proxy_record_metric" (func $record (param i32 i64) (result i32)))
           (import "env" "proxy_get_metric" (func $get (param i32 i32) (result i32)))"#,
        r#"(data (i32.const 100) "level")
        (func (export "proxy_on_tick") (param i32)
          (drop (call $define (i32.const 1) (i32.const 100) (i32.const 5) (i32.const 200)))
          (drop (call $get (i32.load (i32.const 200)) (i32.const 208)))
          (call $digit (i32.load (i32.const 208)))
          (drop (call $record (i32.load (i32.const 200)) (i64.const 7))))"#,
    );
    for _ in 0..3 {
        guest.vm.tick(guest.root);
    }
    let said = guest.notes.take();
    let said: Vec<&str> = said.iter().map(String::as_str).collect();
    let digit = |n| format!("Info wasm log: {n}");
    assert_eq!(said, ["Gauge level", &digit(0), &digit(7), &digit(7)]);
}
