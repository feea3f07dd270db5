// The engine "rust" for proxy-wasm-cpp-host: envoy.wasm.runtime.rust behind the host's WasmVm.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "include/proxy-wasm/wasm_vm.h"

namespace proxy_wasm {

// Limits of a VM and of its clones. A field that is zero or empty takes its value from the
// RUST_WASM_* environment variable of rust_wasm_options_init() in rust_wasm.h, or else the default
// stated at rust_wasm_options there; for memory, the host's limits.h.
struct RustVmOptions {
  uint64_t max_wasm_memory_size_bytes = 0;
  uint64_t guest_stack_size_bytes = 0;
  // Longest time for one outermost call into the VM.
  std::chrono::nanoseconds call_deadline{0};
  // Folder for compiled code. Its contents are run: only this process may write there.
  std::string code_cache_dir;
  uint32_t max_backtrace_frames = 0;
};

// Makes an empty VM. The expensive first-time work is left to WasmVm::warm() or load().
std::unique_ptr<WasmVm> createRustVm(RustVmOptions options = {});

} // namespace proxy_wasm
