"""Envoy's extensions, all of them or a small selection, and open to other repositories."""

load(
    "@envoy//source/extensions:extensions_build_config.bzl",
    _EXTENSIONS = "EXTENSIONS",
    _LEGACY_ALWAYSLINK = "LEGACY_ALWAYSLINK",
)

# A small Envoy: enough for Wasm plugins with HTTP and TCP, TLS, and clusters by address, DNS or EDS.
# To build that, set _ONLY = SMALL, or a list of your own. An empty list is all of them.
SMALL = [
    "envoy.access_loggers.file",
    "envoy.access_loggers.stderr",
    "envoy.access_loggers.stdout",
    "envoy.access_loggers.wasm",
    "envoy.bootstrap.wasm",
    "envoy.clusters.dns",
    "envoy.clusters.eds",
    "envoy.clusters.logical_dns",
    "envoy.clusters.static",
    "envoy.clusters.strict_dns",
    "envoy.filters.http.router",
    "envoy.filters.http.wasm",
    "envoy.filters.network.http_connection_manager",
    "envoy.filters.network.tcp_proxy",
    "envoy.filters.network.wasm",
    "envoy.load_balancing_policies.cluster_provided",
    "envoy.load_balancing_policies.least_request",
    "envoy.load_balancing_policies.random",
    "envoy.load_balancing_policies.round_robin",
    "envoy.network.dns_resolver.cares",
    "envoy.network.dns_resolver.getaddrinfo",
    "envoy.stat_sinks.wasm",
    "envoy.transport_sockets.raw_buffer",
    "envoy.transport_sockets.tls",
    "envoy.upstreams.http.http",
    "envoy.upstreams.http.tcp",
    "envoy.wasm.runtime.null",
    "envoy.wasm.runtime.v8",  # compiled in if V8 is not turned off
]
_ONLY = []

# And these not.
_WITHOUT = []

EXTENSIONS = {
    name: label
    for name, label in _EXTENSIONS.items()
    if name not in _WITHOUT and (not _ONLY or name in _ONLY)
}

# The runtime's factory derives from a class in //source/extensions/common/wasm.
EXTENSION_CONFIG_VISIBILITY = ["//visibility:public"]
EXTENSION_PACKAGE_VISIBILITY = ["//visibility:public"]
CONTRIB_EXTENSION_PACKAGE_VISIBILITY = ["//visibility:public"]
MOBILE_PACKAGE_VISIBILITY = ["//visibility:public"]
LEGACY_ALWAYSLINK = _LEGACY_ALWAYSLINK
