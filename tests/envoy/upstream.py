"""An HTTP/2 server in a thread that tells what reached it.

Paths: /see answers with the request as JSON; /body with the request's body; /trailers with body
and trailers, and one more trailer; /status/NNN with that status and nothing else; /hang never.
/test.Service/METHOD is a gRPC service; its methods are in `grpc`.
"""

import asyncio
import hashlib
import json
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
import h2.exceptions
from h2.settings import SettingCodes


@dataclass
class Stream:
    headers: list[tuple[str, str]]
    body: bytearray = field(default_factory=bytearray)
    trailers: list[tuple[str, str]] = field(default_factory=list)
    unsent: bytes = b""
    last: list[tuple[str, str]] = field(default_factory=list)
    answered: bool = False

    def path(self) -> str:
        return dict(self.headers)[":path"]


GRPC_HEADERS = [
    (":status", "200"),
    ("content-type", "application/grpc"),
    ("x-upstream", "first"),
]


def frame(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message


class Connection(asyncio.Protocol):
    def __init__(self) -> None:
        config = h2.config.H2Configuration(client_side=False, header_encoding="latin-1")
        self.h2 = h2.connection.H2Connection(config)
        self.streams: dict[int, Stream] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.h2.initiate_connection()
        self.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 1 << 24})
        self.h2.increment_flow_control_window(1 << 28)
        self.transport.write(self.h2.data_to_send())

    def data_received(self, data: bytes) -> None:
        for event in self.h2.receive_data(data):
            match event:
                case h2.events.RequestReceived():
                    self.streams[event.stream_id] = Stream(event.headers)
                case h2.events.DataReceived():
                    self.streams[event.stream_id].body += event.data
                    self.reply(event.stream_id, self.take_body)
                    self.h2.acknowledge_received_data(
                        event.flow_controlled_length, event.stream_id
                    )
                case h2.events.TrailersReceived():
                    self.streams[event.stream_id].trailers = event.headers
                case h2.events.StreamEnded():
                    self.reply(event.stream_id, self.answer)
                case h2.events.StreamReset():
                    self.streams.pop(event.stream_id, None)
                case h2.events.WindowUpdated() | h2.events.RemoteSettingsChanged():
                    for stream_id in list(self.streams):
                        self.reply(stream_id, self.send)
        self.transport.write(self.h2.data_to_send())

    def reply(self, stream_id: int, step: Callable[[int], None]) -> None:
        """One stream's step, whose failure must not take the connection's other streams along.

        It fails if the stream was reset meanwhile: the event of that may be yet to come.
        """
        if stream_id in self.streams:
            with suppress(h2.exceptions.ProtocolError):
                step(stream_id)

    def send_headers(
        self, stream_id: int, headers: list[tuple[str, str]], end_stream: bool = False
    ) -> None:
        self.h2.send_headers(stream_id, headers, end_stream=end_stream)
        if end_stream:
            del self.streams[stream_id]

    def take_body(self, stream_id: int) -> None:
        if self.streams[stream_id].path() == "/test.Service/Chat":
            self.chat(stream_id)

    def answer(self, stream_id: int) -> None:
        stream = self.streams[stream_id]
        path = stream.path()
        if path.startswith("/test.Service/"):
            self.grpc(stream_id, path.removeprefix("/test.Service/"))
            return
        status, body = "200", b""
        if path.startswith("/hang"):
            return
        if path.startswith("/status/"):
            status = path.removeprefix("/status/")
        elif path.startswith("/body"):
            body = bytes(stream.body)
        elif path.startswith("/trailers"):
            body, stream.last = bytes(stream.body), [*stream.trailers, ("x-last", "upstream")]
        else:
            seen = {
                "headers": stream.headers,
                "length": len(stream.body),
                "body": stream.body[:64].decode("latin-1"),
                "sha256": hashlib.sha256(stream.body).hexdigest(),
                "trailers": stream.trailers,
            }
            body = json.dumps(seen).encode()
        headers = [(":status", status), ("x-upstream", "here"), ("x-gone", "soon")]
        if not stream.last and status != "204":
            headers.append(("content-length", str(len(body))))
        stream.unsent = body
        self.send_headers(stream_id, headers, end_stream=not body and not stream.last)
        self.reply(stream_id, self.send)

    def chat(self, stream_id: int) -> None:
        """Sends back what came, while the request is not complete."""
        stream = self.streams[stream_id]
        if not stream.answered:
            self.send_headers(stream_id, GRPC_HEADERS)
            stream.answered = True
        if stream.body:
            self.h2.send_data(stream_id, bytes(stream.body))
            stream.body.clear()

    def grpc(self, stream_id: int, method: str) -> None:
        stream = self.streams[stream_id]
        last = [("grpc-status", "0"), ("x-upstream", "last")]
        match method:
            case "Hang":
                return
            case "Chat":
                self.chat(stream_id)
            case "Refuse":  # all in one piece of headers
                end = [("grpc-status", "7"), ("grpc-message", "not you"), ("x-upstream", "only")]
                self.send_headers(stream_id, [*GRPC_HEADERS[:2], *end], end_stream=True)
                return
            case "Http":
                self.send_headers(stream_id, [(":status", "404")], end_stream=True)
                return
            case "See":  # the request's headers
                shown = {n: v for n, v in stream.headers if not n.startswith("x-forwarded")}
                stream.unsent = frame(json.dumps(shown, sort_keys=True).encode())
            case "Echo":
                stream.unsent = bytes(stream.body)
            case "Many":
                stream.unsent = b"".join(frame(b"%d" % n * n) for n in range(5))
            case "Fail":
                stream.unsent = bytes(stream.body)
                last = [("grpc-status", "9"), ("grpc-message", "too late")]
            case "Nothing":
                pass
            case "Statusless":
                stream.unsent, last = frame(b"message"), []
            case "Garbage":
                stream.unsent = b"\x77garbage"
            case "Large":
                stream.unsent = frame(bytes(200_000))
        if method != "Chat":
            self.send_headers(stream_id, GRPC_HEADERS)
        stream.last = last
        self.send(stream_id)

    def send(self, stream_id: int) -> None:
        """Sends of an answer's body and trailers what the window takes."""
        stream = self.streams[stream_id]
        while stream.unsent:
            window = self.h2.local_flow_control_window(stream_id)
            size = min(window, self.h2.max_outbound_frame_size, len(stream.unsent))
            if size <= 0:
                return
            piece, stream.unsent = stream.unsent[:size], stream.unsent[size:]
            end = not stream.unsent and not stream.last
            self.h2.send_data(stream_id, piece, end_stream=end)
            if end:
                del self.streams[stream_id]
                return
        if stream.last:
            self.send_headers(stream_id, stream.last, end_stream=True)


class Upstream:
    """Serves until the program ends; `port` is free for it on loopback."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        start = self.loop.create_server(Connection, "127.0.0.1", 0)
        self.server = self.loop.run_until_complete(start)
        self.port: int = self.server.sockets[0].getsockname()[1]
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
