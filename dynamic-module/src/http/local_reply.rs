//! A response that the plugin made, while the plugin's own callbacks look at it.

use std::cell::RefCell;

use crate::http::envoy_filter::EnvoyFilter;
use proxy_wasm_host::proxy::{LocalResponse, OwnedPairs};
use proxy_wasm_host::{UsePairs, grpc};

pub(crate) struct LocalReply {
    response: RefCell<LocalResponse>,
    is_grpc: bool,
}

const STATUS: &[u8] = b":status";
const LENGTH: &[u8] = b"content-length";
const TYPE: &[u8] = b"content-type";

impl LocalReply {
    /// With the headers that Envoy will give it. To a gRPC request, its status is in the
    /// headers, and its body is the message there.
    pub(crate) fn new(mut response: LocalResponse, is_grpc: bool) -> Self {
        if is_grpc {
            let given = response.grpc_status.and_then(|it| i32::try_from(it).ok());
            let status = given.unwrap_or_else(|| grpc::status_of_http(response.status.into()));
            let body = std::mem::take(&mut response.body);
            let mut headers = grpc::response_headers(status, &body);
            headers.append(&mut response.headers);
            response.headers = headers;
            let response = RefCell::new(response);
            return Self { response, is_grpc };
        }
        let own = |name: &[u8], value: String| (name.to_vec(), value.into_bytes());
        let mut headers: OwnedPairs = vec![own(STATUS, response.status.to_string())];
        headers.append(&mut response.headers);
        for (name, _) in &mut headers {
            name.make_ascii_lowercase();
        }
        response.headers = headers;
        let reply = Self {
            response: RefCell::new(response),
            is_grpc,
        };
        if reply.body_size() > 0 {
            reply.set(LENGTH, reply.body_size().to_string().as_bytes());
            if reply.header(TYPE).is_none() {
                reply.add(TYPE, b"text/plain");
            }
        }
        reply
    }

    /// That of a stream which must not go on, since its plugin has failed.
    pub(crate) fn failed(is_grpc: bool) -> Self {
        let response = LocalResponse {
            status: 503,
            details: b"wasm_fail_stream".to_vec(),
            body: Vec::new(),
            headers: Vec::new(),
            grpc_status: Some(grpc::UNAVAILABLE),
        };
        Self::new(response, is_grpc)
    }

    /// Sends it.
    pub(crate) fn send(&self, envoy: &EnvoyFilter) {
        // Once a response has begun, Envoy has to say whether it replaces the headers or
        // resets the stream. It takes the gRPC status from the headers then.
        if self.is_grpc && !envoy.has_response() {
            // Envoy's ABI for local replies has no gRPC status.
            envoy.send_response_headers(&self.response.borrow().headers);
        } else {
            envoy.send_response(&self.finished());
        }
    }

    /// The response as Envoy wants it: it makes some headers itself.
    fn finished(&self) -> LocalResponse {
        let mut response = self.response.borrow().clone();
        let status = response.headers.iter().find(|(name, _)| name == STATUS);
        if let Some(status) = status.and_then(|(_, value)| str::from_utf8(value).ok()?.parse().ok())
        {
            response.status = status;
        }
        response
            .headers
            .retain(|(name, _)| name != STATUS && name != LENGTH);
        response
    }

    pub(crate) fn status(&self) -> u32 {
        self.response.borrow().status
    }

    pub(crate) fn header_count(&self) -> u32 {
        u32::try_from(self.response.borrow().headers.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn header(&self, name: &[u8]) -> Option<Vec<u8>> {
        let response = self.response.borrow();
        let found = response
            .headers
            .iter()
            .find(|(it, _)| it.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.clone())
    }

    pub(crate) fn headers(&self, use_them: &mut UsePairs<'_>) {
        // A copy, because the plugin may change them meanwhile.
        let headers = self.response.borrow().headers.clone();
        let pairs: Vec<_> = headers
            .iter()
            .map(|(name, value)| (&name[..], &value[..]))
            .collect();
        use_them(&pairs);
    }

    pub(crate) fn add(&self, name: &[u8], value: &[u8]) {
        let header = (name.to_ascii_lowercase(), value.to_vec());
        self.response.borrow_mut().headers.push(header);
    }

    pub(crate) fn set(&self, name: &[u8], value: &[u8]) {
        self.remove(name);
        self.add(name, value);
    }

    pub(crate) fn remove(&self, name: &[u8]) {
        let mut response = self.response.borrow_mut();
        response
            .headers
            .retain(|(it, _)| !it.eq_ignore_ascii_case(name));
    }

    pub(crate) fn body_size(&self) -> usize {
        self.response.borrow().body.len()
    }

    pub(crate) fn read_body(&self, start: usize, out: &mut [u8]) {
        out.copy_from_slice(&self.response.borrow().body[start..start + out.len()]);
    }

    pub(crate) fn replace_body(&self, remove: usize, data: &[u8]) {
        let body = &mut self.response.borrow_mut().body;
        let remove = remove.min(body.len());
        body.splice(..remove, data.iter().copied());
    }

    pub(crate) fn append_body(&self, data: &[u8]) {
        self.response.borrow_mut().body.extend_from_slice(data);
    }
}
