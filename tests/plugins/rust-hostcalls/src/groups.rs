//! What each group of host calls does, longer than a line in its hook.

use crate::http::{Filter, Metrics};
use crate::{show, show_option};
use log::info;
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, MapType, Status};
use std::time::{Duration, Instant};

impl Filter {
    pub fn request_headers(&self, count: usize, end: bool) {
        // As bytes, because not every value is UTF-8.
        let all = self.get_http_request_headers_bytes();
        info!("{}, end: {end}", count == all.len());
        for (name, value) in all.iter().filter(|(name, _)| name.starts_with("x-in")) {
            info!("{name}: {}", show(value));
        }
        info!("joined: {:?}", self.get_http_request_header("x-in"));
        info!("any case: {:?}", self.get_http_request_header("X-In-2"));
        info!("missing: {:?}", self.get_http_request_header("x-none"));
        info!(
            "bytes: {}",
            show_option(self.get_http_request_header_bytes("x-bytes"))
        );
        info!(
            "authority: {}",
            self.get_http_request_header(":authority").is_some()
        );

        if self.what == "all" {
            // What Envoy needs to find a route.
            let route = |name: &str| name.starts_with(':') || name == "x-forwarded-proto";
            let keep = all.iter().filter(|(name, _)| route(name));
            let mut map: Vec<_> = keep.map(|(n, v)| (n.as_str(), v.as_slice())).collect();
            map.extend([("x-map", &b"one"[..]), ("x-map", b"two")]);
            self.set_http_request_headers_bytes(map);
        }
        if self.what == "all-but" {
            let mut map: Vec<_> = all
                .iter()
                .map(|(n, v)| (n.as_str(), v.as_slice()))
                .collect();
            map.extend([("x-map", &b"one"[..]), ("x-map", b"two")]);
            self.set_http_request_headers_bytes(map);
        }
        self.set_http_request_header("x-set", Some("set"));
        self.set_http_request_header("x-in", Some("replaced"));
        self.add_http_request_header("x-in-2", "added");
        if self.what == "empty" {
            self.add_http_request_header("x-new", "");
            self.set_http_request_header("x-in", Some(""));
        }
        self.remove_http_request_header("x-gone");
        self.remove_http_request_header("x-never-there");
        if self.what == "path" {
            self.set_http_request_header(":path", Some("/see?rewritten"));
            self.set_http_request_header(":method", Some("PUT"));
        }
    }

    pub fn response_headers(&self, count: usize, end: bool) {
        let all = self.get_http_response_headers();
        info!("response {}, end: {end}", count == all.len());
        info!("status {:?}", self.get_http_response_header(":status"));
        if self.what == "all" {
            self.set_http_response_headers(vec![(":status", "201"), ("x-map", "one")]);
        }
        if self.what == "status" {
            self.set_http_response_header(":status", Some("418"));
        }
        self.add_http_response_header("x-twice", "a");
        self.add_http_response_header("x-twice", "b");
        self.set_http_response_header("x-upstream", Some("replaced"));
        self.remove_http_response_header("x-gone");
        self.log_properties("request.headers.x-set");
    }

    /// `names` as in `request.path|request.headers.x-in`.
    pub fn log_properties(&self, names: &str) {
        for name in names.split('|').filter(|name| !name.is_empty()) {
            if let Some(path) = name.strip_prefix("status:") {
                info!("{path}: status {}", status_of_property(path));
                continue;
            }
            match hostcalls::get_property(name.split('.').collect()) {
                Ok(value) => info!("{name} = {}", show_option(value)),
                Err(status) => info!("{name}: {status:?}"),
            }
        }
    }

    pub fn count(&self) {
        let Metrics {
            counter,
            gauge,
            histogram,
        } = self.metrics;
        let step = self.what.parse().unwrap_or(1);
        let results = [
            hostcalls::increment_metric(counter, step),
            hostcalls::record_metric(gauge, 40),
            hostcalls::increment_metric(gauge, 2 * step),
            hostcalls::increment_metric(gauge, -step),
            hostcalls::record_metric(histogram, 7),
        ];
        info!("counted: {}", results.iter().all(Result::is_ok));
        let get = |metric| hostcalls::get_metric(metric).ok();
        info!("counter {:?}, gauge {:?}", get(counter), get(gauge));
        info!(
            "unknown metric {:?}",
            hostcalls::get_metric(0x7fff_ffff).is_err()
        );
    }

    pub fn shared_data(&self) -> Action {
        let key = self.header_of_request("x-key");
        let value = self.header_of_request("x-value");
        let cas = self.header_of_request("x-cas").parse().ok();
        match self.what.as_str() {
            "add" => self.reply(&add_to_shared(self, &key, 1).to_string()),
            "get" => {
                let (value, cas) = self.get_shared_data(&key);
                self.reply(&format!("{} {cas:?}", show_option(value)))
            }
            // Of two writers with one cas, one must lose.
            "race" => {
                let (_, cas) = self.get_shared_data(&key);
                let first = self.set_shared_data(&key, Some(b"first"), cas);
                let second = self.set_shared_data(&key, Some(b"second"), cas);
                self.reply(&format!("{first:?} {second:?}"))
            }
            _ => {
                let result = self.set_shared_data(&key, Some(value.as_bytes()), cas);
                self.reply(&format!("{result:?}"))
            }
        }
    }

