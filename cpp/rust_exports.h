// The guest's exports as functions that the host calls.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <type_traits>

#include "include/proxy-wasm/wasm_vm.h"
#include "rust_handles.h"
#include "rust_values.h"
#include "rust_wasm.h"

namespace proxy_wasm::rust_vm {

// Out of line, to keep the frames of calls small.
[[gnu::cold, gnu::noinline]] inline void failCall(WasmVm& vm, const std::string& name,
                                                  rust_wasm_error_t* error) {
  vm.fail(FailState::RuntimeError, "Function: " + name + " failed: " + describe(ErrorPtr(error)));
}

// Looks the export up. The function refers to both VMs, which are one: the host's and ours.
template <typename R, typename... Args>
void getExport(WasmVm& vm, rust_wasm_vm_t* handle, std::string_view name,
               std::function<R(ContextBase*, Args...)>* out) {
  *out = nullptr;
  const rust_wasm_func_t* func = nullptr;
  // A hook of the wrong type must not pass for a missing one, or requests bypass the plugin:
  // this makes WasmBase::initialize() fail.
  if (!succeeded(vm, rust_wasm_vm_func(handle, toSlice(name), signatureOf<R, Args...>(), &func),
                 std::string("Bad function signature for: ").append(name)) ||
      func == nullptr) {
    return;
  }
  *out = [&vm, func, name = std::string(name)](ContextBase* context, Args... args) -> R {
    const bool log = vm.cmpLogLevel(LogLevel::trace);
    SaveRestoreContext saved_context(context);
    if (log) [[unlikely]] {
      traceCall(vm, "[host->vm] ", name, args...);
    }
    rust_wasm_value_t values[std::max<size_t>(sizeof...(Args), 1)];
    [[maybe_unused]] rust_wasm_value_t* value = values;
    (store(*value++, args), ...);
    if (rust_wasm_error_t* error = rust_wasm_func_call(func, values)) [[unlikely]] {
      failCall(vm, name, error);
      return R();
    }
    if constexpr (std::is_void_v<R>) {
      if (log) [[unlikely]] {
        traceReturn(vm, "[host<-vm] ", name, "void");
      }
    } else {
      const R result = fetch<R>(values[0]);
      if (log) [[unlikely]] {
        traceReturn(vm, "[host<-vm] ", name, print(result));
      }
      return result;
    }
  };
}

} // namespace proxy_wasm::rust_vm
