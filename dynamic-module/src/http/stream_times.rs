//! What the filter notes of a stream itself, since Envoy's ABI does not tell.

use std::cell::Cell;

use proxy_wasm_host::clock;

/// What the filter notes itself. Times are in nanoseconds.
pub(crate) struct StreamTimes {
    pub(crate) start: u64,
    /// Bytes of request body.
    pub(crate) received: Cell<u64>,
    /// How long the stream took, once it has ended.
    pub(crate) complete: Cell<Option<u64>>,
}

impl StreamTimes {
    pub(crate) fn stream_is_complete(&self) {
        let took = clock::real().saturating_sub(self.start);
        self.complete.set(Some(took));
    }
}

impl Default for StreamTimes {
    fn default() -> Self {
        Self {
            start: clock::real(),
            received: Cell::new(0),
            complete: Cell::new(None),
        }
    }
}
