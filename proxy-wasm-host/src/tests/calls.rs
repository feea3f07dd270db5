//! Calls that plugins make.

use super::hostcalls::{TEXT, import};
use super::*;

#[test]
fn a_call_is_answered_in_the_root_context() {
    let call = r#"(call $digit (call $proxy_http_call (i32.const 100) (i32.const 3) (i32.const 0) (i32.const 0)
        (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 24)))"#;
    let guest = Guest::new(
        &[
            import("proxy_http_call", 10),
            import("proxy_get_buffer_bytes", 5),
            import("proxy_get_header_map_value", 5),
            import("proxy_set_effective_context", 1),
            import("proxy_continue_stream", 1),
            import("proxy_get_status", 3),
        ]
        .concat(),
        &format!(
            r#"{TEXT} (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) {call} (i32.const 1))
            (func (export "proxy_on_tick") (param i32) {call})
            (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32)
              (call $digit (local.get 0)) (call $digit (local.get 1)) (call $digit (local.get 2)) (call $digit (local.get 3))
              (drop (call $proxy_get_buffer_bytes (i32.const 4) (i32.const 0) (i32.const 9) (i32.const 16) (i32.const 20)))
              (call $say (i32.load (i32.const 16)) (i32.load (i32.const 20)))
              (call $digit (call $proxy_get_header_map_value (i32.const 6) (i32.const 100) (i32.const 3) (i32.const 16) (i32.const 20)))
              (drop (call $proxy_get_status (i32.const 24) (i32.const 16) (i32.const 20)))
              (call $say (i32.load (i32.const 16)) (i32.load (i32.const 20)))
              (drop (call $proxy_set_effective_context (i32.const 2)))
              (drop (call $proxy_continue_stream (i32.const 0))))"#
        ),
    );
    let notes = || {
        let strip = |note: String| {
            note.replace("Info wasm log: ", "")
                .replace("Info wasm log name: ", "")
        };
        guest
            .notes
            .take()
            .into_iter()
            .map(strip)
            .collect::<Vec<_>>()
    };
    guest.with_stream(&[], "", |context, _| {
        guest.request(context);
        assert_eq!(notes(), ["stream's call 4", "0"]);
        let headers = vec![(b"one".to_vec(), b"1".to_vec())];
        let event = |event| guest.vm.call_event(4, event);
        event(CallEvent::Headers(headers, false));
        event(CallEvent::Data(b"te".to_vec(), false));
        assert_eq!(notes(), [""; 0]);
        event(CallEvent::Data(b"xt".to_vec(), true));
        assert_eq!(
            notes(),
            ["1", "4", "1", "4", "text", "0", "", "Resume(Request)"]
        );
        event(CallEvent::Failed("twice"));
        assert_eq!(notes(), [""; 0]);

        guest.vm.tick(guest.root);
        assert_eq!(notes(), ["call 8, complete", "0"]);
        guest.vm.call_event(8, CallEvent::Failed("reset"));
        let said = notes();
        assert_eq!(said[..5], ["reset 8", "1", "8", "0", "0"]);
        assert_eq!(said[said.len() - 2..], ["reset", "Resume(Request)"]);
    });
}

/// Both calls of a stream that ends are told, and the one that was opened meanwhile.
#[test]
fn calls_of_a_stream_end_with_it() {
    let guest = Guest::new(
        &import("proxy_http_call", 10),
        &format!(
            r#"{TEXT}
            (func $open
              (drop (call $proxy_http_call (i32.const 100) (i32.const 3) (i32.const 0) (i32.const 0)
                (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 24))))
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
              (call $open) (call $open) (i32.const 0))
            (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32)
              (call $digit (i32.div_u (local.get 1) (i32.const 4))))
            (func (export "proxy_on_context_create") (param i32 i32))"#
        ),
    );
    guest.with_stream(&[], "", |context, _| {
        guest.request(context);
        guest.notes.take();
    });
    let notes = guest.notes.take();
    let told: Vec<_> = notes.iter().filter(|it| it.contains("wasm log")).collect();
    assert_eq!(told, ["Info wasm log: 2", "Info wasm log: 1"]);
}
