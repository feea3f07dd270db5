//! Calls that a plugin makes, HTTP and gRPC. Each is an HTTP stream of the proxy's: what
//! arrives on it is collected into one response, or cut into gRPC messages.

use std::mem;
use std::rc::Rc;

use crate::abi::{HostResult, Status};
use crate::context::Context;
use crate::exports::{Exports, Optional};
use crate::grpc::{GrpcStream, Step};
use crate::pending::{Call, CallKind, Deferred, KINDS, State};
use crate::proxy::{CallEvent, CallResponse, HttpRequest};
use crate::vm::Vm;
use crate::vm::memory::size32;

/// Envoy's limit for the responses that it collects itself.
const MAX_RESPONSE_BYTES: usize = 32 << 20;

/// Opening, sending, giving up: what hostcalls do.
impl Vm {
    /// Opens a call on behalf of the current context; returns its token.
    pub(crate) fn open_call(
        &self,
        kind: CallKind,
        request: &HttpRequest<'_>,
        end: bool,
    ) -> HostResult<u32> {
        let context = self.context();
        // What a stream asks for at its end outlives it.
        let stream = context.stream().filter(|it| !it.is_ending());
        let call = Call {
            context: context.clone(),
            on_stream: stream.is_some(),
            state: match kind {
                CallKind::Http => State::Http(CallResponse::default()),
                CallKind::GrpcCall => State::Grpc(GrpcStream::of_one_message()),
                CallKind::GrpcStream => State::Grpc(GrpcStream::default()),
            },
        };
        let token = self.insert_call(kind, call);
        if stream.is_some() {
            context.calls.borrow_mut().push(token);
        }
        let opened = match &stream {
            Some(stream) => stream.open_call(token, request, end),
            None => {
                let proxy = &context.plugin.proxy;
                proxy.open_call(self.root_id(&context), token, request, end)
            }
        };
        if opened.is_err() {
            self.remove_call(token);
        }
        opened.map(|()| token)
    }

    fn insert_call(&self, kind: CallKind, call: Call) -> u32 {
        let mut calls = self.calls.borrow_mut();
        loop {
            let count = self.last_call.get() % (u32::MAX / KINDS) + 1;
            self.last_call.set(count);
            let token = count * KINDS + kind as u32;
            if let std::collections::hash_map::Entry::Vacant(entry) = calls.entry(token) {
                entry.insert(call);
                return token;
            }
        }
    }

    /// The context of a call, and whether the call is its stream's.
    fn caller(&self, token: u32) -> Option<(Rc<Context>, bool)> {
        let calls = self.calls.borrow();
        calls
            .get(&token)
            .map(|it| (it.context.clone(), it.on_stream))
    }

    /// Sends on a call. One that has ended takes it without effect.
    pub(crate) fn send_on_call(&self, token: u32, data: &[u8], end: bool) -> HostResult {
        let Some((context, on_stream)) = self.caller(token) else {
            return self.was_issued(token);
        };
        if !on_stream {
            let proxy = &context.plugin.proxy;
            return proxy.send_on_call(self.root_id(&context), token, data, end);
        }
        let stream = context.stream().ok_or(Status::InternalFailure)?;
        stream.send_on_call(token, data, end)
    }

    /// Gives up a call: the plugin hears no more of it.
    pub(crate) fn cancel_call(&self, token: u32) -> HostResult {
        let Some((context, on_stream)) = self.caller(token) else {
            return self.was_issued(token);
        };
        self.remove_call(token);
        self.reset_call(&context, on_stream, token);
        Ok(())
    }

    /// Has the proxy end a call, if it has not ended.
    fn reset_call(&self, context: &Context, on_stream: bool, token: u32) {
        if !on_stream {
            context
                .plugin
                .proxy
                .reset_call(self.root_id(context), token);
        } else if let Some(stream) = context.stream() {
            stream.reset_call(token);
        }
    }

    fn was_issued(&self, token: u32) -> HostResult {
        if token / KINDS <= self.last_call.get() {
            return Ok(());
        }
        Err(Status::NotFound)
    }
}

