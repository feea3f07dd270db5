// The base class of cpp/config.cc, as in Envoy 1.36 to 1.40.
#pragma once

#include <memory>
#include <set>
#include <string>

#include "include/proxy-wasm/wasm_vm.h"

namespace Envoy {
namespace Config {

class UntypedFactory {
public:
  virtual ~UntypedFactory() = default;
  virtual std::string name() const = 0;
  virtual std::string category() const = 0;
  virtual std::set<std::string> configTypes() { return {}; }
};

} // namespace Config

namespace Extensions {
namespace Common {
namespace Wasm {

using WasmVmPtr = std::unique_ptr<proxy_wasm::WasmVm>;

class WasmRuntimeFactory : public Config::UntypedFactory {
public:
  ~WasmRuntimeFactory() override = default;
  virtual WasmVmPtr createWasmVm() = 0;
  std::string category() const override { return "envoy.wasm.runtime"; }
};

} // namespace Wasm
} // namespace Common
} // namespace Extensions
} // namespace Envoy
