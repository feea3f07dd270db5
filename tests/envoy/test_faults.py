"""Plugins that break, wrong configuration, several workers, and an Envoy that shuts down."""

import threading
import time

import pytest
from client import Http1, Request, Response
from envoy import Envoy, Plugin, every

ONCE = [("x-do", "panic")]

# For what the built-in filter has no counterpart of.
only_rust = pytest.mark.parametrize("engine", ["rust"], indirect=True)


def policy(name: str) -> dict:
    return {"failure_policy": name}


@pytest.mark.parametrize("what", ["panic", "exit", "recurse", "response:panic"])
def test_trap_fails_closed(start, what):
    """The request that traps, and all after it, get 503; the log names the function once."""
    proxy = start(Plugin("trap", "none"), Plugin("other", "none"))
    assert proxy.send("trap", Request()).status == 200
    assert proxy.send("trap", Request("/see", [("x-do", what)])).status in (503, 500)
    for http in (1, 2):
        assert proxy.send("trap", Request(), http).status == 503
    assert proxy.send("other", Request()).status == 200
    function = {"exit": "proc_exit", "recurse": "recurse_without_end"}.get(what, "panic")
    assert function in proxy.envoy.log()
    assert proxy.envoy.log().count("Proxy-Wasm plugin in-VM backtrace:") <= 1


def test_trap_is_logged_once_with_backtrace(start):
    proxy = start(Plugin("trap", "none"))
    for _ in range(5):
        proxy.send("trap", Request("/see", ONCE))
    log = proxy.envoy.log()
    assert log.count("in-VM backtrace") == 1
    assert log.count("asked to panic") == 1
    assert "panic_on_request" in log.split("in-VM backtrace")[1]


@pytest.mark.parametrize(
    ("more", "status"),
    [(policy("FAIL_OPEN"), 503), ({"fail_open": True}, 200)],
    ids=["policy", "legacy"],
)
def test_trap_fails_open(start, more, status):
    """Whether the request that traps passes depends on how "open" was said, as in Envoy."""
    proxy = start(Plugin("trap", "none", more=more))
    assert proxy.send("trap", Request("/see", ONCE)).status == status
    for http in (1, 2):
        assert proxy.send("trap", Request(), http).status == 200


def test_trap_and_reload(start):
    """After the backoff, a new VM serves."""
    backoff = {"reload_config": {"backoff": {"base_interval": "0.1s"}}}
    plugin = Plugin("trap", "headers", more=policy("FAIL_RELOAD") | backoff)
    proxy = start(plugin)
    for _ in range(3):
        assert proxy.send("trap", Request()).all("x-twice") == ["a", "b"]
        assert proxy.send("trap", Request("/see", ONCE)).status == 503
        # How often it fails before the backoff is over is a matter of time.
        with Http1(proxy.envoy.ports["trap"]) as client:
            for _ in every(0.05, 5):
                if client.request(Request()).status == 200:
                    break
    assert proxy.send("trap", Request()).status == 200


@only_rust
def test_endless_loop_meets_the_deadline(start):
    deadline = {"RUST_WASM_CALL_DEADLINE_MS": "300"}
    proxy = start(Plugin("spin", "none"), Plugin("other", "none"), environment=deadline)
    begin = time.monotonic()
    assert proxy.send("spin", Request("/see", [("x-do", "spin")])).status == 503
    assert 0.25 < time.monotonic() - begin < 10
    assert proxy.send("other", Request()).status == 200
    assert "spin_for_ever" in proxy.envoy.log()


def test_memory_growth_meets_the_limit(start):
    """1 GiB on both engines; afterwards the plugin still serves."""
    proxy = start(Plugin("grow", "none"))
    assert proxy.send("grow", Request("/see", [("x-do", "grow")])).status == 200
    assert proxy.log("grow", 1) == ["info grew to 16384 pages"]
    assert proxy.send("grow", Request()).status == 200


@only_rust
def test_memory_limit_from_the_environment(start):
    limit = {"RUST_WASM_MAX_MEMORY_BYTES": str(16 << 20)}
    proxy = start(Plugin("grow", "none"), environment=limit)
    assert proxy.send("grow", Request("/see", [("x-do", "grow")])).status == 200
    assert proxy.log("grow", 1) == ["info grew to 256 pages"]


