"""What the module has and the built-in filter has not: statistics of VMs, plugins of routes, a
fresh VM for the next request, precompiled code for this engine."""

import shutil
import subprocess
import threading
import time
import tomllib

import pytest
from client import Http1, Request
from envoy import PLUGINS, ROOT, Envoy, Plugin, every
from test_faults import ONCE, policy

pytestmark = pytest.mark.parametrize("engine", ["rust"], indirect=True)


def reload(interval: str) -> dict:
    return policy("FAIL_RELOAD") | {"reload_config": {"backoff": {"base_interval": interval}}}


def counts(proxy) -> dict[str, int]:
    stats = proxy.envoy.stats("^wasmcustom.wasm.vm_")
    return {name.removeprefix("wasmcustom.wasm.vm_"): int(n) for name, n in stats.items()}


def test_statistics(start):
    proxy = start(Plugin("trap", "none", more=reload("10s")))
    assert proxy.send("trap", Request()).status == 200
    first = counts(proxy)
    memory = first.pop("memory_bytes")
    # The main thread's and the worker's.
    assert first == {"created": 2, "failed": 0, "reloaded": 0, "active": 2}
    assert memory > 2 << 20 and memory % (64 << 10) == 0

    assert proxy.send("trap", Request("/see", ONCE)).status == 503
    assert counts(proxy)["failed"] == 1
    assert proxy.send("trap", Request()).status == 200
    second = counts(proxy)
    assert second.pop("memory_bytes") == memory
    assert second == {"created": 3, "failed": 1, "reloaded": 1, "active": 2}


def test_statistics_of_workers(start):
    """One VM per worker and one on the main thread, which plugins of one key share."""
    plugins = [Plugin("one", "none", vm_id="shared"), Plugin("two", "none", vm_id="shared")]
    proxy = start(*plugins, workers=2, level="info")
    for _ in range(32):
        for plugin in plugins:
            assert proxy.send(plugin.name, Request()).status == 200
    now = counts(proxy)
    assert (now["created"], now["active"]) == (3, 3)
    assert 2 << 20 < now["memory_bytes"] < 64 << 20 and now["memory_bytes"] % (64 << 10) == 0


def test_memory_that_grows_is_counted(start):
    proxy = start(Plugin("grow", "none"))
    main = counts(proxy)["memory_bytes"]
    assert proxy.send("grow", Request("/see", [("x-do", "grow")])).status == 200
    for _ in every(0.05, 5):
        if counts(proxy)["memory_bytes"] == main + (1 << 30):
            break
    assert counts(proxy)["memory_bytes"] == main + (1 << 30)


def test_limits_beside_the_vms_configuration(start):
    proxy = start(Plugin("grow", "none", more={"limits": {"max_memory_bytes": 16 << 20}}))
    assert proxy.send("grow", Request("/see", [("x-do", "grow")])).status == 200
    assert proxy.log("grow", 1) == ["info grew to 256 pages"]


def test_a_load_error_names_the_plugin_and_its_file(engine, tmp_path):
    file = tmp_path / "broken.wasm"
    file.write_bytes(b"not wasm")
    with Envoy(engine, [Plugin("broken", wasm=file)], wait=False) as envoy:
        assert envoy.wait_for_end(60) != 0
        place = f"vm_config.code.local.filename {file}: "
        assert f"Wasm plugin broken root broken cannot be loaded: {place}" in envoy.log()


def test_next_request_has_a_fresh_vm(start):
    proxy = start(Plugin("trap", "headers", more=reload("10s")))
    with Http1(proxy.envoy.ports["trap"]) as client:
        assert client.request(Request("/see", ONCE)).status == 503
        assert client.request(Request()).all("x-twice") == ["a", "b"]
        # But not again before the interval is over.
        assert client.request(Request("/see", ONCE)).status == 503
        assert client.request(Request()).status == 503
    assert counts(proxy)["reloaded"] == 1


def test_plugin_of_a_route(start):
    own = Plugin("of-route", "local", more=policy("FAIL_OPEN"))
    proxy = start(Plugin("headers", "headers", on_route=own))
    assert proxy.send("headers", Request()).all("x-twice") == ["a", "b"]
    response = proxy.send("headers", Request("/own"))
    assert (response.status, response.all("x-twice")) == (200, [])
    assert proxy.send("headers", Request("/own", [("x-do", "headers")])).status == 403
    # It fails by itself, as its own policy says.
    assert proxy.send("headers", Request("/own", ONCE)).status == 503
    assert proxy.send("headers", Request("/own")).status == 200
    assert proxy.send("headers", Request()).all("x-twice") == ["a", "b"]


def test_plugin_of_a_route_outlives_the_listener(start):
    """The route stays when its listener is made anew: the plugin's ticks and calls go on."""
    own = Plugin("of-route", "tick-callout", root_id="own")
    proxy = start(Plugin("headers", "headers", on_route=own), xds=True)

    def called(times: int) -> bool:
        for _ in every(0.1, 20):
            assert proxy.send("headers", Request("/own")).status == 200
            if proxy.envoy.log().count('root callout: Some("200")') >= times:
                return True
        return False

    assert called(1)
    proxy.envoy.update_listeners(stat_prefix="anew")
    assert called(2)


