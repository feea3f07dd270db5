// Registers the engine with Envoy as envoy.wasm.runtime.rust.
#include <string>

#include "envoy/registry/registry.h"

#include "source/extensions/common/wasm/wasm_runtime_factory.h"

#include "rust_vm.h"

namespace Envoy {
namespace Extensions {
namespace Common {
namespace Wasm {

class RustRuntimeFactory : public WasmRuntimeFactory {
public:
  WasmVmPtr createWasmVm() override { return proxy_wasm::createRustVm(); }

  std::string name() const override { return "envoy.wasm.runtime.rust"; }
};

namespace {

// Not REGISTER_FACTORY: outside of Envoy's own targets, which define
// ENVOY_STATIC_EXTENSION_REGISTRATION, that makes a function that somebody would have to call.
const Registry::RegisterFactory<RustRuntimeFactory, WasmRuntimeFactory> registration;

} // namespace

} // namespace Wasm
} // namespace Common
} // namespace Extensions
} // namespace Envoy
