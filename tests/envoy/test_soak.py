"""Many requests through a header plugin at two workers: none fails, and memory stays flat.

A few seconds, unless the environment says otherwise; -s shows the samples:
SOAK_SECONDS=600 target/envoy-venv/bin/pytest -c tests/envoy/pytest.ini -s tests/envoy/test_soak.py
"""

import os
import threading
import time

import pytest
from envoy import Plugin
from load import Load

SECONDS = float(os.environ.get("SOAK_SECONDS", "4"))
CLIENTS = 2
BATCH = 4096
# What the allocators of Envoy may keep more or less of.
SLACK = 4 << 20


@pytest.mark.parametrize("engine", ["rust"], indirect=True)
def test_soak(start):
    plugins = [Plugin("p", "bench"), Plugin("sdk", wasm="rust-sdk")]
    envoy = start(*plugins, workers=2, level="error").envoy
    end = time.monotonic() + SECONDS
    sent = [0] * CLIENTS
    errors: list[Exception] = []

    def work(number: int) -> None:
        # Connections enough to reach both workers.
        load = Load(envoy.ports[plugins[number % 2].name], connections=32)
        try:
            while time.monotonic() < end:
                load.run(BATCH)
                sent[number] += BATCH
        except (RuntimeError, OSError) as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=[number]) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    samples: list[int] = []
    while any(thread.is_alive() for thread in threads):
        time.sleep(SECONDS / 20)
        samples.append(envoy.resident())
        print(f"{sum(sent):>12} requests, {samples[-1] / 1e6:.1f} MB", flush=True)
    assert not errors
    assert sum(sent) >= BATCH * CLIENTS
    warm = samples[len(samples) // 4 :]
    assert max(warm) - warm[0] < SLACK, samples
    assert "[error]" not in envoy.log() and "[critical]" not in envoy.log()
