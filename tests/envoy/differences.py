"""Where the two engines may differ, and why. Everything else must be equal."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    test: str
    line: str  # a regular expression: lines of the transcript that are not compared
    reason: str


WORKERS_TICK = "The built-in filter's workers tick on their own, ours when there are requests."
DIFFERENCES = [
    Difference("test_ticks", "", WORKERS_TICK),
    Difference("test_callout_from_a_tick", "", WORKERS_TICK),
    Difference(
        "test_plugin_of_other_toolchain",
        r" vm start$|configured with",
        "The built-in filter's workers have their VM from the start, ours with the first request.",
    ),
    Difference(
        "test_shared_data",
        r"Some\(\d+\)",
        "The compare-and-swap number is any number that changes with the value.",
    ),
    *(
        Difference(
            test,
            "^info status message: ",
            "Envoy's own gRPC client adds its details of the response, which the ABI does not tell.",
        )
        for test in ("test_call", "test_stream", "test_both_ways_at_once", "test_no_service")
    ),
    Difference(
        "test_duration_is_the_whole_streams",
        r"request\.duration = 0x",
        "A time.",
    ),
    Difference(
        "test_capability_restriction",
        "Attempted call to restricted",
        "The built-in filter writes this line too, but without the plugin's name.",
    ),
    Difference(
        "test_empty_header_value",
        "",
        "Envoy's ABI takes an empty value for no header: it neither adds nor sets one.",
    ),
    Difference(
        "test_headers",
        r"request\.headers\.x-set = ",
        "In the response phase the module can still read the request's headers.",
    ),
]


def allowed(test: str, line: str) -> bool:
    return any(d.test == test and re.search(d.line, line) for d in DIFFERENCES)
