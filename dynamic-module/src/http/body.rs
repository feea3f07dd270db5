//! A body as the plugin sees it: what Envoy has buffered for it, then what came in just
//! now. Nothing is copied but what the plugin reads.

use crate::envoy::abi::BodyType;
use crate::http::envoy_filter::EnvoyFilter;
use proxy_wasm_host::abi::{Direction, HostResult, Status};

/// One direction's body at one moment.
pub(crate) struct Body<'a> {
    envoy: &'a EnvoyFilter,
    buffered: Option<BodyType>,
    received: Option<BodyType>,
    /// What is received was seen before.
    again: bool,
}

impl<'a> Body<'a> {
    /// `buffering`: the plugin asked Envoy to keep the body; `receiving`: this is the
    /// callback for a piece of it.
    pub(crate) fn new(
        envoy: &'a EnvoyFilter,
        direction: Direction,
        buffering: bool,
        receiving: bool,
    ) -> Self {
        let (buffered, received) = match direction {
            Direction::Request => (BodyType::BufferedRequest, BodyType::ReceivedRequest),
            Direction::Response => (BodyType::BufferedResponse, BodyType::ReceivedResponse),
        };
        // After a pause Envoy hands over the very buffer.
        let same = receiving && buffering && envoy.received_is_buffered(buffered);
        Self {
            envoy,
            buffered: (buffering && !same).then_some(buffered),
            received: receiving.then_some(received),
            again: same,
        }
    }

    fn parts(&self) -> impl Iterator<Item = BodyType> {
        [self.buffered, self.received].into_iter().flatten()
    }

    pub(crate) fn size(&self) -> usize {
        self.parts().map(|part| self.envoy.body_size(part)).sum()
    }

    /// How much came in just now.
    pub(crate) fn news(&self) -> usize {
        match (self.received, self.again) {
            (Some(part), false) => self.envoy.body_size(part),
            _ => 0,
        }
    }

    pub(crate) fn read(&self, mut start: usize, mut out: &mut [u8]) {
        for part in self.parts() {
            for chunk in self.envoy.body_chunks(part) {
                let Some(chunk) = chunk.get(start..) else {
                    start -= chunk.len();
                    continue;
                };
                start = 0;
                let size = chunk.len().min(out.len());
                let (now, rest) = out.split_at_mut(size);
                now.copy_from_slice(&chunk[..size]);
                out = rest;
                if out.is_empty() {
                    return;
                }
            }
        }
    }

    /// Replaces the first `remove` bytes.
    pub(crate) fn replace(&self, mut remove: usize, data: &[u8]) -> HostResult {
        for part in self.parts() {
            let now = remove.min(self.envoy.body_size(part));
            if now > 0 && !self.envoy.drain_body(part, now) {
                return Err(Status::BadArgument);
            }
            remove -= now;
        }
        if data.is_empty() {
            return Ok(());
        }
        // There is no way to prepend: what is left of the first part moves behind.
        let first = self
            .parts()
            .find(|part| self.envoy.body_size(*part) > 0)
            .or(self.received)
            .or(self.buffered)
            .ok_or(Status::BadArgument)?;
        let rest = self.envoy.body_chunks(first).concat();
        if !rest.is_empty() {
            self.envoy.drain_body(first, rest.len());
        }
        self.append_to(first, data)?;
        if rest.is_empty() {
            return Ok(());
        }
        self.append_to(first, &rest)
    }

    pub(crate) fn append(&self, data: &[u8]) -> HostResult {
        let last = self.received.or(self.buffered).ok_or(Status::BadArgument)?;
        self.append_to(last, data)
    }

    fn append_to(&self, part: BodyType, data: &[u8]) -> HostResult {
        if self.envoy.append_body(part, data) {
            return Ok(());
        }
        Err(Status::BadArgument)
    }
}
