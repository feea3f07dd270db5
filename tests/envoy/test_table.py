"""Each group of host calls, through the same requests on both engines."""

import json
import time

import pytest
from client import Request
from envoy import every

both_protocols = pytest.mark.parametrize("http", [1, 2], ids=["http1", "http2"])
SIZES = [0, 1, 1000, 70_000, 1 << 20, 4 << 20]


def seen(response) -> dict:
    """What reached the upstream server."""
    assert response.status == 200, response
    return json.loads(response.body)


def values(described: dict, name: str) -> list[str]:
    return [value for key, value in described["headers"] if key == name]


@both_protocols
def test_headers(proxy, http):
    headers = [("x-in", "a"), ("x-in", "b"), ("x-in-2", "c"), ("x-gone", "1")]
    headers.append(("x-bytes", "\xff\xfe"))
    response = proxy.send("headers", Request("/see", headers), http)
    got = seen(response)
    assert values(got, "x-set") == ["set"]
    assert values(got, "x-in") == ["replaced"]
    assert values(got, "x-in-2") == ["c", "added"]
    assert values(got, "x-gone") == []
    assert response.all("x-twice") == ["a", "b"]
    assert response.all("x-upstream") == ["replaced"]
    assert response.all("x-gone") == []
    later = "none" if proxy.engine == "v8" else "'set'"
    assert proxy.log("headers", 12) == [
        "info true, end: true",
        "info x-in: 'a'",
        "info x-in: 'b'",
        "info x-in-2: 'c'",
        'info joined: Some("a")',
        'info any case: Some("c")',
        "info missing: None",
        "info bytes: 0xfffe",
        "info authority: true",
        "info response true, end: false",
        'info status Some("200")',
        f"info request.headers.x-set = {later}",
    ]


@both_protocols
def test_replace_all_headers(proxy, http):
    request = Request("/see", [("x-do", "all"), ("x-in", "a"), ("x-other", "b")])
    response = proxy.send("headers", request, http)
    assert response.status == 201 and response.all("x-map") == ["one"]
    got = json.loads(response.body)
    assert values(got, "x-map") == ["one", "two"]
    assert values(got, "x-other") == []


@both_protocols
def test_empty_header_value(proxy, http):
    request = Request("/see", [("x-do", "empty"), ("x-in", "a")])
    got = seen(proxy.send("headers", request, http))
    expected = [""] if proxy.engine == "v8" else []
    assert values(got, "x-new") == values(got, "x-in") == expected


@both_protocols
@pytest.mark.parametrize("what", ["path", "status"])
def test_pseudo_headers(proxy, http, what):
    response = proxy.send("headers", Request("/see", [("x-do", what)]), http)
    if what == "path":
        assert values(seen(response), ":path") == ["/see?rewritten"]
        assert values(seen(response), ":method") == ["PUT"]
    else:
        assert response.status == 418


