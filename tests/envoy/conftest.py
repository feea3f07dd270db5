"""Every test runs on both engines, and all that it observes must be equal on both.

A test asks its `proxy` for responses, log lines and statistics. These are also written to
a transcript, and the transcript of the second engine is compared with that of the first.
"""

import os
import re
from dataclasses import dataclass, field
from typing import Callable, Iterator, Sequence

import pytest
from client import Http1, Http2, Request, Response
from differences import allowed
from envoy import ENGINES, Envoy, Plugin, every
from plugins import TABLE
from upstream import Upstream

CHOSEN = os.environ.get("ENVOY_ENGINES", ",".join(ENGINES)).split(",")
# Differ from run to run, or with the time of day.
VOLATILE = {"date", "x-envoy-upstream-service-time", "x-request-id"}
VOLATILE_LINE = re.compile(rf"^\w+ #\d+ ({'|'.join(VOLATILE)}): ")
# How a plugin tells its contexts apart. The numbers are the engine's.
CONTEXT = re.compile(r"(?<= )#\d+(?= )")
TRANSCRIPTS: dict[str, list[str]] = {}


@dataclass
class Proxy:
    engine: str
    envoy: Envoy
    transcript: list[str]
    log_start: int = 0
    seen: dict[str, int] = field(default_factory=dict)

    def send(self, plugin: str, request: Request, http: int = 1) -> Response:
        return self.send_all(plugin, [request], http)[0]

    def send_all(self, plugin: str, requests: list[Request], http: int) -> list[Response]:
        """One after another on a connection of HTTP/1.1, at once on one of HTTP/2."""
        with {1: Http1, 2: Http2}[http](self.envoy.ports[plugin]) as client:
            if isinstance(client, Http2):
                responses = client.requests(requests)
            else:
                responses = [client.request(request) for request in requests]
        self.transcript += [describe(response) for response in responses]
        return responses

    def log(self, plugin: str, count: int = 1, last: Sequence[str] = ()) -> list[str]:
        """The plugin's next log lines, as soon as there are `count`, with one for each of the
        endings in `last`, or ten seconds passed."""
        start = self.seen.get(plugin, 0)
        for _ in every(0.02, 10):
            lines = self.envoy.plugin_log(plugin, self.log_start)[start:]
            ended = all(any(line.endswith(end) for line in lines) for end in last)
            if len(lines) >= count and ended:
                break
        self.seen[plugin] = start + len(lines)
        same = (line for line in lines if not VOLATILE_LINE.search(line))
        self.transcript += [CONTEXT.sub("#", line) for line in same]
        return lines

    def stat(self, name: str, expected: str) -> str:
        """The statistic, as soon as it has the expected value or five seconds passed."""
        value = "none"
        for _ in every(0.05, 5):
            value = self.envoy.stats(f"^{re.escape(name)}$").get(name, "none")
            if value == expected:
                break
        self.transcript.append(f"{name} = {value}")
        return value

    def stat_of_histogram(self, name: str) -> str:
        """Its quantiles, as soon as Envoy has merged what its threads recorded."""
        for _ in every(0.05, 5):
            value = self.envoy.stats(name).get(name, "none")
            if "P50" in value:
                break
        # Of each pair, the first is of the last flush only.
        value = re.sub(r"\([^,)]*,([^)]*)\)", r"(\1)", value)
        self.transcript.append(f"{name} = {value}")
        return value


def describe(response: Response) -> str:
    # The order of headers with one name matters, that of others does not.
    headers = [header for header in response.headers if header[0] not in VOLATILE]
    headers.sort(key=lambda header: header[0])
    body = re.sub(rb'\["x-request-id", "[^"]*"\], ', b"", response.body)
    ended = " reset" if response.reset else ""
    return f"{response.status}{ended} {headers} {body[:4000]!r} {response.trailers}"


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    if request.param not in CHOSEN:
        pytest.skip("not asked for")
    return request.param


@pytest.fixture(scope="session")
def upstream() -> int:
    return Upstream().port


@pytest.fixture(scope="session")
def shared_envoys(upstream: int) -> Iterator[Callable[[str], Envoy]]:
    """One Envoy per engine, for all tests of the table."""
    running: dict[str, Envoy] = {}

    def get(engine: str) -> Envoy:
        if engine not in running:
            running[engine] = Envoy(engine, TABLE, upstream)
        return running[engine]

    yield get
    for envoy in running.values():
        envoy.__exit__()


@pytest.fixture
def transcript(request: pytest.FixtureRequest, engine: str) -> Iterator[list[str]]:
    lines: list[str] = []
    yield lines
    if not lines:
        return  # skipped on this engine
    function = request.node.originalname
    others = {name: it for name, it in request.node.callspec.params.items() if name != "engine"}
    test = f"{request.node.path} {function} {sorted(others.items())}"
    first = TRANSCRIPTS.setdefault(test, lines)

    def comparable(lines: list[str]) -> list[str]:
        return [line for line in lines if not allowed(function, line)]

    assert comparable(lines) == comparable(first), "the engines differ"


@pytest.fixture
def proxy(
    engine: str, transcript: list[str], shared_envoys: Callable[[str], Envoy]
) -> Iterator[Proxy]:
    """The Envoy with the whole table."""
    envoy = shared_envoys(engine)
    yield Proxy(engine, envoy, transcript, envoy.log_size())


@pytest.fixture
def start(
    engine: str, transcript: list[str], upstream: int
) -> Iterator[Callable[..., Proxy]]:
    """Starts an Envoy of its own, for a test that breaks something."""
    running: list[Envoy] = []

    def start(*plugins: Plugin, **options: object) -> Proxy:
        running.append(Envoy(engine, plugins, upstream, **options))
        return Proxy(engine, running[-1], transcript)

    yield start
    for envoy in running:
        envoy.__exit__()
