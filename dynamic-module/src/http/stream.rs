//! What the host asks of a stream.

use std::borrow::Cow;
use std::sync::Once;

use crate::envoy::calls::OF_FILTER;
use crate::envoy::log::log;
use crate::http::envoy_filter::header_type;
use crate::http::filter::Filter;
use crate::http::properties;
use proxy_wasm_host::UsePairs;
use proxy_wasm_host::abi::{Direction, HostResult, LogLevel, MapType, Status};
use proxy_wasm_host::proxy::{HttpRequest, Stream, StreamAction};

impl Stream for Filter {
    fn has_map(&self, map: MapType) -> bool {
        self.local_map(map).is_some()
            || header_type(map).is_some_and(|map| self.envoy().header_count(map) > 0)
    }

    fn header(&self, map: MapType, name: &[u8]) -> Option<Cow<'_, [u8]>> {
        if let Some(local) = self.local_map(map) {
            return local.header(name).map(Cow::Owned);
        }
        self.envoy()
            .header(header_type(map)?, name)
            .map(Cow::Borrowed)
    }

    fn headers(&self, map: MapType, use_them: &mut UsePairs<'_>) {
        if let Some(local) = self.local_map(map) {
            return local.headers(use_them);
        }
        let pairs = header_type(map).map_or_else(Vec::new, |map| self.envoy().headers(map));
        use_them(&pairs);
    }

    fn add_header(&self, map: MapType, name: &[u8], value: &[u8]) -> HostResult {
        if let Some(local) = self.local_map(map) {
            local.add(name, value);
            return Ok(());
        }
        if value.is_empty() {
            left_out(name, "its value is empty");
            return done(self.has_map(map));
        }
        let to = header_type(map).ok_or(Status::BadArgument)?;
        done(self.envoy().add_header(to, name, value) || leaves_out_trailer(map, name))
    }

    fn set_header(&self, map: MapType, name: &[u8], value: &[u8]) -> HostResult {
        if let Some(local) = self.local_map(map) {
            local.set(name, value);
            return Ok(());
        }
        if value.is_empty() {
            left_out(name, "its value is empty");
            return self.remove_header(map, name);
        }
        let to = header_type(map).ok_or(Status::BadArgument)?;
        done(self.envoy().set_header(to, name, value) || leaves_out_trailer(map, name))
    }

    fn remove_header(&self, map: MapType, name: &[u8]) -> HostResult {
        if let Some(local) = self.local_map(map) {
            local.remove(name);
            return Ok(());
        }
        let map = header_type(map).ok_or(Status::BadArgument)?;
        // This is how Envoy's ABI says it.
        done(self.envoy().set_header(map, name, b""))
    }

    fn body_size(&self, direction: Direction) -> usize {
        if let Some(local) = self.local_body(direction) {
            return local.body_size();
        }
        self.body(direction).size()
    }

    fn read_body(&self, direction: Direction, start: usize, out: &mut [u8]) {
        if let Some(local) = self.local_body(direction) {
            return local.read_body(start, out);
        }
        self.body(direction).read(start, out);
    }

    fn replace_body(&self, direction: Direction, remove: usize, data: &[u8]) -> HostResult {
        if let Some(local) = self.local_body(direction) {
            local.replace_body(remove, data);
            return Ok(());
        }
        self.body(direction).replace(remove, data)
    }

    fn append_body(&self, direction: Direction, data: &[u8]) -> HostResult {
        if let Some(local) = self.local_body(direction) {
            local.append_body(data);
            return Ok(());
        }
        self.body(direction).append(data)
    }

    fn property(&self, path: &[&[u8]]) -> Option<Cow<'_, [u8]>> {
        properties::get(self, path)
    }

    fn set_property(&self, path: &[u8], value: &[u8]) -> HostResult {
        let key = [properties::STATE_PREFIX, path].concat();
        done(self.envoy().set_filter_state(&key, value))
    }

    fn set_filter_state(&self, key: &[u8], value: &[u8]) -> HostResult {
        if self.envoy().set_typed_filter_state(key, value) {
            return Ok(());
        }
        Err(Status::NotFound)
    }

    fn clear_route_cache(&self) {
        self.envoy().clear_route_cache();
    }

    fn is_ending(&self) -> bool {
        self.ending.get()
    }

    fn open_call(&self, token: u32, request: &HttpRequest<'_>, end: bool) -> HostResult {
        // SAFETY: the filter is alive, and this is its thread.
        let id = unsafe { OF_FILTER.open(self.envoy().as_ptr(), request, end) }?;
        self.calls.borrow_mut().push((id, token));
        Ok(())
    }

    fn send_on_call(&self, token: u32, data: &[u8], end: bool) -> HostResult {
        if let Some(id) = self.call_id(token) {
            // SAFETY: the filter is alive, and this is its thread.
            unsafe { OF_FILTER.send(self.envoy().as_ptr(), id, data, end) };
        }
        Ok(())
    }

    fn reset_call(&self, token: u32) {
        if let Some(id) = self.call_id(token) {
            self.calls.borrow_mut().retain(|it| it.0 != id);
            // SAFETY: the filter is alive, and this is its thread.
            unsafe { OF_FILTER.reset(self.envoy().as_ptr(), id) };
        }
    }

    fn set_upstream_host(&self, host: &[u8]) -> HostResult {
        done(self.envoy().set_upstream_host(host))
    }

    fn act(&self, action: StreamAction) {
        if self.ending.get() {
            return;
        }
        // It may be another stream's hook that acts on this one.
        let _held = self.hold();
        match action {
            StreamAction::Resume(Direction::Request) => self.envoy().continue_decoding(),
            StreamAction::Resume(Direction::Response) => {
                // Envoy takes for granted that there is a response.
                if self.envoy().has_response() {
                    self.envoy().continue_encoding();
                }
            }
            StreamAction::Close => self.envoy().reset(b"wasm_close_stream"),
            StreamAction::Respond(mut response) => {
                // Envoy's access log is split at spaces.
                for byte in &mut response.details {
                    if byte.is_ascii_whitespace() {
                        *byte = b'_';
                    }
                }
                self.respond(response);
            }
        }
    }
}

impl Filter {
    fn call_id(&self, token: u32) -> Option<u64> {
        let calls = self.calls.borrow();
        calls.iter().find(|it| it.1 == token).map(|it| it.0)
    }
}

/// Where Envoy's ABI has no way to begin the trailers of a message that has none, they are left
/// out. To say that to the plugin would be right, but SDKs panic at it, and all later streams would
/// pay for that.
fn leaves_out_trailer(map: MapType, name: &[u8]) -> bool {
    let is_trailer = matches!(map, MapType::RequestTrailers | MapType::ResponseTrailers);
    if is_trailer {
        left_out(name, "the message has no trailers");
    }
    is_trailer
}

fn done(done: bool) -> HostResult {
    if done {
        Ok(())
    } else {
        Err(Status::BadArgument)
    }
}

/// Says once, of the first header, what Envoy's ABI cannot do.
fn left_out(name: &[u8], because: &str) {
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        let name = String::from_utf8_lossy(name);
        let message = format!("rust_wasm_module: left out the header {name}: {because}");
        log(LogLevel::Warn, &message);
    });
}