@both_protocols
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("what", ["upper", "response-upper", "count"])
def test_body_of_any_size(proxy, http, size, what):
    body = (b"abcdefg\n" * (size // 8 + 1))[:size]
    response = proxy.send("body", Request("/body", [("x-do", what)], body), http)
    assert response.status == 200
    assert response.body == (body if what == "count" else body.upper())


@both_protocols
@pytest.mark.parametrize("where", ["", "response-"], ids=["request", "response"])
@pytest.mark.parametrize("what", ["append", "buffer", "replace", "drop"])
def test_body_change(proxy, http, where, what):
    expected = {
        "append": b"some body<tail>",
        "buffer": b"<head>some body",
        "replace": b"replaced",
        "drop": b"",
    }
    request = Request("/body", [("x-do", where + what)], [b"some ", b"body"])
    response = proxy.send("body", request, http)
    assert response.status == 200 and response.body == expected[what]
    if what == "buffer":
        assert proxy.log("body", 3) == [
            "info whole: 9 9",
            "info part: 'me '",
            "info beyond: none",
        ]


@both_protocols
@pytest.mark.parametrize("what", ["upper", "response-upper", "buffer"])
def test_body_in_many_chunks(proxy, http, what):
    chunks = [bytes([97 + number % 26]) * (1 + number * 7 % 1000) for number in range(200)]
    response = proxy.send("body", Request("/body", [("x-do", what)], chunks), http)
    whole = b"".join(chunks)
    assert response.body == (b"<head>" + whole if what == "buffer" else whole.upper())


@both_protocols
def test_buffered_body_over_the_limit(proxy, http):
    """Envoy's buffer of 1 MiB is full before the plugin has the whole body."""
    request = Request("/body", [("x-do", "replace")], b"x" * (3 << 20))
    # An HTTP/2 stream's window, and so its buffer, is larger.
    assert proxy.send("body", request, http).status == {1: 413, 2: 200}[http]


@both_protocols
def test_trailers(proxy, http):
    request = Request("/trailers", [], [b"abc"], [("x-end", "1"), ("x-gone", "2")])
    response = proxy.send("trailers", request, http)
    assert response.body == b"abc"
    assert response.trailers == [("x-only", "this"), ("x-only", "that")]
    assert proxy.log("trailers", 3) == [
        'info 2 request trailers: [("x-end", "1"), ("x-gone", "2")]',
        'info x-end: Some("1")',
        'info 3 response trailers: [("x-end", "replaced"), ("x-added", "1"),'
        ' ("x-last", "upstream")]',
    ]


@both_protocols
@pytest.mark.parametrize(
    ("what", "status", "body"),
    [
        ("headers", 403, b"refused at headers\n"),
        ("empty", 204, b""),
        ("body", 413, b"refused at body\n"),
        ("response", 502, b"replaced\n"),
        ("no", 200, b""),
    ],
)
def test_local_reply(proxy, http, what, status, body):
    request = Request("/status/200", [("x-do", what)], b"some body")
    response = proxy.send("local", request, http)
    assert (response.status, response.body) == (status, body)
    if what == "headers":
        assert response.all("x-reason") == ["no"]
        assert response.all("x-twice") == ["a", "b"]


@both_protocols
@pytest.mark.parametrize(
    ("cluster", "path", "status"),
    [
        ("upstream", "/trailers", "200"),
        ("upstream", "/status/404", "404"),
        ("upstream", "/hang", "504"),
        ("nowhere", "/", "503"),
    ],
)
def test_callout(proxy, http, cluster, path, status):
    request = Request("/see", [("x-cluster", cluster), ("x-path", path)], b"kept")
    got = seen(proxy.send("callout", request, http))
    assert values(got, "x-callout") == [status] and got["body"] == "kept"
    log = proxy.log("callout", 3)
    if path == "/trailers":
        assert log[:2] == [
            'info callout: any headers: true, [(":status", "200"), ("x-upstream", "here")]',
            "info callout body: 'ping'",
        ]


def test_callout_to_unknown_cluster(proxy):
    got = seen(proxy.send("callout", Request("/see", [("x-cluster", "unheard-of")])))
    assert values(got, "x-callout") == []
    assert proxy.log("callout", 1) == ["info dispatch failed: BadArgument"]


REQUEST_PROPERTIES = {
    "request.path": "'/see?q=1'",
    "request.url_path": "'/see'",
    "request.query": "'q=1'",
    "request.method": "'GET'",
    "request.host": "'example.test'",
    "request.scheme": "'http'",
    "request.useragent": "'a tester'",
    "request.headers.x-mine": "'here'",
    "request.headers.x-none": "none",
    "source.nonsense": "none",
    "plugin_name": "'properties'",
    "plugin_root_id": "'root'",
    "plugin_vm_id": "'properties'",
    "xds.node.id": "'a-node'",
    "xds.node.cluster": "'a-cluster'",
    "xds.node.metadata.key": "'of node'",
    "xds.cluster_name": "'upstream'",
    "xds.route_name": "'everything'",
    "connection.mtls": "0x00",
    "e2e.key": "none",
    "plain": "'plain value'",
    "wasm.plain": "none",
    "filter_state.wasm.plain": "none",
    "nonsense": "none",
}


@both_protocols
def test_properties(proxy, http):
    names = "|".join(REQUEST_PROPERTIES)
    last = "request.protocol|response.code|response.flags|request.total_size|request.headers.x-mine"
    headers = [("x-request-properties", names), ("user-agent", "a tester")]
    headers += [("x-log-properties", last), ("x-mine", "here")]
    seen(proxy.send("properties", Request("/see?q=1", headers), http))
    expected = [f"info {name} = {value}" for name, value in REQUEST_PROPERTIES.items()]
    log = proxy.log("properties", len(expected) + 7)
    assert log[: len(expected)] == expected
    assert log[len(expected) : len(expected) + 2] == [
        "info response.code = 0xc800000000000000",
        "info response.headers.x-upstream = 'here'",
    ]
    assert log[len(expected) + 2] == f"info request.protocol = 'HTTP/{'1.1' if http == 1 else '2'}'"
    assert log[len(expected) + 3] == "info response.code = 0xc800000000000000"


@both_protocols
def test_properties_that_are_empty(proxy, http):
    """An SDK takes what is not found for an error; these are there for every request."""
    names = ["request.query", "connection.requested_server_name", "request.nonsense"]
    headers = [("x-request-properties", "|".join(f"status:{name}" for name in names))]
    seen(proxy.send("properties", Request("/see", headers), http))
    expected = [f"info {name}: status {status}" for name, status in zip(names, [0, 0, 1])]
    assert proxy.log("properties", 5)[:3] == expected


@both_protocols
def test_duration_is_the_whole_streams(proxy, http):
    headers = [(f"x-{when}-properties", "request.duration") for when in ("request", "log")]
    seen(proxy.send("properties", Request("/see", headers), http))
    log = proxy.log("properties", 4)
    assert log[0] == "info request.duration = none"
    logged = next(line for line in log[1:] if "duration" in line)
    nanoseconds = int.from_bytes(bytes.fromhex(logged.removeprefix("info request.duration = 0x")), "little")
    assert 1000 < nanoseconds < 60_000_000_000


@both_protocols
def test_replaced_headers_leave_others_alone(proxy, http):
    """Envoy's ABI could not set an empty value again."""
    headers = [("x-do", "all-but"), ("x-empty", ""), ("x-in", "a")]
    got = seen(proxy.send("headers", Request("/see", headers), http))
    assert values(got, "x-empty") == [""] and values(got, "x-map") == ["one", "two"]


def test_capability_restriction(proxy):
    headers = [("x-request-properties", "plugin_name"), ("x-log-properties", "plugin_name")]
    seen(proxy.send("restricted", Request("/see", headers)))
    lines = proxy.log("restricted", 2 if proxy.engine == "v8" else 4)
    refused = [line for line in lines if "Attempted call to restricted" not in line]
    assert refused == ["info plugin_name: InternalFailure"] * 2


def test_metrics(proxy):
    proxy.send("metrics", Request("/see", [("x-do", "3")]))
    proxy.send("metrics", Request("/see", [("x-do", "4")]))
    assert proxy.log("metrics", 6) == [
        "info counted: true",
        "info counter Some(3), gauge Some(43)",
        "info unknown metric true",
        "info counted: true",
        "info counter Some(7), gauge Some(44)",
        "info unknown metric true",
    ]
    assert proxy.stat("wasmcustom.e2e.requests", "7") == "7"
    assert proxy.stat("wasmcustom.e2e.level", "44") == "44"
    assert "P50(" in proxy.stat_of_histogram("wasmcustom.e2e.size")


def test_shared_data(proxy):
    def ask(what: str, *headers: tuple[str, str], plugin: str = "shared") -> str:
        request = Request("/", [("x-do", what), ("x-key", "k"), *headers])
        return proxy.send(plugin, request).body.decode()

    assert ask("get") == "none None"
    assert ask("set", ("x-value", "one")) == "Ok(())"
    value, cas = ask("get").split()
    assert value == "'one'"
    cas = cas.removeprefix("Some(").removesuffix(")")
    assert ask("set", ("x-value", "two"), ("x-cas", cas)) == "Ok(())"
    assert ask("set", ("x-value", "three"), ("x-cas", cas)) == "Err(CasMismatch)"
    assert ask("race") == "Ok(()) Err(CasMismatch)"
    assert ask("get").startswith("'first'")
    assert ask("get", plugin="shared-neighbour").startswith("'first'")


def test_queue(proxy):
    proxy.send("queue", Request("/see", [("x-do", "queue"), ("x-value", "item")]))
    assert sorted(proxy.log("queue", 4)) == [
        "info enqueued: Ok(())",
        "info from own queue: 'item'",
        "info resolved: true, own: true",
        "info unknown queue: Err(NotFound)",
    ]
    proxy.send("queue", Request("/see", [("x-do", "no-such-vm")]))
    assert proxy.log("queue", 2)[0] == "info resolved: false, own: false"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_plugins_own_response_in_its_callbacks(proxy, method):
    response = proxy.send("local-seen", Request("/see", method=method), 2)
    assert response.status == 403 and response.all("x-reason") == ["no"]
    lines = proxy.log("local-seen", 3 if method == "HEAD" else 4)
    assert any("end: true" in line for line in lines)


def test_ticks(proxy):
    """Five ticks in every VM, then the plugin stops its timer."""

    def ticks() -> int:
        body = proxy.send("tick", Request()).body
        return 0 if body == b"none" else int(body.strip(b"'"))

    # The main thread's and the worker's.
    expected = 10
    for _ in every(0.05, 10):
        if ticks() >= expected:
            break
    time.sleep(0.2)
    assert ticks() == expected


def test_callout_from_a_tick(proxy):
    proxy.log_start = 0
    line = 'info root callout: Some("200"), body: true, trailers: 0'
    assert line in proxy.log("tick-callout", 1)


def test_log_levels(proxy):
    proxy.send("logging", Request())
    assert proxy.log("logging", 6) == [
        "trace a trace",
        "debug a debug",
        "info an info, Ok(0)",
        "warning a warning",
        "error an error",
        "critical a critical",
    ]


def test_system(proxy):
    seen(proxy.send("system", Request()))
    assert proxy.log("system", 7) == [
        "info clocks agree: true",
        "info monotonic: true",
        "info random: true",
        'info environment: [("COLOUR", "green"), ("EMPTY", "")]',
        "info arguments: 0",
        "info to standard output",
        "error to standard error",
    ]


@both_protocols
def test_end_of_stream(proxy, http):
    seen(proxy.send("life", Request(), http))
    assert sorted(proxy.log("life", 2)) == ["info done", 'info log, path Some("/see")']


@both_protocols
@pytest.mark.parametrize("plugin", ["rust-sdk", "assemblyscript"])
def test_plugin_of_other_toolchain(proxy, plugin, http):
    got = seen(proxy.send(plugin, Request("/see", [], b"a small body"), http))
    assert values(got, "x-plugin") == ["hello"]
    assert got["body"] == "A SMALL BODY"
    lines = proxy.log(plugin, last=[" log", " done"])
    assert any(line.endswith("path /see") for line in lines)


@pytest.mark.parametrize("plugin", ["headers", "body", "callout", "rust-sdk", "assemblyscript"])
def test_concurrent_streams(proxy, plugin):
    headers = [("x-do", "upper"), ("x-cluster", "upstream"), ("x-path", "/see")]
    requests = [
        Request("/see", [*headers, ("x-number", str(number))], b"x" * (number * 997))
        for number in range(40)
    ]
    for number, response in enumerate(proxy.send_all(plugin, requests, 2)):
        got = seen(response)
        assert values(got, "x-number") == [str(number)] and got["length"] == number * 997
