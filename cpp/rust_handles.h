// The C ABI's objects and errors, as the adaptor holds them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "include/proxy-wasm/wasm_vm.h"
#include "rust_wasm.h"

namespace proxy_wasm::rust_vm {

template <auto Free> struct Deleter {
  template <typename T> void operator()(T* object) const { Free(object); }
};
using ErrorPtr = std::unique_ptr<rust_wasm_error_t, Deleter<&rust_wasm_error_free>>;
using BytesPtr = std::unique_ptr<rust_wasm_bytes_t, Deleter<&rust_wasm_bytes_free>>;
using ModulePtr = std::unique_ptr<rust_wasm_module_t, Deleter<&rust_wasm_module_free>>;
using VmPtr = std::unique_ptr<rust_wasm_vm_t, Deleter<&rust_wasm_vm_free>>;

inline rust_wasm_slice_t toSlice(std::string_view view) {
  return {reinterpret_cast<const uint8_t*>(view.data()), view.size()};
}

inline std::string_view toView(rust_wasm_slice_t slice) {
  return {reinterpret_cast<const char*>(slice.data), slice.size};
}

// The cause, and where the guest was when there is such a place.
inline std::string describe(const ErrorPtr& error) {
  std::string text(toView(rust_wasm_error_message(error.get())));
  const auto backtrace = toView(rust_wasm_error_backtrace(error.get()));
  if (!backtrace.empty()) {
    text.append("\nProxy-Wasm plugin in-VM backtrace:\n").append(backtrace);
  }
  return text;
}

// Takes the error, if any, and fails the VM with it: the plugin cannot be started.
inline bool succeeded(WasmVm& vm, rust_wasm_error_t* error, std::string_view otherwise) {
  if (error == nullptr) {
    return true;
  }
  vm.fail(FailState::UnableToInitializeCode,
          std::string(otherwise).append(": ").append(describe(ErrorPtr(error))));
  return false;
}

} // namespace proxy_wasm::rust_vm
