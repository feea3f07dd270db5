// Part of the mirror of proxy-wasm-cpp-host: see wasm_vm.h.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "wasm_vm.h"

namespace proxy_wasm {

class BytecodeUtil {
public:
  // Appends the section. Unlike the host's it removes no older one.
  static std::optional<std::string> writeModuleWithCustomSection(std::string_view bytecode,
                                                                 std::string_view section_name,
                                                                 std::string_view contents) {
    if (!bytecode.starts_with(std::string_view("\0asm", 4))) {
      return std::nullopt;
    }
    const std::string name = leb128(section_name.size()).append(section_name);
    std::string module(bytecode);
    module.push_back('\0'); // the id of a custom section
    return module.append(leb128(name.size() + contents.size())).append(name).append(contents);
  }

private:
  static std::string leb128(size_t value) {
    std::string bytes;
    for (; value >= 0x80; value >>= 7) {
      bytes.push_back(static_cast<char>(0x80 | (value & 0x7f)));
    }
    bytes.push_back(static_cast<char>(value));
    return bytes;
  }
};

} // namespace proxy_wasm