/// What arrives.
impl Vm {
    /// Something arrived for a call. If the plugin is running, it waits until the plugin
    /// has returned.
    pub fn call_event(&self, token: u32, event: CallEvent) {
        if self.is_running() {
            return self.defer(Deferred::Call(token, event));
        }
        let mut calls = self.calls.borrow_mut();
        let Some(call) = calls.get_mut(&token) else {
            return;
        };
        match &mut call.state {
            State::Http(response) => {
                let Some(result) = collect(response, event) else {
                    return;
                };
                drop(calls);
                self.http_response(token, result);
            }
            State::Grpc(stream) => {
                let steps = stream.steps(event);
                drop(calls);
                for step in steps {
                    self.grpc_step(token, step);
                }
            }
        }
    }

    /// Ends what a stream still waits for.
    pub(crate) fn abandon_calls(&self, context: &Context) {
        // Ending one may open another, which ends too.
        loop {
            let next = context.calls.borrow_mut().pop();
            let Some(token) = next else { return };
            self.call_event(token, CallEvent::Failed("the stream has ended"));
        }
    }

    /// Forgets a call.
    fn remove_call(&self, token: u32) -> Option<Call> {
        let call = self.calls.borrow_mut().remove(&token)?;
        call.context.calls.borrow_mut().retain(|it| *it != token);
        Some(call)
    }

    fn http_response(&self, token: u32, response: Result<CallResponse, &str>) {
        let Some(call) = self.remove_call(token) else {
            return;
        };
        let root = self.root_of(&call.context);
        let mut sizes = [0; 3];
        match response {
            Ok(response) => {
                let (headers, body) = (response.headers.len(), response.body.len());
                sizes = [headers, body, response.trailers.len()].map(count);
                self.call_response.replace(Some(Rc::new(response)));
            }
            Err(error) => {
                self.reset_call(&call.context, call.on_stream, token);
                let status = Status::BrokenConnection as u32;
                self.call_status.replace((status, error.to_owned()));
            }
        }
        let [headers, body, trailers] = sizes;
        let arguments = [root.id, token, headers, body, trailers];
        self.callback(&root, |exports| exports.http_call_response, &arguments);
        self.call_response.replace(None);
        self.call_status.borrow_mut().1.clear();
    }

    fn grpc_step(&self, token: u32, step: Step) {
        // The plugin may have given up the call in an earlier step.
        let Some((context, on_stream)) = self.caller(token) else {
            return;
        };
        let root = self.root_of(&context);
        let mut response = CallResponse::default();
        type Find = fn(&Exports) -> Optional;
        let (export, argument): (Find, u32) = match step {
            Step::InitialMetadata(headers) => {
                response.headers = headers;
                (|it| it.grpc_initial_metadata, count(response.headers.len()))
            }
            Step::Message(body) => {
                response.body = body;
                (|it| it.grpc_receive, count(response.body.len()))
            }
            Step::LastMessage(body) => {
                self.remove_call(token);
                response.body = body;
                (|it| it.grpc_receive, count(response.body.len()))
            }
            Step::TrailingMetadata(trailers) => {
                response.trailers = trailers;
                (
                    |it| it.grpc_trailing_metadata,
                    count(response.trailers.len()),
                )
            }
            Step::Close {
                status,
                message,
                reset,
            } => {
                self.remove_call(token);
                if reset {
                    self.reset_call(&context, on_stream, token);
                }
                let status = status.cast_unsigned();
                self.call_status.replace((status, message));
                (|it| it.grpc_close, status)
            }
        };
        self.call_response.replace(Some(Rc::new(response)));
        self.callback(&root, export, &[root.id, token, argument]);
        self.call_response.replace(None);
        self.call_status.borrow_mut().1.clear();
    }
}

fn count(size: usize) -> u32 {
    size32(size).unwrap_or(u32::MAX)
}

/// Adds to a response; says when it is complete or has failed.
fn collect(
    response: &mut CallResponse,
    event: CallEvent,
) -> Option<Result<CallResponse, &'static str>> {
    let complete = match event {
        CallEvent::Headers(headers, end) => {
            response.headers = headers;
            end
        }
        CallEvent::Data(data, end) => {
            if response.body.len() + data.len() > MAX_RESPONSE_BYTES {
                return Some(Err("the response is too large"));
            }
            response.body.extend_from_slice(&data);
            end
        }
        CallEvent::Trailers(trailers) => {
            response.trailers = trailers;
            true
        }
        CallEvent::Failed(error) => return Some(Err(error)),
    };
    complete.then(|| Ok(mem::take(response)))
}
