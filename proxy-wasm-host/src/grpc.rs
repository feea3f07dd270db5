//! gRPC over an HTTP stream: the request's headers, frames, and what a response means, as
//! Envoy's own gRPC client has it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::abi::{HostResult, Status};
use crate::pairs::Pairs;
use crate::proxy::{CallEvent, OwnedPairs};

const OK: i32 = 0;
const UNKNOWN: i32 = 2;
const RESOURCE_EXHAUSTED: i32 = 8;
const INTERNAL: i32 = 13;
/// `UNAVAILABLE`
pub const UNAVAILABLE: u32 = 14;
const LAST: u64 = 16;
const INVALID: i32 = -1;

const FRAME_HEADER: usize = 5;
/// No more is held for one message.
const MAX_MESSAGE_BYTES: usize = 32 << 20;

/// The status that stands for an HTTP status.
pub fn status_of_http(code: u64) -> i32 {
    match code {
        400 => INTERNAL,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502..=504 => 14,
        _ => UNKNOWN,
    }
}

/// The value of `grpc-status`; -1 for one that is none.
pub fn parse_status(text: &[u8]) -> i32 {
    let status = str::from_utf8(text).ok().and_then(|it| it.parse().ok());
    let status = status.filter(|it: &u64| *it <= LAST);
    status
        .and_then(|it| i32::try_from(it).ok())
        .unwrap_or(INVALID)
}

/// Whether a content type is one of gRPC's.
pub fn is_grpc(content_type: &[u8]) -> bool {
    let rest = content_type.strip_prefix(b"application/grpc");
    rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'+')
}

/// The headers of a response that has no body and no trailers.
pub fn response_headers(status: i32, message: &[u8]) -> OwnedPairs {
    let own = |name: &[u8], value: &[u8]| (name.to_vec(), value.to_vec());
    let mut headers = vec![
        own(b":status", b"200"),
        own(b"content-type", b"application/grpc"),
        own(b"grpc-status", status.to_string().as_bytes()),
    ];
    if !message.is_empty() {
        let mut text = Vec::with_capacity(message.len());
        for byte in message {
            match byte {
                b' '..b'~' if *byte != b'%' => text.push(*byte),
                _ => text.extend(format!("%{byte:02X}").bytes()),
            }
        }
        headers.push((b"grpc-message".to_vec(), text));
    }
    headers
}

/// The headers of a request.
pub(crate) fn request_headers(
    authority: &[u8],
    service: &[u8],
    method: &[u8],
    timeout_ms: Option<u32>,
    metadata: &Pairs<'_>,
) -> OwnedPairs {
    let mut headers: OwnedPairs = vec![
        (b":method".to_vec(), b"POST".to_vec()),
        (b":path".to_vec(), [b"/", service, b"/", method].concat()),
        (b":authority".to_vec(), authority.to_vec()),
        (b"te".to_vec(), b"trailers".to_vec()),
    ];
    if let Some(timeout) = timeout_ms {
        // At most eight digits.
        let value = if timeout < 100_000_000 {
            format!("{timeout}m")
        } else {
            format!("{}S", timeout / 1000)
        };
        headers.push((b"grpc-timeout".to_vec(), value.into_bytes()));
    }
    headers.push((b"content-type".to_vec(), b"application/grpc".to_vec()));
    for (name, value) in metadata {
        let value = if name.ends_with(b"-bin") {
            STANDARD.encode(value).into_bytes()
        } else {
            value.to_vec()
        };
        headers.push((name.to_ascii_lowercase(), value));
    }
    headers
}

/// A message with its frame's header: no compression, and the size.
pub(crate) fn framed(message: &[u8]) -> HostResult<Vec<u8>> {
    let size = u32::try_from(message.len()).map_err(|_| Status::BadArgument)?;
    let mut frame = Vec::with_capacity(FRAME_HEADER + message.len());
    frame.push(0);
    frame.extend_from_slice(&size.to_be_bytes());
    frame.extend_from_slice(message);
    Ok(frame)
}

