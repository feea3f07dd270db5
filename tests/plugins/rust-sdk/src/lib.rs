//! An HTTP filter on the Rust SDK that exercises what real plugins use: configuration,
//! headers, body, every log level, and the end-of-request hooks. On request it also does
//! what a broken plugin does, so that the host's limits can be tested; see [`misbehave`].

use log::{debug, error, info, trace, warn};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};
use std::hint::black_box;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Trace);
    proxy_wasm::set_root_context(|_| Box::new(Root::default()));
}}

/// Request header that names a misbehaviour; the plugin configuration may be such a name.
const DO: &str = "x-do";

#[derive(Default)]
struct Root {
    configuration: String,
}

impl Context for Root {
    fn on_done(&mut self) -> bool {
        info!("root done");
        true
    }
}

impl RootContext for Root {
    fn on_vm_start(&mut self, _size: usize) -> bool {
        info!("vm start");
        true
    }

    fn on_configure(&mut self, _size: usize) -> bool {
        let bytes = self.get_plugin_configuration().unwrap_or_default();
        self.configuration = String::from_utf8_lossy(&bytes).into_owned();
        info!("configured with '{}'", self.configuration);
        misbehave(&self.configuration);
        self.configuration != "refuse"
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Filter {
            id,
            configuration: self.configuration.clone(),
        }))
    }
}

struct Filter {
    id: u32,
    configuration: String,
}

impl Context for Filter {
    fn on_done(&mut self) -> bool {
        info!("#{} done", self.id);
        true
    }
}

impl HttpContext for Filter {
    fn on_http_request_headers(&mut self, count: usize, end_of_stream: bool) -> Action {
        trace!("#{} {count} request headers, end: {end_of_stream}", self.id);
        if let Some(what) = self.get_http_request_header(DO) {
            misbehave(&what);
        }
        for (name, value) in self.get_http_request_headers() {
            debug!("#{} {name}: {value}", self.id);
        }
        match self.get_http_request_header(":path") {
            Some(path) => info!("#{} path {path}", self.id),
            None => error!("#{} no path", self.id),
        }
        self.set_http_request_header("x-plugin", Some(&self.configuration));
        Action::Continue
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        info!("#{} body of {size}, end: {end_of_stream}", self.id);
        if let Some(body) = self.get_http_request_body(0, size) {
            self.set_http_request_body(0, size, &body.to_ascii_uppercase());
        }
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        self.add_http_response_header("x-plugin", &self.configuration);
        Action::Continue
    }

    fn on_log(&mut self) {
        warn!("#{} log", self.id);
    }
}

/// Carries out what `what` names; does nothing for any other word. The names of these
/// functions are what the backtrace tests look for, so they must not be inlined.
fn misbehave(what: &str) {
    match what {
        "panic" => panic_on_request(),
        "spin" => spin_for_ever(),
        "grow" => grow_without_end(),
        "recurse" => {
            black_box(recurse_without_end(0));
        }
        _ => {}
    }
}

#[inline(never)]
fn panic_on_request() {
    panic!("asked to panic");
}

#[inline(never)]
fn spin_for_ever() {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

/// Keeps what it allocates, so that only the host's limit ends it. The allocator then
/// gives up, which is a trap.
#[inline(never)]
fn grow_without_end() {
    let mut kept = Vec::new();
    loop {
        kept.push(black_box(vec![1_u8; 1 << 20]));
    }
}

#[inline(never)]
#[expect(unconditional_recursion, reason = "ended by the host's stack limit")]
fn recurse_without_end(depth: u64) -> u64 {
    // The frame is used after the call, so this cannot become a loop.
    let frame = black_box([depth; 64]);
    recurse_without_end(depth + 1).wrapping_add(frame[0])
}
