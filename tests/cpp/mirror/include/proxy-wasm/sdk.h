// Part of the mirror of proxy-wasm-cpp-host: see wasm_vm.h.
#pragma once

#include <cstdint>

namespace proxy_wasm {

enum class LogLevel : int32_t { trace, debug, info, warn, error, critical, Max = critical };

} // namespace proxy_wasm
