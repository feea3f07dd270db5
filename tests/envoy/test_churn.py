"""Everything at once, on eight workers: requests in both protocols, with bodies, calls and local
responses; clients that leave; plugins that trap and reload, tick and share queues; while all
listeners are made anew again and again. Nothing crashes, hangs, or fails that should not; memory
stays flat; and the main thread always answers.

A while of it here; `make churn SECONDS=300` for longer. -s shows what was counted.
"""

import os
import random
import threading
import time
from collections import Counter

import pytest
from client import Http1, Http2, Request
from envoy import Envoy, Plugin
from test_faults import ONCE, policy

SECONDS = float(os.environ.get("CHURN_SECONDS", "20"))
CLIENTS = 24
# What the allocators of Envoy may keep more or less of, and what waits in idle workers.
SLACK = 24 << 20
RELOAD = policy("FAIL_RELOAD") | {"reload_config": {"backoff": {"base_interval": "0.05s"}}}

PLUGINS = [
    Plugin("headers", "headers"),
    Plugin("body", "body"),
    Plugin("callout", "callout"),
    Plugin("local", "local-seen"),
    Plugin("trap", "none", more=RELOAD),
    Plugin("tick", "tick", vm_id="shared"),
    Plugin("queue", "queue", vm_id="shared", root_id="queue"),
    Plugin("calls", "configure-callout"),
    Plugin("grpc", "tick-callout", more=RELOAD),
]
# Per plugin, what a request may come to. A listener that is made anew ends connections.
STATUSES = {"local": {403}, "trap": {200, 503}}
LARGE = b"x" * 50_000
HEADERS = {
    "body": [("x-do", "upper")],
    "callout": [("x-cluster", "upstream"), ("x-path", "/see")],
    "queue": [("x-do", "queue"), ("x-value", "item")],
}


class Clients:
    def __init__(self, envoy: Envoy):
        self.envoy = envoy
        self.end = time.monotonic() + SECONDS
        self.seen: Counter[tuple[str, str]] = Counter()
        self.lock = threading.Lock()

    def note(self, plugin: str, outcome: object) -> None:
        with self.lock:
            self.seen[plugin, str(outcome)] += 1

    def run(self, number: int) -> None:
        choose = random.Random(number)
        while time.monotonic() < self.end:
            plugin = choose.choice(PLUGINS).name
            try:
                self.connection(choose, plugin)
            except (OSError, ValueError, IndexError) as error:
                # A wait that was too long is a stream that hangs.
                self.note(plugin, "hangs" if isinstance(error, TimeoutError) else "ended")

    def connection(self, choose: random.Random, plugin: str) -> None:
        headers = HEADERS.get(plugin, [])
        if plugin == "trap" and choose.random() < 0.1:
            headers = ONCE
        body = LARGE if choose.random() < 0.3 else b""
        request = Request("/see", headers, body)
        http = choose.choice([Http1, Http2])
        with http(self.envoy.ports[plugin]) as client:
            if choose.random() < 0.1:  # leaves before it has an answer
                client.socket.sendall(b"POST /see HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nx")
                return
            if isinstance(client, Http2):
                responses = client.requests([request] * choose.randint(1, 8))
            else:
                responses = [client.request(request) for _ in range(choose.randint(1, 4))]
        for response in responses:
            self.note(plugin, "ended" if response.reset else response.status)


@pytest.mark.parametrize("engine", ["rust"], indirect=True)
def test_churn(start):
    envoy = start(*PLUGINS, workers=8, level="error", xds=True).envoy
    clients = Clients(envoy)
    threads = [threading.Thread(target=clients.run, args=[n]) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    updates, slowest, memory = 0, 0.0, []
    while time.monotonic() < clients.end:
        updates += 1
        # Some of the plugins get VMs of their own by that, and their old ones go.
        for one in envoy.listeners[:3]:
            manager = one["filter_chains"][0]["filters"][0]["typed_config"]
            module = manager["http_filters"][0]["typed_config"]["filter_config"]["value"]
            module["limits"] = {"max_memory_bytes": (64 << 20) + (updates << 16)}
        envoy.update_listeners(stat_prefix=f"update-{updates}")
        begin = time.monotonic()
        assert "LIVE" in envoy.admin("ready")
        slowest = max(slowest, time.monotonic() - begin)
        memory.append(envoy.resident())
        time.sleep(0.5)
    for thread in threads:
        thread.join()
    stats = envoy.stats("listener_manager.lds.update_rejected|wasmcustom.wasm.vm_")
    print(f"\n{sum(clients.seen.values())} requests, {updates} updates, the slowest answer of admin"
          f" {slowest * 1000:.0f} ms, memory {memory[0] >> 20} to {memory[-1] >> 20} MB")
    for (plugin, outcome), count in sorted(clients.seen.items()):
        print(f"{plugin:>10} {outcome:>6} {count}")
    print(stats)
    assert stats["listener_manager.lds.update_rejected"] == "0"
    wrong = {
        (plugin, outcome): count
        for (plugin, outcome), count in clients.seen.items()
        if outcome != "ended" and outcome not in map(str, STATUSES.get(plugin, {200}))
    }
    assert not wrong
    assert all((plugin.name, "200") in clients.seen for plugin in PLUGINS if plugin.name != "local")
    warm = memory[len(memory) // 2 :]
    assert max(warm) - warm[0] < SLACK, memory
    # Generous: all of it may have to share two cores.
    assert slowest < 2
    assert envoy.stop() == 0
    log = envoy.log()
    assert "panic in" not in log and "Caught" not in log
