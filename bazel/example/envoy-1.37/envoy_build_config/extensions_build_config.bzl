"""Envoy's extensions, all of them, and open to other repositories."""

load(
    "@envoy//source/extensions:extensions_build_config.bzl",
    _EXTENSIONS = "EXTENSIONS",
    _LEGACY_ALWAYSLINK = "LEGACY_ALWAYSLINK",
)

# Name those to leave out here; the envoy.*.wasm and envoy.wasm.runtime.null are the ones that Wasm
# plugins need.
_WITHOUT = []

EXTENSIONS = {name: label for name, label in _EXTENSIONS.items() if name not in _WITHOUT}

# The runtime's factory derives from a class in //source/extensions/common/wasm.
EXTENSION_CONFIG_VISIBILITY = ["//visibility:public"]
EXTENSION_PACKAGE_VISIBILITY = ["//visibility:public"]
CONTRIB_EXTENSION_PACKAGE_VISIBILITY = ["//visibility:public"]
MOBILE_PACKAGE_VISIBILITY = ["//visibility:public"]
LEGACY_ALWAYSLINK = _LEGACY_ALWAYSLINK