def section_name() -> str:
    runtime = tomllib.loads((ROOT / "Cargo.toml").read_text())
    version = runtime["workspace"]["package"]["version"]
    engine = runtime["dependencies"]["wasmer"]["version"].removeprefix("=")
    return f"precompiled_rust_v{version}_wasmer_{engine}_linux_x86_64"


def leb(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out, number = out + bytes([number & 0x7F | 0x80]), number >> 7
    return out + bytes([number])


def test_precompiled_code(start, tmp_path):
    """What the code cache holds goes into a section of the plugin, and is used from there."""
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o700)
    proxy = start(Plugin("p", "headers"), environment={"RUST_WASM_CACHE_DIR": str(cache)})
    assert proxy.send("p", Request()).status == 200
    (compiled,) = cache.iterdir()
    bytecode = (PLUGINS / "rust-hostcalls.wasm").read_bytes()

    def with_section(code: bytes) -> str:
        name = section_name().encode()
        payload = leb(len(name)) + name + code
        path = tmp_path / f"{len(payload)}.wasm"
        path.write_bytes(bytecode + b"\0" + leb(len(payload)) + payload)
        return str(path)

    def says(code: bytes, allow: bool) -> str:
        vm = {
            "code": {"local": {"filename": with_section(code)}},
            "allow_precompiled": allow,
        }
        proxy = start(Plugin("p", "headers", vm=vm))
        assert proxy.send("p", Request()).all("x-twice") == ["a", "b"]
        lines = proxy.envoy.log().splitlines()
        return next((line for line in lines if "precompiled code" in line), "")

    good = compiled.read_bytes()
    assert says(good, True).endswith("precompiled code is used")
    assert says(good, False) == ""
    assert "precompiled code not used: " in says(good[:-1] + bytes([good[-1] ^ 1]), True)
    shutil.rmtree(cache)


def test_plugins_of_one_vm_start_at_once(start):
    """Ticks and queues of the second and third are there before any request."""
    plugins = [
        Plugin("first", "queue", root_id="1", vm_id="one"),
        Plugin("second", "tick-callout", root_id="2", vm_id="one"),
        Plugin("third", "queue", root_id="3", vm_id="one"),
    ]
    proxy = start(*plugins)
    assert proxy.log("second", 1) == ['info root callout: Some("200"), body: true, trailers: 0']
    item = [("x-do", "one"), ("x-value", "item")]
    assert proxy.send("first", Request("/see", item)).status == 200
    assert proxy.log("third", 1) == ["info from own queue: 'item'"]


def test_an_update_is_taken_under_the_rules_of_the_start(start):
    """A plugin that must call out while it is configured can, also where its VM is in use."""
    proxy = start(Plugin("calls", "configure-callout"), xds=True)
    assert proxy.send("calls", Request()).status == 200
    proxy.envoy.update_listeners(stat_prefix="another")
    for _ in every(0.05, 10):
        stats = proxy.envoy.stats("listener_manager.lds.update_(success|rejected)")
        if stats["listener_manager.lds.update_success"] == "2":
            break
    assert stats["listener_manager.lds.update_rejected"] == "0"
    assert stats["listener_manager.lds.update_success"] == "2"
    assert proxy.send("calls", Request()).status == 200


def test_a_busy_worker_holds_up_nobody_else(start):
    """Its VM has a timer, and is removed: neither waits for it on the main thread."""
    plugin = Plugin("tick", "tick", more={"limits": {"call_deadline_ms": 3000}})
    proxy = start(plugin, xds=True)
    assert proxy.send("tick", Request()).status == 200
    spin = [("x-do", "spin")]
    statuses = []
    busy = threading.Thread(
        target=lambda: statuses.append(proxy.send("tick", Request("/see", spin)).status)
    )
    busy.start()
    time.sleep(0.3)
    proxy.envoy.update_listeners(stat_prefix="another")
    slowest = 0.0
    for _ in every(0.1, 1.5):
        begin = time.monotonic()
        assert "LIVE" in proxy.envoy.admin("ready")
        slowest = max(slowest, time.monotonic() - begin)
    assert not statuses and slowest < 1, slowest
    busy.join()
    assert statuses == [503]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (b"no module", "magic header not detected"),
        (b"\0asm\1\0\0\0", "missing or unknown Proxy-Wasm ABI version"),
    ],
)
def test_the_demo_says_in_a_line_what_is_wrong_with_a_plugin(engine, tmp_path, code, reason):
    file = tmp_path / "plugin.wasm"
    file.write_bytes(code)
    demo = subprocess.run([ROOT / "tools/demo", file], capture_output=True, text=True)
    assert demo.returncode == 1
    assert demo.stderr.count("\n") == 1 and reason in demo.stderr
    assert demo.stderr.startswith(f"{file}: ")


def test_trailers_that_cannot_be_added_fail_no_plugin(start):
    proxy = start(Plugin("add", "add-trailer"))
    for _ in range(3):
        assert proxy.send("add", Request("/see", [], b"body")).status == 200
    log = proxy.envoy.log()
    assert log.count("left out the header x-new: the message has no trailers") == 1
