"""Streams that a plugin ends from within a callback, in every phase: for Envoy they are complete
while the callback's hook is under way."""

import pytest
from client import Request
from envoy import Plugin, every

SENT = "response body", "response trailers"
PHASES = ["request headers", "request body", "response headers", *SENT]
CALLS = ["call of request headers", "call of response headers"]
ACTIONS = ["reply", "empty", "close", "close-response"]
# V8 does not survive some of these: its plugin is called for a stream that has ended, or Envoy
# goes on with one ("go": the plugin does not pause).
MORE = ["reply+close", "close+reply", "resume+close", "resume-response+close"]
MORE += ["reply+go", "close+go"]

only_rust = pytest.mark.parametrize("engine", ["rust"], indirect=True)


def callbacks(proxy) -> list[str]:
    """What the plugin got to see of one stream."""
    for _ in every(0.02, 5):
        lines = proxy.envoy.plugin_log("late", proxy.log_start)
        if lines[-1:] == ["info done"]:
            break
    return [line.removeprefix("info ") for line in proxy.log("late", len(lines))]


def request(what: str, content_type: str = "text/plain") -> Request:
    # Complete before it is answered: whether Envoy has to end the connection is then not a
    # matter of time.
    body = b"" if "request headers" in what else b"some body"
    return Request("/trailers", [("x-do", what), ("content-type", content_type)], body)


def check_end(proxy, phase, action, http=2):
    response = proxy.send("late", request(f"{phase}:{action}"), http)
    seen = callbacks(proxy)
    assert seen[0] == "request headers" and seen.count("log") == seen.count("done") == 1
    if phase in SENT:
        # Too late for another response.
        assert response.reset or response.body != b"late\n"


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("phase", [*PHASES, *CALLS])
def test_end(proxy, phase, action):
    check_end(proxy, phase, action)


@pytest.mark.parametrize("action", ["reply", "close"])
@pytest.mark.parametrize("phase", ["request body", "response headers", "response body"])
def test_end_over_http1(proxy, phase, action):
    check_end(proxy, phase, action, 1)


@only_rust
@pytest.mark.parametrize("action", MORE)
@pytest.mark.parametrize("phase", [*PHASES, *CALLS])
def test_end_twice(proxy, phase, action):
    check_end(proxy, phase, action)


@pytest.mark.parametrize("phase", [*PHASES, *CALLS])
@pytest.mark.parametrize("content_type", ["application/grpc", "text/plain"])
@pytest.mark.parametrize("action", ["grpc", "reply"])
def test_grpc_reply(proxy, phase, content_type, action):
    response = proxy.send("late", request(f"{phase}:{action}", content_type), 2)
    callbacks(proxy)
    if content_type == "application/grpc" and phase not in SENT and action == "grpc":
        assert response.get("grpc-status") == "15"
        assert response.get("grpc-message") == "too %25 late"


@only_rust
@pytest.mark.parametrize("phase", ["log", "done"])
@pytest.mark.parametrize("action", ["reply", "close", "close-response", "resume"])
def test_too_late(proxy, phase, action):
    response = proxy.send("late", request(f"{phase}:{action}"))
    assert response.status == 200 and response.body == b"some body"
    assert callbacks(proxy)[-2:] == ["log", "done"]


def check_trap(start, http, phase, content_type):
    proxy = start(Plugin("late", "late"), Plugin("other", "none"))
    response = proxy.send("late", request(f"{phase}:panic", content_type), http)
    if phase in SENT:
        assert response.reset or response.status == 200
    for plugin, status in ("late", 503), ("other", 200):
        assert proxy.send(plugin, Request(), http).status == status


KINDS = [(1, "text/plain"), (2, "text/plain"), (2, "application/grpc")]
of_any_kind = pytest.mark.parametrize(("http", "content_type"), KINDS)


@of_any_kind
@pytest.mark.parametrize("phase", ["response headers", *SENT])
def test_trap(start, http, phase, content_type):
    check_trap(start, http, phase, content_type)


@only_rust  # V8 leaves the stream as it is.
@of_any_kind
@pytest.mark.parametrize("phase", CALLS)
def test_trap_in_a_call(start, http, phase, content_type):
    check_trap(start, http, phase, content_type)
