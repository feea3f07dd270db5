// Compiles if the mirror agrees with proxy-wasm-cpp-host. It needs the host's headers, so it is not
// part of the ordinary build:
//   c++ -std=c++20 -fsyntax-only -isystem $PROXY_WASM_CPP_HOST -isystem $PROXY_WASM_CPP_SDK
//       tests/cpp/mirror_check.cc
// where the two are checkouts of proxy-wasm-cpp-host and proxy-wasm-cpp-sdk.
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace mirror_check {
struct Word;
struct Context;
template <typename...> struct List;
} // namespace mirror_check

// The mirror, in a namespace of another name.
#define proxy_wasm proxy_wasm_mirror
#include "mirror/include/proxy-wasm/bytecode_util.h"
#include "mirror/include/proxy-wasm/limits.h"
#include "mirror_probe.h"
namespace mirror_check {
constexpr unsigned long long kMirrorMemoryLimit = PROXY_WASM_HOST_MAX_WASM_MEMORY_SIZE_BYTES;
} // namespace mirror_check
#undef proxy_wasm
#undef FOR_ALL_WASM_VM_EXPORTS
#undef FOR_ALL_WASM_VM_IMPORTS
#undef PROXY_WASM_PLATFORM
#undef PROXY_WASM_HOST_MAX_WASM_MEMORY_SIZE_BYTES
#undef htowasm
#undef wasmtoh

// The real one.
#include "include/proxy-wasm/bytecode_util.h"
#include "include/proxy-wasm/limits.h"
#include "mirror_probe.h"

static_assert(mirror_check::kMirrorMemoryLimit == PROXY_WASM_HOST_MAX_WASM_MEMORY_SIZE_BYTES);

using Mirror = proxy_wasm_mirror::Facts;
using Host = proxy_wasm::Facts;
static_assert(std::is_same_v<Mirror::Exports, Host::Exports>);
static_assert(std::is_same_v<Mirror::Imports, Host::Imports>);
static_assert(Mirror::platform == Host::platform);
static_assert(Mirror::enumerators == Host::enumerators);
