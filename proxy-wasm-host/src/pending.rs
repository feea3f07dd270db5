//! What a VM has under way: calls, and what waits until the plugin has returned.

use std::rc::Rc;

use crate::abi::{HostResult, Status};
use crate::context::Context;
use crate::grpc::GrpcStream;
use crate::proxy::{CallEvent, CallResponse, StreamAction};

/// What kind of call a token names, by its low two bits, as in proxy-wasm-cpp-host.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallKind {
    Http = 0,
    GrpcCall = 1,
    GrpcStream = 2,
}

pub(crate) const KINDS: u32 = 4;

impl CallKind {
    pub(crate) fn of(token: u32) -> HostResult<Self> {
        match token % KINDS {
            0 => Ok(Self::Http),
            1 => Ok(Self::GrpcCall),
            2 => Ok(Self::GrpcStream),
            _ => Err(Status::BadArgument),
        }
    }
}

/// A call under way.
pub(crate) struct Call {
    pub(crate) context: Rc<Context>,
    /// It is the stream's own, and not the plugin's as a whole.
    pub(crate) on_stream: bool,
    pub(crate) state: State,
}

pub(crate) enum State {
    Http(CallResponse),
    Grpc(GrpcStream),
}

/// What must wait until the plugin has returned: what it asks for that can bring the proxy
/// back into the VM, and what arrives while it runs.
pub(crate) enum Deferred {
    Stream(Rc<Context>, StreamAction),
    /// A root context that said it is done.
    Delete(Rc<Context>),
    /// What arrived for a call.
    Call(u32, CallEvent),
}
