"""V8 and this runtime in one Envoy: both turn faults of guests into traps, by signal handlers."""

import pytest
from client import Http1, Request
from envoy import Envoy, Plugin

# It runs out of its linear memory.
FAULT = Request("/see", [("x-do", "recurse")])


@pytest.mark.parametrize("order", [("v8", "rust"), ("rust", "v8")], ids="-".join)
def test_faults_in_turn(order):
    """Each fault is its own engine's, whichever started first."""
    plugins = [Plugin(f"{e}-{n}", "none", engine=e) for n in range(3) for e in order]
    with Envoy("rust", plugins) as envoy:
        for plugin in plugins:
            with Http1(envoy.ports[plugin.name]) as client:
                assert client.request(FAULT).status == 503, envoy.log()[-3000:]
        for plugin in plugins:
            # The VM has failed, Envoy has not.
            with Http1(envoy.ports[plugin.name]) as client:
                assert client.request(Request("/direct")).status == 503
        assert envoy.log().count("in-VM backtrace") == len(plugins)
        assert envoy.stop() == 0
