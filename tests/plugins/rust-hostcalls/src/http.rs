//! The stream context: in each hook, what the plugin's group does there.

use crate::groups::{call_out, change_body};
use crate::{show_option, system};
use log::{debug, error, info, trace, warn};
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, GrpcStatusCode, LogLevel};
use std::time::Duration;

/// A short one only for what is never answered: the machine may be slow.
pub fn timeout(of: &str) -> Duration {
    match of {
        "/hang" | "Hang" => Duration::from_millis(300),
        _ => Duration::from_secs(5),
    }
}

#[derive(Clone, Copy, Default)]
pub struct Metrics {
    pub counter: u32,
    pub gauge: u32,
    pub histogram: u32,
}

pub struct Filter {
    group: String,
    pub metrics: Metrics,
    pub queue: u32,
    /// What the request's `x-do` header says.
    pub what: String,
    /// Names of properties to log in on_log.
    last_properties: String,
}

impl Filter {
    pub fn new(group: String, metrics: Metrics, queue: u32) -> Self {
        Self {
            group,
            metrics,
            queue,
            what: String::new(),
            last_properties: String::new(),
        }
    }

    pub fn header_of_request(&self, name: &str) -> String {
        self.get_http_request_header(name).unwrap_or_default()
    }

    pub fn reply(&self, body: &str) -> Action {
        self.send_http_response(200, vec![("x-from", "plugin")], Some(body.as_bytes()));
        Action::Pause
    }
}

impl HttpContext for Filter {
    fn on_http_request_headers(&mut self, count: usize, end: bool) -> Action {
        if self.group == "bench" {
            return self.bench();
        }
        self.what = self.header_of_request("x-do");
        match self.group.as_str() {
            "headers" => self.request_headers(count, end),
            "body" => self.set_http_request_header("content-length", None),
            "local" if self.what == "headers" => {
                let headers = vec![("x-reason", "no"), ("x-twice", "a"), ("x-twice", "b")];
                self.send_http_response(403, headers, Some(b"refused at headers\n"));
                return Action::Pause;
            }
            "local" if self.what == "grpc" => {
                let metadata = vec![("x-reason", &b"grpc"[..])];
                self.send_grpc_response(GrpcStatusCode::AlreadyExists, Some("an % ü"), metadata);
                return Action::Pause;
            }
            "local" if self.what == "empty" => {
                self.send_http_response(204, vec![], None);
                return Action::Pause;
            }
            "local-seen" => {
                self.send_http_response(403, vec![("x-reason", "no")], Some(b"refused\n"));
                return Action::Pause;
            }
            "callout" => {
                let cluster = self.header_of_request("x-cluster");
                let path = self.header_of_request("x-path");
                if call_out(self, &cluster, &path, timeout(&path)) {
                    return Action::Pause;
                }
            }
            "properties" => {
                self.set_property(vec!["e2e", "key"], Some(b"a value"));
                self.set_property(vec!["plain"], Some(b"plain value"));
                self.log_properties(&self.header_of_request("x-request-properties"));
                self.last_properties = self.header_of_request("x-log-properties");
            }
            "grpc" => return self.start_grpc(),
            "foreign" => self.foreign(),
            "metrics" => self.count(),
            "shared" => return self.shared_data(),
            "queue" => self.queues(),
            "tick" if self.what.is_empty() => {
                let (ticks, _) = self.get_shared_data(crate::root::TICKS);
                return self.reply(&show_option(ticks));
            }
            "logging" => {
                trace!("a trace");
                debug!("a debug");
                info!(
                    "an info, {:?}",
                    hostcalls::get_log_level().map(|l| l as u32)
                );
                warn!("a warning");
                error!("an error");
                let _ = hostcalls::log(LogLevel::Critical, "a critical");
            }
            "system" => system::look_around(self),
            _ => {}
        }
        system::misbehave(&self.what);
        Action::Continue
    }

    fn on_http_request_body(&mut self, size: usize, end: bool) -> Action {
        match self.group.as_str() {
            "body" if !self.what.starts_with("response-") => {
                let read = |start, size| self.get_http_request_body(start, size);
                let write = |start, size, value: &[u8]| {
                    self.set_http_request_body(start, size, value);
                };
                change_body(&self.what, size, end, read, write)
            }
            "local" if self.what == "body" && end => {
                self.send_http_response(413, vec![], Some(b"refused at body\n"));
                Action::Pause
            }
            "local" if self.what == "body" => Action::Pause,
            _ => Action::Continue,
        }
    }

