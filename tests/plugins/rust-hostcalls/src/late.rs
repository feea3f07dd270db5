//! A stream context that ends its stream from any callback: `x-do` says `CALLBACK:ACTION`,
//! or more actions with `+` between them. It logs each callback that it gets.

use crate::groups::call_out;
use crate::system;
use log::info;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, GrpcStatusCode};
use std::time::Duration;

#[derive(Default)]
pub struct Late {
    /// What the request's `x-do` header says.
    what: String,
}

impl Late {
    fn at(&self, callback: &str) -> Action {
        info!("{callback}");
        let what = self.what.strip_prefix(callback);
        let Some(actions) = what.and_then(|what| what.strip_prefix(':')) else {
            return Action::Continue;
        };
        for action in actions.split('+') {
            match action {
                "reply" => self.send_http_response(403, vec![("x-late", "1")], Some(b"late\n")),
                "empty" => self.send_http_response(404, vec![("x-late", "1")], None),
                "grpc" => {
                    let metadata = vec![("x-late", &b"1"[..])];
                    self.send_grpc_response(GrpcStatusCode::DataLoss, Some("too % late"), metadata);
                }
                "close" => self.reset_http_request(),
                "close-response" => self.reset_http_response(),
                "resume" => self.resume_http_request(),
                "resume-response" => self.resume_http_response(),
                "go" => return Action::Continue,
                other => system::misbehave(other),
            }
        }
        Action::Pause
    }

    fn wait_for_call(&self, callback: &str) -> Action {
        let action = self.at(callback);
        if self.what.starts_with(&format!("call of {callback}:")) {
            call_out(self, "upstream", "/see", Duration::from_secs(5));
            return Action::Pause;
        }
        action
    }
}

impl HttpContext for Late {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        self.what = self.get_http_request_header("x-do").unwrap_or_default();
        self.wait_for_call("request headers")
    }

    fn on_http_request_body(&mut self, _: usize, _: bool) -> Action {
        self.at("request body")
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        self.wait_for_call("response headers")
    }

    fn on_http_response_body(&mut self, _: usize, _: bool) -> Action {
        self.at("response body")
    }

    fn on_http_response_trailers(&mut self, _: usize) -> Action {
        self.at("response trailers")
    }

    fn on_log(&mut self) {
        self.at("log");
    }
}

impl Context for Late {
    fn on_http_call_response(&mut self, _: u32, _: usize, _: usize, _: usize) {
        let callback = self.what.split(':').next().unwrap_or_default().to_owned();
        self.at(&callback);
    }

    fn on_done(&mut self) -> bool {
        self.at("done");
        true
    }
}