@pytest.mark.parametrize(
    ("plugin", "message"),
    [
        (Plugin("c", "refuse"), "refusing the configuration"),
        (Plugin("c", "panic"), "asked to panic while configuring"),
        (Plugin("c", vm={"configuration": {
            "@type": "type.googleapis.com/google.protobuf.StringValue", "value": "refuse",
        }}), "refusing to start"),
        (Plugin("c", more={"colour": "green"}), "colour"),
        (Plugin("c", vm={"colour": "green"}), "colour"),
        (Plugin("c", more={"failure_policy": "SOMETIMES"}), "SOMETIMES"),
        (Plugin("c", vm={"code": {"local": {"filename": "/no/such.wasm"}}}), "/no/such.wasm"),
        (Plugin("c", vm={"code": {"local": {"inline_string": "not wasm"}}}), "c"),
        (Plugin("c", vm={"runtime": "no.such.runtime"}), "no.such.runtime"),
    ],
    ids="refuse panic vm-refuse field vm-field policy missing not-wasm runtime".split(),
)  # fmt: skip
def test_envoy_refuses_configuration(engine, plugin, message):
    with Envoy(engine, [plugin], wait=False) as envoy:
        assert envoy.wait_for_end(60) != 0
        assert message in envoy.log()


def test_fail_open_does_not_excuse_the_configuration(engine):
    plugin = Plugin("c", "refuse", more=policy("FAIL_OPEN"))
    with Envoy(engine, [plugin], wait=False) as envoy:
        assert envoy.wait_for_end(60) != 0


def test_workers_share_data(start):
    """Requests on several workers, each with its VM, lose no update."""
    proxy = start(Plugin("shared", "shared"), workers=2, level="info")
    add = Request("/", [("x-do", "add"), ("x-key", "sum")])
    sums: list[int] = []

    def work() -> None:
        with Http1(proxy.envoy.ports["shared"]) as client:
            sums.extend(int(client.request(add).body) for _ in range(50))

    in_parallel(work, 8)
    assert sorted(sums) == list(range(1, 401))


@pytest.mark.parametrize("http", [1, 2])
def test_workers_serve_every_connection(start, http):
    proxy = start(Plugin("headers", "headers"), workers=2, level="info")
    for _ in range(16):
        assert proxy.send("headers", Request(), http).all("x-twice") == ["a", "b"]


def test_workers_hear_of_a_queue(start):
    plugins = [Plugin("queue", "queue"), Plugin("two", "none", root_id="other", vm_id="queue")]
    proxy = start(*plugins, workers=2)
    for _ in range(8):
        headers = [("x-do", "queue"), ("x-value", "item")]
        assert proxy.send("queue", Request("/see", headers)).status == 200
    for _ in every(0.05, 5):
        ready = [line for line in proxy.envoy.plugin_log("queue") if "from own queue" in line]
        if len(ready) == 8:
            break
    assert ready == ["info from own queue: 'item'"] * 8


def test_trap_of_one_worker(start):
    """The other worker's VM is another: it goes on."""
    proxy = start(Plugin("trap", "none"), workers=2, level="info")
    with Http1(proxy.envoy.ports["trap"]) as client:
        assert client.request(Request("/see", ONCE)).status == 503
    statuses = set()
    for _ in every(0, 5):
        with Http1(proxy.envoy.ports["trap"]) as client:
            statuses.add(client.request(Request()).status)
        if len(statuses) == 2:
            break
    assert statuses == {200, 503}


def test_shutdown_during_requests(start):
    """Requests are under way in every phase when Envoy is told to end; it ends well."""
    plugins = [Plugin(n, n) for n in ("headers", "body", "callout", "tick", "queue", "metrics")]
    proxy = start(*plugins, workers=2, level="info")
    stop = threading.Event()
    served: list[Response] = []

    def work(name: str) -> None:
        headers = [("x-do", "upper"), ("x-cluster", "upstream"), ("x-path", "/hang")]
        request = Request("/body", headers, b"x" * 100_000)
        while not stop.is_set():
            try:
                with Http1(proxy.envoy.ports[name]) as client:
                    served.append(client.request(request))
            except (OSError, ValueError, IndexError):
                return

    threads = [threading.Thread(target=work, args=[plugin.name]) for plugin in plugins]
    for thread in threads:
        thread.start()
    for _ in every(0.05, 30):
        if any(response.status == 200 for response in served):
            break
    time.sleep(0.5)  # so that the others are under way too
    status = proxy.envoy.stop()
    stop.set()
    for thread in threads:
        thread.join()
    assert any(response.status == 200 for response in served) and status == 0
    assert "Caught" not in proxy.envoy.log() and "panicked" not in proxy.envoy.log()


def in_parallel(work, times: int) -> None:
    threads = [threading.Thread(target=work) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