    pub fn queues(&self) {
        let value = self.header_of_request("x-value");
        let queue = self.resolve_shared_queue(&self.what, crate::root::QUEUE);
        info!(
            "resolved: {}, own: {}",
            queue.is_some(),
            queue == Some(self.queue)
        );
        if let Some(queue) = queue {
            let result = self.enqueue_shared_queue(queue, Some(value.as_bytes()));
            info!("enqueued: {result:?}");
        }
        let unknown = self.dequeue_shared_queue(0x7fff_ffff);
        info!("unknown queue: {unknown:?}");
    }

    /// A small change of headers; or, if the request says how often, an answer with the
    /// nanoseconds per host call: the time, and a request header.
    pub fn bench(&self) -> Action {
        let Some(rounds) = self.get_http_request_header("x-rounds") else {
            self.set_http_request_header("x-plugin", Some("bench"));
            return Action::Continue;
        };
        let rounds: u32 = rounds.parse().unwrap_or(10_000);
        let time = |call: &dyn Fn()| {
            let start = Instant::now();
            for _ in 0..rounds {
                call();
            }
            start.elapsed().as_nanos() as f64 / f64::from(rounds)
        };
        let clock = time(&|| {
            std::hint::black_box(self.get_current_time());
        });
        let header = time(&|| {
            std::hint::black_box(hostcalls::get_map_value(
                MapType::HttpRequestHeaders,
                "x-rounds",
            ))
            .ok();
        });
        self.reply(&format!("{clock} {header}"))
    }
}

pub fn change_body(
    what: &str,
    size: usize,
    end: bool,
    read: impl Fn(usize, usize) -> Option<Vec<u8>>,
    write: impl Fn(usize, usize, &[u8]),
) -> Action {
    match what {
        "upper" => {
            if let Some(chunk) = read(0, size) {
                write(0, size, &chunk.to_ascii_uppercase());
            }
        }
        "append" if end => write(size, 0, b"<tail>"),
        "buffer" if !end => return Action::Pause,
        "buffer" => {
            let whole = read(0, usize::MAX).unwrap_or_default();
            info!("whole: {size} {}", whole.len());
            info!("part: {}", show_option(read(2, 3)));
            info!("beyond: {}", show_option(read(size + 10, 1)));
            write(0, 0, b"<head>");
        }
        "replace" if !end => return Action::Pause,
        "replace" => write(0, size, b"replaced"),
        "drop" => write(0, size, b""),
        "count" => {
            let chunk = read(0, size).unwrap_or_default();
            if chunk.len() != size {
                info!("asked for {size}, got {}", chunk.len());
            }
            if end {
                info!("end: {}", show(&chunk[chunk.len().saturating_sub(4)..]));
            }
        }
        _ => {}
    }
    Action::Continue
}

pub fn call_out(context: &dyn Context, cluster: &str, path: &str, timeout: Duration) -> bool {
    let headers = vec![
        (":method", "POST"),
        (":path", path),
        (":authority", "callout"),
    ];
    let body = Some(b"ping".as_slice());
    let trailers = vec![("x-asked", "yes")];
    match context.dispatch_http_call(cluster, headers, body, trailers, timeout) {
        Ok(_) => true,
        Err(status) => {
            info!("dispatch failed: {status:?}");
            false
        }
    }
}

/// Adds to a number in shared data however many others do the same, and returns the sum.
pub fn add_to_shared(context: &dyn Context, key: &str, step: u64) -> u64 {
    loop {
        let (bytes, cas) = context.get_shared_data(key);
        let text = String::from_utf8(bytes.unwrap_or_default()).unwrap_or_default();
        let sum = text.parse().unwrap_or(0) + step;
        match context.set_shared_data(key, Some(sum.to_string().as_bytes()), cas) {
            Err(Status::CasMismatch) => {}
            Ok(()) => return sum,
            Err(other) => panic!("shared data: {other:?}"),
        }
    }
}

/// The SDK does not tell an empty value from none.
fn status_of_property(path: &str) -> u32 {
    #[link(wasm_import_module = "env")]
    unsafe extern "C" {
        fn proxy_get_property(
            path: *const u8,
            path_size: usize,
            value: *mut *const u8,
            size: *mut usize,
        ) -> u32;
    }
    let path = path.replace('.', "\0");
    let (mut value, mut size) = (std::ptr::null(), 0);
    // SAFETY: all are valid, and the value is not used.
    unsafe { proxy_get_property(path.as_ptr(), path.len(), &raw mut value, &raw mut size) }
}
