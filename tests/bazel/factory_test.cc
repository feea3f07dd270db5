// envoy.wasm.runtime.rust, found as Envoy finds it: by name in Envoy's registry. The first thing to
// build in a custom Envoy's workspace: what fails here would otherwise fail at the end of a long
// build.
#include <iostream>

#include "envoy/registry/registry.h"

#include "source/extensions/common/wasm/wasm_runtime_factory.h"

#include "tests/bazel/plugin_run.h"

int main() {
  using Envoy::Extensions::Common::Wasm::WasmRuntimeFactory;
  auto* factory =
      Envoy::Registry::FactoryRegistry<WasmRuntimeFactory>::getFactory("envoy.wasm.runtime.rust");
  if (factory == nullptr) {
    std::cerr << "failed: envoy.wasm.runtime.rust is not registered\n";
    return 1;
  }
  return plugin_run::run(factory->createWasmVm());
}