/// What the plugin is told.
#[derive(Debug, PartialEq)]
pub(crate) enum Step {
    InitialMetadata(OwnedPairs),
    Message(Vec<u8>),
    TrailingMetadata(OwnedPairs),
    /// The end; `reset`: the other side has not ended it.
    Close {
        status: i32,
        message: String,
        reset: bool,
    },
    /// The end of a call of one message, which is this.
    LastMessage(Vec<u8>),
}

/// The response's side of a stream.
#[derive(Default)]
pub(crate) struct GrpcStream {
    one_message: bool,
    received: Option<Vec<u8>>,
    partial: Vec<u8>,
    ended: bool,
}

impl GrpcStream {
    /// A call whose response is one message and nothing else.
    pub(crate) fn of_one_message() -> Self {
        Self {
            one_message: true,
            ..Self::default()
        }
    }

    /// What follows from an event.
    pub(crate) fn steps(&mut self, event: CallEvent) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.ended {
            return steps;
        }
        match event {
            CallEvent::Headers(headers, end) => on_headers(headers, end, &mut steps),
            CallEvent::Data(data, end) => {
                self.partial.extend_from_slice(&data);
                match self.take_messages(&mut steps) {
                    Err(status) => fail(status, true, &mut steps),
                    Ok(()) if end => fail(UNKNOWN, false, &mut steps),
                    Ok(()) => {}
                }
            }
            CallEvent::Trailers(trailers) => on_trailers(trailers, &mut steps),
            CallEvent::Failed(_) => fail(INTERNAL, false, &mut steps),
        }
        self.ended = matches!(steps.last(), Some(Step::Close { .. }));
        if self.one_message {
            self.only_the_message(steps)
        } else {
            steps
        }
    }

    fn take_messages(&mut self, steps: &mut Vec<Step>) -> Result<(), i32> {
        let mut unread = &self.partial[..];
        while let Some((header, rest)) = unread.split_first_chunk::<FRAME_HEADER>() {
            let [flags, size @ ..] = *header;
            let size = u32::from_be_bytes(size) as usize;
            // A compressed message was not asked for.
            if flags > 1 || (flags == 1 && size > 0) {
                return Err(INTERNAL);
            }
            if size > MAX_MESSAGE_BYTES {
                return Err(RESOURCE_EXHAUSTED);
            }
            let Some(message) = rest.get(..size) else {
                break;
            };
            steps.push(Step::Message(message.to_vec()));
            unread = &rest[size..];
        }
        let read = self.partial.len() - unread.len();
        self.partial.drain(..read);
        Ok(())
    }

    /// Metadata is not for such a call, and its message comes with the good end.
    fn only_the_message(&mut self, steps: Vec<Step>) -> Vec<Step> {
        let mut last = Vec::new();
        for step in steps {
            match step {
                Step::Message(message) => self.received = Some(message),
                Step::Close {
                    status: OK, reset, ..
                } => last.push(match self.received.take() {
                    Some(message) => Step::LastMessage(message),
                    None => Step::Close {
                        status: INTERNAL,
                        message: String::new(),
                        reset,
                    },
                }),
                close @ Step::Close { .. } => last.push(close),
                _ => {}
            }
        }
        last
    }
}

fn value<'a>(pairs: &'a OwnedPairs, name: &[u8]) -> Option<&'a [u8]> {
    let found = pairs.iter().find(|(it, _)| it == name);
    found.map(|(_, value)| &value[..])
}

fn on_headers(headers: OwnedPairs, end: bool, steps: &mut Vec<Step>) {
    let code = value(&headers, b":status").and_then(|it| str::from_utf8(it).ok()?.parse().ok());
    let good = code == Some(200);
    if good && !end {
        return steps.push(Step::InitialMetadata(headers));
    }
    steps.push(Step::InitialMetadata(Vec::new()));
    if end && (good || value(&headers, b"grpc-status").is_some()) {
        on_trailers(headers, steps);
    } else {
        fail(status_of_http(code.unwrap_or_default()), !end, steps);
    }
}

