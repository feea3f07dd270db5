// Part of the mirror of proxy-wasm-cpp-host: see wasm_vm.h.
#pragma once

#include <bit>
#include <cstdint>

#include "sdk.h"

// Only 32-bit values take this way in the adaptor.
#define htowasm(x, vm_uses_wasm_byte_order)                                                        \
  ((vm_uses_wasm_byte_order) && std::endian::native == std::endian::big ? __builtin_bswap32(x)     \
                                                                        : (x))
#define wasmtoh(x, vm_uses_wasm_byte_order) htowasm(x, vm_uses_wasm_byte_order)

namespace proxy_wasm {

struct Word {
  Word() = default;
  Word(uint64_t value) : u64_(value) {} // implicit, as the host's is
  uint32_t u32() const { return static_cast<uint32_t>(u64_); }
  operator uint64_t() const { return u64_; }

  uint64_t u64_ = 0;
};

template <typename T> struct ConvertWordTypeToUint32 { using type = T; };
template <> struct ConvertWordTypeToUint32<Word> { using type = uint32_t; };

template <typename F> struct ConvertFunctionTypeWordToUint32;
template <typename R, typename... Args> struct ConvertFunctionTypeWordToUint32<R (*)(Args...)> {
  using type = typename ConvertWordTypeToUint32<R>::type (*)(
      typename ConvertWordTypeToUint32<Args>::type...);
};

} // namespace proxy_wasm