    fn on_http_request_trailers(&mut self, count: usize) -> Action {
        if self.group == "trailers" {
            info!(
                "{count} request trailers: {:?}",
                self.get_http_request_trailers()
            );
            info!("x-end: {:?}", self.get_http_request_trailer("x-end"));
            self.set_http_request_trailer("x-end", Some("replaced"));
            self.add_http_request_trailer("x-added", "1");
            self.remove_http_request_trailer("x-gone");
        }
        Action::Continue
    }

    fn on_http_response_headers(&mut self, count: usize, end: bool) -> Action {
        match self.group.as_str() {
            "headers" => self.response_headers(count, end),
            "body" => self.set_http_response_header("content-length", None),
            "local" if self.what == "response" => {
                self.send_http_response(502, vec![("x-reason", "late")], Some(b"replaced\n"));
                return Action::Pause;
            }
            "properties" => self.log_properties("response.code|response.headers.x-upstream"),
            "local-seen" => {
                info!("{count} headers, end: {end}");
                self.log_properties("response.code|response.grpc_status");
            }
            "bench" => self.add_http_response_header("x-plugin", "bench"),
            _ => {}
        }
        if let Some(what) = self.what.strip_prefix("response:") {
            system::misbehave(what);
        }
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, end: bool) -> Action {
        match self.what.strip_prefix("response-") {
            Some(what) if self.group == "body" => {
                let read = |start, size| self.get_http_response_body(start, size);
                let write = |start, size, value: &[u8]| {
                    self.set_http_response_body(start, size, value);
                };
                change_body(what, size, end, read, write)
            }
            _ if self.group == "local-seen" => {
                info!("{size} bytes, end: {end}");
                Action::Continue
            }
            _ if self.group == "add-trailer" && end => {
                self.add_http_response_trailer("x-new", "1");
                Action::Continue
            }
            _ => Action::Continue,
        }
    }

    fn on_http_response_trailers(&mut self, count: usize) -> Action {
        if self.group == "trailers" {
            info!(
                "{count} response trailers: {:?}",
                self.get_http_response_trailers()
            );
            self.set_http_response_trailers(vec![("x-only", "this")]);
            self.add_http_response_trailer("x-only", "that");
        }
        Action::Continue
    }

    fn on_log(&mut self) {
        match self.group.as_str() {
            "late-callout" => {
                let path = self.header_of_request("x-path");
                call_out(self, "upstream", &path, Duration::from_secs(5));
            }
            "life" => info!("log, path {:?}", self.get_http_request_header(":path")),
            "properties" => self.log_properties(&self.last_properties),
            _ => {}
        }
    }
}

impl Context for Filter {
    fn on_http_call_response(&mut self, _: u32, headers: usize, body: usize, trailers: usize) {
        let mut seen = self.get_http_call_response_headers();
        seen.retain(|(name, _)| name.starts_with("x-up") || name == ":status");
        info!("callout: any headers: {}, {seen:?}", headers > 0);
        info!(
            "callout body: {}",
            show_option(self.get_http_call_response_body(0, body.min(20)))
        );
        let last = self.get_http_call_response_trailers();
        info!("callout trailers: {trailers}, {last:?}");
        let status = self.get_http_call_response_header(":status");
        self.set_http_request_header("x-callout", Some(status.as_deref().unwrap_or("none")));
        self.resume_http_request();
    }

    fn on_grpc_call_response(&mut self, _: u32, status: u32, size: usize) {
        self.grpc_call_response(status, size);
    }

    fn on_grpc_stream_initial_metadata(&mut self, _: u32, count: u32) {
        let metadata = self.get_grpc_stream_initial_metadata();
        self.grpc_metadata("initial metadata", count, &metadata);
    }

    fn on_grpc_stream_message(&mut self, token: u32, size: usize) {
        self.grpc_message(token, size);
    }

    fn on_grpc_stream_trailing_metadata(&mut self, _: u32, count: u32) {
        let metadata = self.get_grpc_stream_trailing_metadata();
        self.grpc_metadata("trailing metadata", count, &metadata);
    }

    fn on_grpc_stream_close(&mut self, _: u32, status: u32) {
        self.grpc_close(status);
    }

    fn on_done(&mut self) -> bool {
        if self.group == "life" {
            info!("done");
        }
        true
    }
}
