"""Small HTTP/1.1 and HTTP/2 clients that show everything a response carries."""

import socket
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
from h2.settings import SettingCodes

Headers = list[tuple[str, str]]
TIMEOUT = 20.0


@dataclass
class Response:
    status: int = 0  # 0: the stream ended without a response
    headers: Headers = field(default_factory=list)
    body: bytes = b""
    trailers: Headers = field(default_factory=list)
    reset: bool = False

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def get(self, name: str) -> str | None:
        return next(iter(self.all(name)), None)


@dataclass
class Request:
    path: str = "/see"
    headers: Headers = field(default_factory=list)
    body: bytes | list[bytes] = b""  # a list is sent chunk by chunk, without a length
    trailers: Headers = field(default_factory=list)
    method: str = ""

    def chunks(self) -> list[bytes]:
        return self.body if isinstance(self.body, list) else [self.body] if self.body else []

    def verb(self) -> str:
        return self.method or ("POST" if self.body else "GET")


def connect(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), TIMEOUT)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


class Http1:
    def __init__(self, port: int):
        self.socket = connect(port)
        self.file = self.socket.makefile("rb")

    def __enter__(self) -> "Http1":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self.socket.close()

    def request(self, request: Request) -> Response:
        lines = [f"{request.verb()} {request.path} HTTP/1.1", "host: example.test"]
        lines += [f"{name}: {value}" for name, value in request.headers]
        chunked = isinstance(request.body, list) or bool(request.trailers)
        if chunked:
            lines.append("transfer-encoding: chunked")
        elif request.body:
            lines.append(f"content-length: {len(request.body)}")
        try:
            self.socket.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
            for chunk in request.chunks():
                self.socket.sendall(b"%x\r\n%s\r\n" % (len(chunk), chunk) if chunked else chunk)
            if chunked:
                last = "".join(f"{name}: {value}\r\n" for name, value in request.trailers)
                self.socket.sendall(f"0\r\n{last}\r\n".encode())
        except (BrokenPipeError, ConnectionResetError):
            pass  # the proxy may answer, and close, before the body is complete
        try:
            return self.response(request.verb())
        except ConnectionResetError:
            return Response(reset=True)

    def response(self, verb: str) -> Response:
        line = self.file.readline()
        if not line:
            return Response(reset=True)
        response = Response(int(line.split()[1]), self.fields())
        length = response.get("content-length")
        if verb == "HEAD" or response.status in (204, 304):
            pass
        elif response.get("transfer-encoding") == "chunked":
            while size := int(self.file.readline() or b"0", 16):
                response.body += self.file.read(size)
                self.file.readline()
            response.trailers = self.fields()
        elif length is not None:
            response.body = self.file.read(int(length))
        else:
            response.body = self.file.read()
        return response

    def fields(self) -> Headers:
        found: Headers = []
        while line := self.file.readline().decode("latin-1").strip():
            name, _, value = line.partition(":")
            found.append((name.lower(), value.strip()))
        return found


class Http2:
    def __init__(self, port: int):
        self.socket = connect(port)
        config = h2.config.H2Configuration(header_encoding="latin-1")
        self.h2 = h2.connection.H2Connection(config)
        self.h2.initiate_connection()
        self.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 1 << 24})
        self.h2.increment_flow_control_window(1 << 28)
        self.flush()

    def __enter__(self) -> "Http2":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def flush(self) -> None:
        self.socket.sendall(self.h2.data_to_send())

    def request(self, request: Request) -> Response:
        return self.requests([request])[0]

    def requests(self, requests: list[Request]) -> list[Response]:
        """Sends all as concurrent streams of one connection."""
        waiting: dict[int, list[tuple[str, object]]] = {}
        responses: dict[int, Response] = {}
        for request in requests:
            stream = self.h2.get_next_available_stream_id()
            head = [(":method", request.verb()), (":scheme", "http")]
            head += [(":authority", "example.test"), (":path", request.path), *request.headers]
            if isinstance(request.body, bytes) and request.body:
                head.append(("content-length", str(len(request.body))))
            work = [("data", chunk) for chunk in request.chunks()]
            work += [("trailers", request.trailers)] if request.trailers else []
            raw = [(name.encode(), value.encode("latin-1")) for name, value in head]
            self.h2.send_headers(stream, raw, end_stream=not work)
            responses[stream], waiting[stream] = Response(), work
        open_streams = set(responses)
        while open_streams:
            for stream in open_streams & waiting.keys():
                self.send(stream, waiting[stream])
            self.flush()
            data = self.socket.recv(1 << 18)
            if not data:
                for stream in open_streams:
                    responses[stream].reset = True
                break
            for event in self.h2.receive_data(data):
                stream = getattr(event, "stream_id", None)
                match event:
                    case h2.events.ResponseReceived():
                        headers = event.headers
                        responses[stream].status = int(dict(headers)[":status"])
                        responses[stream].headers = [h for h in headers if h[0] != ":status"]
                    case h2.events.DataReceived():
                        responses[stream].body += event.data
                        if stream in open_streams and event.flow_controlled_length:
                            self.h2.acknowledge_received_data(
                                event.flow_controlled_length, stream
                            )
                    case h2.events.TrailersReceived():
                        responses[stream].trailers = event.headers
                    case h2.events.StreamReset():
                        responses[stream].reset = True
                        open_streams.discard(stream)
                    case h2.events.StreamEnded():
                        open_streams.discard(stream)
            for stream in waiting.keys() - open_streams:
                del waiting[stream]
        self.flush()
        return list(responses.values())

    def send(self, stream: int, work: list[tuple[str, object]]) -> None:
        while work:
            kind, value = work[0]
            if kind == "trailers":
                self.h2.send_headers(stream, value, end_stream=True)
                work.pop(0)
                continue
            window = self.h2.local_flow_control_window(stream)
            size = min(window, self.h2.max_outbound_frame_size, len(value))
            if size <= 0:
                return
            if size == len(value):
                work.pop(0)
            else:
                work[0] = (kind, value[size:])
            self.h2.send_data(stream, value[:size], end_stream=not work)
