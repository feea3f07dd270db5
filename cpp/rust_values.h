// The host's values and function types in the terms of the C ABI, and in the host's traces.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "include/proxy-wasm/wasm_vm.h"
#include "include/proxy-wasm/word.h"
#include "rust_wasm.h"

namespace proxy_wasm::rust_vm {

// What a T is inside the guest: a Word is 32 bits wide there.
template <typename T> using Native = typename ConvertWordTypeToUint32<T>::type;

template <typename T> constexpr uint8_t typeCode() {
  using N = Native<T>;
  if constexpr (std::is_floating_point_v<N>) {
    return sizeof(N) == 4 ? RUST_WASM_F32 : RUST_WASM_F64;
  } else {
    static_assert(std::is_integral_v<N> && (sizeof(N) == 4 || sizeof(N) == 8));
    return sizeof(N) == 4 ? RUST_WASM_I32 : RUST_WASM_I64;
  }
}

template <typename... Ts>
inline constexpr std::array<uint8_t, sizeof...(Ts)> kTypeCodes{typeCode<Ts>()...};

template <typename R, typename... Args> rust_wasm_signature_t signatureOf() {
  rust_wasm_signature_t signature{{kTypeCodes<Args...>.data(), sizeof...(Args)}, {nullptr, 0}};
  if constexpr (!std::is_void_v<R>) {
    signature.results = {kTypeCodes<R>.data(), 1};
  }
  return signature;
}

// All members of a slot begin at its address, so one copy serves every type.
template <typename T> void store(rust_wasm_value_t& slot, T value) {
  const auto native = static_cast<Native<T>>(value);
  ::memcpy(&slot, &native, sizeof(native));
}

template <typename T> T fetch(const rust_wasm_value_t& slot) {
  Native<T> native;
  ::memcpy(&native, &slot, sizeof(native));
  return native;
}

// A value as the traces show it: integers unsigned.
template <typename T> std::string print(T value) {
  if constexpr (std::is_floating_point_v<T>) {
    return std::to_string(value);
  } else {
    return std::to_string(static_cast<std::make_unsigned_t<Native<T>>>(value));
  }
}

template <typename... Args>
[[gnu::cold, gnu::noinline]] void traceCall(WasmVm& vm, std::string_view arrow,
                                            const std::string& name, Args... args) {
  std::string text = std::string(arrow).append(name).append("(");
  [[maybe_unused]] std::string_view separator;
  ((text.append(std::exchange(separator, ", ")).append(print(args))), ...);
  vm.integration()->trace(text.append(")"));
}

[[gnu::cold, gnu::noinline]] inline void
traceReturn(WasmVm& vm, std::string_view arrow, const std::string& name, std::string_view value) {
  vm.integration()->trace(std::string(arrow).append(name).append(" return: ").append(value));
}

} // namespace proxy_wasm::rust_vm
