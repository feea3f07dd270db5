"""gRPC calls and streams of plugins, local replies to gRPC requests, foreign functions."""

import json

import pytest
from client import Request
from envoy import Plugin

METHODS = "Echo Many Refuse Http Fail Nothing Statusless Garbage Large Hang".split()


def ask(proxy, what: str, method: str, cluster: str = "upstream") -> list[str]:
    headers = [("x-do", what), ("x-method", method), ("x-cluster", cluster)]
    assert proxy.send("grpc", Request("/see", headers)).status == 200
    return proxy.log("grpc", 1)


def test_request(proxy):
    """The headers of a call, as the service sees them."""
    line = ask(proxy, "call", "See")[0]
    seen = json.loads(line.removeprefix("info call: 0, '").removesuffix("'"))
    assert seen[":path"] == "/test.Service/See" and seen[":authority"] == "upstream"
    assert seen["content-type"] == "application/grpc" and seen["te"] == "trailers"
    assert seen["grpc-timeout"] == "5000m"
    assert (seen["x-meta"], seen["x-raw-bin"]) == ("of plugin", "AP8B")


@pytest.mark.parametrize("method", METHODS)
def test_call(proxy, method):
    line, *more = ask(proxy, "call", method)
    statuses = [0, 0, 7, 12, 9, 13, 2, 13, 0, 14]
    assert line.startswith(f"info call: {statuses[METHODS.index(method)]}, ")
    if method == "Echo":
        assert line == "info call: 0, 'ping'"
    if method == "Fail":
        assert more[1].startswith("info status message: 'too late")


# A stream has no timeout.
@pytest.mark.parametrize("method", METHODS[:-1])
@pytest.mark.parametrize("what", ["stream", "close stream"])
def test_stream(proxy, what, method):
    lines = ask(proxy, what, method)
    if method == "Echo" and what == "stream":
        assert lines[:6] == [
            "info initial metadata: true, [\"x-upstream: 'first'\"]",
            "info message: 'one'",
            "info message: none",
            "info trailing metadata: true, [\"grpc-status: '0'\", \"x-upstream: 'last'\"]",
            "info stream closed: 0",
            "info status: 0",
        ]


def test_both_ways_at_once(proxy):
    lines = ask(proxy, "talk on stream", "Chat")
    assert [line for line in lines if "info message: " in line] == [
        "info message: 'one'",
        "info message: 'two'",
    ]


def test_cancel(proxy):
    lines = ask(proxy, "cancel stream", "Chat")
    assert lines[-1] == "info message: 'one'"
    headers = [("x-do", "cancel call"), ("x-method", "Echo"), ("x-cluster", "upstream")]
    assert proxy.send("grpc", Request("/see", headers)).status == 200


@pytest.mark.parametrize("what", ["call", "stream"])
@pytest.mark.parametrize("cluster", ["unheard-of", "nowhere"])
def test_no_service(proxy, what, cluster):
    lines = ask(proxy, what, "Echo", cluster)
    if cluster == "unheard-of":
        assert lines == [f"info {what} failed: ParseFailure"]


@pytest.mark.parametrize("what", ["headers", "grpc", "body", "response", "no"])
@pytest.mark.parametrize("content_type", ["application/grpc", "application/grpc+proto", "text/x"])
def test_local_reply(proxy, what, content_type):
    request = Request("/status/200", [("x-do", what), ("content-type", content_type)], b"body")
    response = proxy.send("local", request, 2)
    if what == "grpc" and content_type != "text/x":
        assert response.get("grpc-status") == "6" and response.get("x-reason") == "grpc"


def test_failure_has_a_grpc_status(start):
    proxy = start(Plugin("trap", "none"))
    headers = [("x-do", "panic"), ("content-type", "application/grpc")]
    response = proxy.send("trap", Request("/see", headers), 2)
    assert (response.status, response.get("grpc-status")) == (200, "14")


@pytest.mark.parametrize("what", ["zlib", "state", "unknown", "declare", "route"])
def test_foreign_function(proxy, what):
    assert proxy.send("foreign", Request("/see", [("x-do", what)])).status == 200
    lines = proxy.log("foreign", 1)
    if what == "zlib":
        assert lines[0] == "info smaller: true, the same: true"


def test_callout_at_the_end(proxy):
    """What a plugin sends from on_log outlives the stream."""
    request = Request("/see", [("x-path", "/status/299")])
    assert proxy.send("late-callout", request).status == 200
    assert proxy.stat("cluster.upstream.upstream_rq_299", "1") == "1"
