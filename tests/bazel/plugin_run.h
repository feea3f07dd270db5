// A plugin's life in proxy-wasm-cpp-host on this engine: start, log, and a trap by SIGSEGV, the
// signal that others in the process want too.
#pragma once

#include <cstdint>
#include <iostream>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "include/proxy-wasm/context.h"
#include "include/proxy-wasm/wasm.h"

namespace plugin_run {

// (module
//   (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
//   (memory (export "memory") 1)
//   (data (i32.const 16) "hello")
//   (func (export "proxy_abi_version_0_2_1"))
//   (func (export "_initialize"))
//   (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 1024))
//   (func (export "proxy_on_vm_start") (param i32 i32) (result i32)
//     (i32.eqz (call $log (i32.const 2) (i32.const 16) (i32.const 5))))
//   (func $on_tick (export "proxy_on_tick") (param i32) (drop (i32.load (i32.const -4)))))
inline constexpr uint8_t kPlugin[] = {
    0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, 0x01, 0x1a, 0x05, 0x60, 0x03, 0x7f, 0x7f, 0x7f,
    0x01, 0x7f, 0x60, 0x00, 0x00, 0x60, 0x01, 0x7f, 0x01, 0x7f, 0x60, 0x02, 0x7f, 0x7f, 0x01, 0x7f,
    0x60, 0x01, 0x7f, 0x00, 0x02, 0x11, 0x01, 0x03, 0x65, 0x6e, 0x76, 0x09, 0x70, 0x72, 0x6f, 0x78,
    0x79, 0x5f, 0x6c, 0x6f, 0x67, 0x00, 0x00, 0x03, 0x06, 0x05, 0x01, 0x01, 0x02, 0x03, 0x04, 0x05,
    0x03, 0x01, 0x00, 0x01, 0x07, 0x71, 0x06, 0x06, 0x6d, 0x65, 0x6d, 0x6f, 0x72, 0x79, 0x02, 0x00,
    0x17, 0x70, 0x72, 0x6f, 0x78, 0x79, 0x5f, 0x61, 0x62, 0x69, 0x5f, 0x76, 0x65, 0x72, 0x73, 0x69,
    0x6f, 0x6e, 0x5f, 0x30, 0x5f, 0x32, 0x5f, 0x31, 0x00, 0x01, 0x0b, 0x5f, 0x69, 0x6e, 0x69, 0x74,
    0x69, 0x61, 0x6c, 0x69, 0x7a, 0x65, 0x00, 0x02, 0x18, 0x70, 0x72, 0x6f, 0x78, 0x79, 0x5f, 0x6f,
    0x6e, 0x5f, 0x6d, 0x65, 0x6d, 0x6f, 0x72, 0x79, 0x5f, 0x61, 0x6c, 0x6c, 0x6f, 0x63, 0x61, 0x74,
    0x65, 0x00, 0x03, 0x11, 0x70, 0x72, 0x6f, 0x78, 0x79, 0x5f, 0x6f, 0x6e, 0x5f, 0x76, 0x6d, 0x5f,
    0x73, 0x74, 0x61, 0x72, 0x74, 0x00, 0x04, 0x0d, 0x70, 0x72, 0x6f, 0x78, 0x79, 0x5f, 0x6f, 0x6e,
    0x5f, 0x74, 0x69, 0x63, 0x6b, 0x00, 0x05, 0x0a, 0x22, 0x05, 0x02, 0x00, 0x0b, 0x02, 0x00, 0x0b,
    0x05, 0x00, 0x41, 0x80, 0x08, 0x0b, 0x0b, 0x00, 0x41, 0x02, 0x41, 0x10, 0x41, 0x05, 0x10, 0x00,
    0x45, 0x0b, 0x08, 0x00, 0x41, 0x7c, 0x28, 0x02, 0x00, 0x1a, 0x0b, 0x0b, 0x0b, 0x01, 0x00, 0x41,
    0x10, 0x0b, 0x05, 0x68, 0x65, 0x6c, 0x6c, 0x6f, 0x00, 0x16, 0x04, 0x6e, 0x61, 0x6d, 0x65, 0x01,
    0x0f, 0x02, 0x00, 0x03, 0x6c, 0x6f, 0x67, 0x05, 0x07, 0x6f, 0x6e, 0x5f, 0x74, 0x69, 0x63, 0x6b,
};

inline std::string logged;
inline std::string errors;

class Integration : public proxy_wasm::WasmVmIntegration {
public:
  proxy_wasm::WasmVmIntegration* clone() override { return new Integration; }
  proxy_wasm::LogLevel getLogLevel() override { return proxy_wasm::LogLevel::info; }
  void error(std::string_view message) override { errors.append(message).append("\n"); }
  void trace(std::string_view) override {}
  bool getNullVmFunction(std::string_view, bool, int, proxy_wasm::NullPlugin*, void*) override {
    return false;
  }
};

class Context : public proxy_wasm::ContextBase {
public:
  using ContextBase::ContextBase;
  proxy_wasm::WasmResult log(uint32_t, std::string_view message) override {
    logged.append(message);
    return proxy_wasm::WasmResult::Ok;
  }
};

class Wasm : public proxy_wasm::WasmBase {
public:
  using WasmBase::WasmBase;
  proxy_wasm::ContextBase* createVmContext() override { return new Context(this); }
  proxy_wasm::ContextBase*
  createRootContext(const std::shared_ptr<proxy_wasm::PluginBase>& plugin) override {
    return new Context(this, plugin);
  }
};

inline int failures = 0;

inline void check(bool held, const char* what) {
  if (!held) {
    std::cerr << "failed: " << what << "\nlogged: " << logged << "\nerrors: " << errors;
    ++failures;
  }
}

#define CHECK(_condition) plugin_run::check(_condition, #_condition)

// Runs the plugin; returns the program's exit status.
inline int run(std::unique_ptr<proxy_wasm::WasmVm> vm) {
  vm->integration() = std::make_unique<Integration>();
  CHECK(vm->getEngineName() == "rust");
  auto wasm = std::make_shared<Wasm>(std::move(vm), "vm_id", "", "vm_key",
                                     std::unordered_map<std::string, std::string>{},
                                     proxy_wasm::AllowedCapabilitiesMap{});
  CHECK(wasm->load(std::string(std::begin(kPlugin), std::end(kPlugin))));
  CHECK(wasm->initialize());
  const auto plugin =
      std::make_shared<proxy_wasm::PluginBase>("plugin", "root", "vm_id", "rust", "", false, "key");
  proxy_wasm::ContextBase* root = wasm->start(plugin);
  CHECK(root != nullptr);
  CHECK(logged == "hello");
  CHECK(errors.empty());
  if (root != nullptr) {
    root->onTick(0);
  }
  CHECK(wasm->isFailed());
  CHECK(errors.find("out of bounds memory access") != std::string::npos);
  CHECK(errors.find("on_tick") != std::string::npos); // in the backtrace
  std::cout << errors << (failures == 0 ? "passed\n" : "failed\n");
  return failures == 0 ? 0 : 1;
}

} // namespace plugin_run
