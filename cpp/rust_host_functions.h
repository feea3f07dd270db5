// The host's functions as the guest's imports.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <forward_list>
#include <functional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "include/proxy-wasm/wasm_vm.h"
#include "rust_handles.h"
#include "rust_values.h"
#include "rust_wasm.h"

namespace proxy_wasm::rust_vm {

// All that the host has registered with one VM. The engine's VM points into it, so it must go
// first.
class HostFunctions {
public:
  explicit HostFunctions(WasmVm& vm) : vm_(vm) {}
  HostFunctions(const HostFunctions&) = delete;

  // Before there is a VM, what is registered waits for it.
  template <typename R, typename... Args>
  void add(std::string_view module_name, std::string_view name, R (*callback)(Args...)) {
    define(module_name, name, signatureOf<R, Args...>(),
           reinterpret_cast<rust_wasm_host_fn_t>(&thunk<R, Args...>),
           reinterpret_cast<rust_wasm_host_fn_t>(callback));
  }

  // There is a VM to define imports in.
  void attach(const rust_wasm_module_t* module, rust_wasm_vm_t* handle) {
    module_ = module;
    handle_ = handle;
    for (const auto& define : std::exchange(early_, {})) {
      define();
    }
  }

  // What was wrong with definitions, each after a colon, as far as a log should have it.
  std::string errors() const {
    return more_errors_ == 0 ? errors_
                             : errors_ + ": … and " + std::to_string(more_errors_) + " more";
  }

  // From link() on, the host has contexts whenever it calls the guest.
  bool linked() const { return linked_; }
  void setLinked() { linked_ = true; }

private:
  // What the engine passes to a thunk.
  struct HostFunction {
    HostFunctions* all;
    rust_wasm_host_fn_t callback; // the host's function, cast
    std::string name;             // "module.function"
  };

  void define(std::string_view module_name, std::string_view name, rust_wasm_signature_t signature,
              rust_wasm_host_fn_t thunk, rust_wasm_host_fn_t callback) {
    if (handle_ == nullptr) {
      early_.push_back([=, this, module_name = std::string(module_name), name = std::string(name)] {
        define(module_name, name, signature, thunk, callback);
      });
      return;
    }
    // The host registers some 150 functions, a module imports a handful.
    const int64_t import = rust_wasm_module_import(module_, toSlice(module_name), toSlice(name));
    if (import < 0) {
      return;
    }
    HostFunction& self = defined_.emplace_front(
        HostFunction{this, callback, std::string(module_name).append(".").append(name)});
    // A later registration may put it right, so link() reports it.
    if (const ErrorPtr error{
            rust_wasm_vm_define(handle_, static_cast<uint32_t>(import), signature, thunk, &self)}) {
      if (errors_.size() < kMaxErrors) {
        errors_.append(": ").append(describe(error));
      } else {
        ++more_errors_;
      }
    }
  }

  void trap(std::string_view message) const { rust_wasm_vm_trap(handle_, toSlice(message)); }

  template <typename R, typename... Args> static R thunk(void* data, Args... args) noexcept {
    const auto& self = *static_cast<const HostFunction*>(data);
    const HostFunctions& all = *self.all;
    try {
      const bool log = all.vm_.cmpLogLevel(LogLevel::trace);
      if (log) [[unlikely]] {
        traceCall(all.vm_, "[vm->host] ", self.name, args...);
      }
      if (!all.vm_.isHostFunctionAllowed(self.name)) [[unlikely]] {
        all.trap("restricted_callback: " + self.name);
        return R();
      }
      if (!all.linked_ && current_context_ == nullptr) [[unlikely]] {
        // The host's functions take a context for granted.
        all.trap(self.name + ": called before there is a context");
        return R();
      }
      const auto callback = reinterpret_cast<R (*)(Args...)>(self.callback);
      if constexpr (std::is_void_v<R>) {
        callback(args...);
        if (log) [[unlikely]] {
          traceReturn(all.vm_, "[vm<-host] ", self.name, "void");
        }
      } else {
        const R result = callback(args...);
        if (log) [[unlikely]] {
          traceReturn(all.vm_, "[vm<-host] ", self.name, print(result));
        }
        return result;
      }
    } catch (const std::exception& exception) {
      all.trap(exception.what());
    } catch (...) {
      all.trap("exception in host function");
    }
    return R();
  }

  static constexpr size_t kMaxErrors = 2048;

  WasmVm& vm_;
  const rust_wasm_module_t* module_ = nullptr;
  rust_wasm_vm_t* handle_ = nullptr;
  bool linked_ = false;
  std::vector<std::function<void()>> early_;
  std::forward_list<HostFunction> defined_;
  std::string errors_;
  size_t more_errors_ = 0;
};

} // namespace proxy_wasm::rust_vm
