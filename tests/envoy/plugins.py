"""The plugins that share one Envoy: a listener each, in a VM of its own unless it says."""

from envoy import Plugin

GROUPS = (
    "headers body trailers local callout properties metrics shared queue tick tick-callout"
    " logging life grpc foreign late-callout late local-seen"
)
# All that the plugin needs for its start and a request, but not proxy_get_property, and of
# the response's callbacks none.
ALLOWED = (
    "proxy_log proxy_set_property proxy_get_buffer_bytes proxy_get_header_map_value"
    " proxy_on_vm_start proxy_on_configure proxy_on_context_create proxy_on_request_headers"
    " proxy_on_done proxy_on_log proxy_on_delete"
)
TABLE = [
    *(Plugin(group, group) for group in GROUPS.split()),
    # A second plugin in the VM of the first: its queues and shared data are the same.
    Plugin("queue-neighbour", "none", root_id="neighbour", vm_id="queue"),
    Plugin("shared-neighbour", "shared", root_id="neighbour", vm_id="shared"),
    Plugin(
        "system",
        "system",
        vm={"environment_variables": {"key_values": {"COLOUR": "green", "EMPTY": ""}}},
    ),
    Plugin(
        "restricted",
        "properties",
        more={
            "capability_restriction_config": {
                "allowed_capabilities": {name: {} for name in ALLOWED.split()}
            }
        },
    ),
    Plugin("rust-sdk", "hello", wasm="rust-sdk"),
    Plugin("assemblyscript", "hello", wasm="assemblyscript", root_id="assemblyscript"),
    Plugin("none", engine="none"),
]
