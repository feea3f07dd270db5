//! gRPC calls and streams: what the request asks for, and a log line for all that arrives.

use crate::http::{Filter, timeout};
use crate::{show, show_option};
use log::info;
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, Bytes};

const SERVICE: &str = "test.Service";
const METADATA: [(&str, &[u8]); 2] = [("x-meta", b"of plugin"), ("x-raw-bin", b"\0\xff\x01")];

impl Filter {
    pub fn start_grpc(&mut self) -> Action {
        let cluster = self.header_of_request("x-cluster");
        let method = self.header_of_request("x-method");
        if self.what.contains("stream") {
            self.open_stream(&cluster, &method)
        } else {
            self.call(&cluster, &method)
        }
    }

    fn call(&mut self, cluster: &str, method: &str) -> Action {
        let timeout = timeout(method);
        let message = Some(b"ping".as_slice());
        match self.dispatch_grpc_call(cluster, SERVICE, method, METADATA.into(), message, timeout) {
            Err(status) => {
                info!("call failed: {status:?}");
                Action::Continue
            }
            Ok(token) if self.what == "cancel call" => {
                self.cancel_grpc_call(token);
                Action::Continue
            }
            Ok(_) => Action::Pause,
        }
    }

    fn open_stream(&mut self, cluster: &str, method: &str) -> Action {
        let token = match self.open_grpc_stream(cluster, SERVICE, method, METADATA.into()) {
            Ok(token) => token,
            Err(status) => {
                info!("stream failed: {status:?}");
                return Action::Continue;
            }
        };
        self.send_grpc_stream_message(token, Some(b"one"), false);
        match self.what.as_str() {
            "stream" => self.send_grpc_stream_message(token, Some(b""), true),
            "close stream" => self.close_grpc_stream(token),
            // Waits for an answer first.
            _ => {}
        }
        Action::Pause
    }

    pub fn grpc_call_response(&mut self, status: u32, size: usize) {
        let body = self.get_grpc_call_response_body(0, size);
        info!("call: {status}, {}", show_option(body));
        if status != 0 {
            self.log_grpc_status();
        }
        self.resume_http_request();
    }

    pub fn grpc_metadata(&mut self, when: &str, count: u32, metadata: &[(String, Bytes)]) {
        let mut seen: Vec<_> = metadata
            .iter()
            .filter(|(name, _)| name.starts_with("x-up") || name.starts_with("grpc-"))
            .map(|(name, value)| format!("{name}: {}", show(value)))
            .collect();
        seen.sort();
        info!("{when}: {}, {seen:?}", count as usize == metadata.len());
    }

    pub fn grpc_message(&mut self, token: u32, size: usize) {
        info!(
            "message: {}",
            show_option(self.get_grpc_stream_message(0, size))
        );
        match self.what.as_str() {
            "cancel stream" => {
                self.cancel_grpc_stream(token);
                self.resume_http_request();
            }
            "talk on stream" => {
                self.what = "end talk".into();
                self.send_grpc_stream_message(token, Some(b"two"), false);
            }
            "end talk" => {
                self.what.clear();
                self.close_grpc_stream(token);
            }
            _ => {}
        }
    }

    pub fn grpc_close(&mut self, status: u32) {
        info!("stream closed: {status}");
        self.log_grpc_status();
        self.resume_http_request();
    }

    fn log_grpc_status(&self) {
        let (code, message) = self.get_grpc_status();
        info!("status: {code}");
        info!("status message: '{}'", message.unwrap_or_default());
    }

    /// Foreign functions, by name in `x-do`.
    pub fn foreign(&self) {
        let call =
            |name: &str, argument: &[u8]| hostcalls::call_foreign_function(name, Some(argument));
        match self.what.as_str() {
            "zlib" => {
                let text = b"over and over and over and over and over again".repeat(50);
                let small = call("compress", &text).ok().flatten().unwrap_or_default();
                let again = call("uncompress", &small)
                    .ok()
                    .flatten()
                    .unwrap_or_default();
                info!(
                    "smaller: {}, the same: {}",
                    small.len() < 100,
                    again == text
                );
                info!("damaged: {:?}", call("uncompress", b"this is not zlib's"));
            }
            "state" => {
                // Field 1 is the key, field 2 the value.
                let state = |key: &str, value: &str| {
                    let mut message = Vec::new();
                    for (field, text) in [(0x0a, key), (0x12, value)] {
                        message.extend([field, text.len() as u8]);
                        message.extend(text.bytes());
                    }
                    call("set_envoy_filter_state", &message)
                };
                let known = state("envoy.upstream.dynamic_host", "1.2.3.4");
                info!("{known:?}, {:?}", state("no.such.object", "x"));
            }
            "declare" => {
                // A name, and that it can be set once only.
                let declared = call("declare_property", b"\x0a\x04once\x10\x01\x18\x01");
                info!(
                    "{declared:?}, {:?}",
                    call("declare_property", b"\x0a\x04once")
                );
                info!("{:?}", call("declare_property", b"\x0a"));
            }
            "set declared" => {
                let set = |value: &[u8]| hostcalls::set_property(vec!["once"], Some(value));
                info!("{:?}", set(b"first"));
                self.log_properties("once");
            }
            "unknown" => info!("{:?}", call("no_such_function", b"")),
            _ => info!("{:?}", call("clear_route_cache", b"")),
        }
    }
}