fn on_trailers(trailers: OwnedPairs, steps: &mut Vec<Step>) {
    let status = value(&trailers, b"grpc-status").map_or(UNKNOWN, parse_status);
    let message = value(&trailers, b"grpc-message").unwrap_or_default();
    let message = String::from_utf8_lossy(message).into_owned();
    steps.push(Step::TrailingMetadata(trailers));
    steps.push(Step::Close {
        status,
        message,
        reset: false,
    });
}

fn fail(status: i32, reset: bool, steps: &mut Vec<Step>) {
    steps.push(Step::TrailingMetadata(Vec::new()));
    steps.push(Step::Close {
        status,
        message: String::new(),
        reset,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &[(&str, &str)]) -> OwnedPairs {
        let own = |(name, value): &(&str, &str)| (name.as_bytes().into(), value.as_bytes().into());
        list.iter().map(own).collect()
    }

    fn close(status: i32, message: &str, reset: bool) -> Step {
        let message = message.into();
        Step::Close {
            status,
            message,
            reset,
        }
    }

    #[test]
    fn messages_are_cut_out_wherever_the_pieces_end() {
        let data = [framed(b"one"), framed(b""), framed(b"three")].map(|it| it.expect("short"));
        let data = data.concat();
        for size in 1..data.len() {
            let mut stream = GrpcStream::default();
            let piece = |piece: &[u8]| CallEvent::Data(piece.to_vec(), false);
            let steps: Vec<Step> = data
                .chunks(size)
                .flat_map(|it| stream.steps(piece(it)))
                .collect();
            let expected = [&b"one"[..], b"", b"three"].map(|it| Step::Message(it.to_vec()));
            assert_eq!(steps, expected);
        }
    }

    #[test]
    fn a_call_has_one_message_and_a_status() {
        let answer = |events: Vec<CallEvent>| {
            let mut call = GrpcStream::of_one_message();
            let steps = events.into_iter().flat_map(|event| call.steps(event));
            steps.collect::<Vec<_>>()
        };
        let headers = || CallEvent::Headers(pairs(&[(":status", "200")]), false);
        let message = || CallEvent::Data(framed(b"m").expect("short"), false);
        let trailers = |status| CallEvent::Trailers(pairs(&[("grpc-status", status)]));
        let good = answer(vec![headers(), message(), trailers("0")]);
        assert_eq!(good, [Step::LastMessage(b"m".to_vec())]);
        let none = answer(vec![headers(), trailers("0")]);
        assert_eq!(none, [close(INTERNAL, "", false)]);
        let bad = answer(vec![headers(), message(), trailers("5")]);
        assert_eq!(bad, [close(5, "", false)]);
        let odd = answer(vec![headers(), trailers("99"), trailers("0")]);
        assert_eq!(odd, [close(INVALID, "", false)]);
        let early = answer(vec![CallEvent::Failed("reset")]);
        assert_eq!(early, [close(INTERNAL, "", false)]);
    }

    #[test]
    fn what_is_no_grpc_is_an_error() {
        let first = |event| GrpcStream::default().steps(event);
        let text = CallEvent::Headers(pairs(&[(":status", "503")]), false);
        let unavailable = close(14, "", true);
        assert_eq!(first(text).last(), Some(&unavailable));
        let flags = CallEvent::Data(b"\x01\0\0\0\x01x".to_vec(), false);
        assert_eq!(first(flags).last(), Some(&close(INTERNAL, "", true)));
        let size = CallEvent::Data(b"\0\xff\xff\xff\xff".to_vec(), false);
        assert_eq!(
            first(size).last(),
            Some(&close(RESOURCE_EXHAUSTED, "", true))
        );
        let end = CallEvent::Data(Vec::new(), true);
        assert_eq!(first(end).last(), Some(&close(UNKNOWN, "", false)));
    }

    #[test]
    fn messages_in_headers_are_escaped() {
        let headers = response_headers(3, "a % \u{fc}~".as_bytes());
        let message = value(&headers, b"grpc-message").expect("there is one");
        assert_eq!(message, b"a %25 %C3%BC%7E");
        assert!(is_grpc(b"application/grpc+json") && !is_grpc(b"application/grpc-web"));
    }
}
