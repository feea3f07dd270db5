// Uses everything that the adaptor and its tests use of proxy-wasm-cpp-host, and prints how it
// behaves. tests/bazel/test_bazel.py compiles it against the mirror and, where it is given, against
// the real host: what is declared differently does not compile with one of them, and what behaves
// differently prints other lines than mirror_probe.txt, which are those of the host at f2db56a.
#include <array>
#include <bit>
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
#include <utility>
#include <vector>

#include "include/proxy-wasm/bytecode_util.h"
#include "include/proxy-wasm/limits.h"
#include "include/proxy-wasm/wasm_vm.h"

namespace proxy_wasm {

// `override` holds each signature to the base's; that Probe is not abstract shows that there are no
// further ones.
struct IntegrationProbe : WasmVmIntegration {
  WasmVmIntegration* clone() override { return nullptr; }
  LogLevel getLogLevel() override { return LogLevel::info; }
  void error(std::string_view message) override { std::cout << "  error: " << message << "\n"; }
  void trace(std::string_view) override {}
  bool getNullVmFunction(std::string_view, bool, int, NullPlugin*, void*) override { return false; }
};
static_assert(!std::is_abstract_v<IntegrationProbe>);

struct VmProbe : WasmVm {
  std::string_view getEngineName() override { return {}; }
  Cloneable cloneable() override { return Cloneable::NotCloneable; }
  std::unique_ptr<WasmVm> clone() override { return nullptr; }
  bool load(std::string_view, std::string_view,
            const std::unordered_map<uint32_t, std::string>&) override {
    return false;
  }
  std::optional<std::string> serialize(std::string_view) override { return std::nullopt; }
  bool link(std::string_view) override { return false; }
  uint64_t getMemorySize() override { return 0; }
  std::optional<std::string_view> getMemory(uint64_t, uint64_t) override { return std::nullopt; }
  bool setMemory(uint64_t, uint64_t, const void*) override { return false; }
  bool getWord(uint64_t, Word*) override { return false; }
  bool setWord(uint64_t, Word) override { return false; }
  size_t getWordSize() override { return 0; }
  std::string_view getPrecompiledSectionName() override { return {}; }
#define _GET_FUNCTION(_T)                                                                          \
  void getFunction(std::string_view, _T*) override {}
  FOR_ALL_WASM_VM_EXPORTS(_GET_FUNCTION)
#undef _GET_FUNCTION
#define _REGISTER_CALLBACK(_T)                                                                     \
  void registerCallback(std::string_view, std::string_view, _T,                                    \
                        typename ConvertFunctionTypeWordToUint32<_T>::type) override {}
  FOR_ALL_WASM_VM_IMPORTS(_REGISTER_CALLBACK)
#undef _REGISTER_CALLBACK
  void terminate() override {}
  bool usesWasmByteOrder() override { return true; }

  using WasmVm::fail_callbacks_;
  using WasmVm::failed_;
  using WasmVm::integration_;
};
static_assert(!std::is_abstract_v<VmProbe>);

// Those with a default, which is the other overload of error(), and nothing.
struct OverridesProbe : IntegrationProbe {
  using IntegrationProbe::error;
  void error(FailState, std::string_view) override {}
};
struct WarmProbe : VmProbe {
  void warm() override {}
};

// What is not virtual, by type.
static_assert(std::is_same_v<decltype(&WasmVm::isFailed), bool (WasmVm::*)()>);
static_assert(
    std::is_same_v<decltype(&WasmVm::fail), void (WasmVm::*)(FailState, std::string_view)>);
static_assert(std::is_same_v<decltype(&WasmVm::addFailCallback),
                             void (WasmVm::*)(std::function<void(FailState)>)>);
static_assert(
    std::is_same_v<decltype(&WasmVm::isHostFunctionAllowed), bool (WasmVm::*)(const std::string&)>);
static_assert(std::is_same_v<decltype(&WasmVm::setRestrictedCallback),
                             void (WasmVm::*)(bool, std::unordered_set<std::string>)>);
static_assert(std::is_same_v<decltype(&WasmVm::integration),
                             std::unique_ptr<WasmVmIntegration>& (WasmVm::*)()>);
static_assert(std::is_same_v<decltype(&WasmVm::cmpLogLevel), bool (WasmVm::*)(LogLevel)>);
static_assert(std::is_same_v<decltype(VmProbe::integration_), std::unique_ptr<WasmVmIntegration>>);
static_assert(std::is_same_v<decltype(VmProbe::failed_), FailState>);
static_assert(std::is_same_v<decltype(VmProbe::fail_callbacks_),
                             std::vector<std::function<void(FailState)>>>);
static_assert(std::is_same_v<decltype(current_context_), ContextBase*>);
static_assert(std::is_same_v<decltype(effective_context_id_), uint32_t>);
static_assert(std::is_constructible_v<SaveRestoreContext, ContextBase*> &&
              !std::is_convertible_v<ContextBase*, SaveRestoreContext>);
static_assert(std::is_same_v<decltype(&BytecodeUtil::writeModuleWithCustomSection),
                             std::optional<std::string> (*)(std::string_view, std::string_view,
                                                            std::string_view)>);

// Words.
static_assert(std::is_convertible_v<uint64_t, Word> && std::is_convertible_v<Word, uint64_t>);
static_assert(std::is_same_v<decltype(&Word::u32), uint32_t (Word::*)() const>);
static_assert(std::is_same_v<decltype(Word::u64_), uint64_t>);
static_assert(sizeof(Word) == sizeof(uint64_t));
static_assert(std::is_same_v<ConvertWordTypeToUint32<Word>::type, uint32_t>);
static_assert(std::is_same_v<ConvertWordTypeToUint32<int64_t>::type, int64_t>);
static_assert(std::is_same_v<ConvertFunctionTypeWordToUint32<Word (*)(Word, double)>::type,
                             uint32_t (*)(uint32_t, double)>);
static_assert(std::is_same_v<decltype(htowasm(uint32_t{}, true)), uint32_t> &&
              std::is_same_v<decltype(wasmtoh(uint32_t{}, true)), uint32_t>);

// How a type is printed.
template <typename T> constexpr std::string_view kName = T::unknown;
template <> constexpr std::string_view kName<void> = "void";
template <> constexpr std::string_view kName<Word> = "Word";
template <> constexpr std::string_view kName<ContextBase*> = "Context";
template <> constexpr std::string_view kName<uint32_t> = "u32";
template <> constexpr std::string_view kName<uint64_t> = "u64";
template <> constexpr std::string_view kName<int64_t> = "i64";
template <> constexpr std::string_view kName<float> = "float";
template <> constexpr std::string_view kName<double> = "double";

template <typename F> struct Signature;
template <typename R, typename... Args> struct Signature<R(Args...)> {
  static std::string text() {
    std::string args;
    ((args += args.empty() ? "" : ", ", args += kName<Args>), ...);
    return std::string(kName<R>).append("(").append(args).append(")");
  }
};
template <typename F> struct Signature<std::function<F>> : Signature<F> {};
template <typename F> struct Signature<F*> : Signature<F> {};

void printLists() {
  std::cout << "exports\n";
#define _PRINT(_T) std::cout << "  " << Signature<_T>::text() << "\n";
  FOR_ALL_WASM_VM_EXPORTS(_PRINT)
#undef _PRINT
  std::cout << "imports\n";
#define _PRINT(_T)                                                                                 \
  std::cout << "  " << Signature<_T>::text() << " as "                                             \
            << Signature<ConvertFunctionTypeWordToUint32<_T>::type>::text() << "\n";
  FOR_ALL_WASM_VM_IMPORTS(_PRINT)
#undef _PRINT
}

void printValues() {
  std::cout << "fail states";
  for (const FailState state :
       {FailState::Ok, FailState::UnableToCreateVm, FailState::UnableToCloneVm,
        FailState::MissingFunction, FailState::UnableToInitializeCode, FailState::StartFailed,
        FailState::ConfigureFailed, FailState::RuntimeError}) {
    std::cout << " " << static_cast<int>(state);
  }
  std::cout << "\ncloneable";
  for (const Cloneable cloneable :
       {Cloneable::NotCloneable, Cloneable::CompiledBytecode, Cloneable::InstantiatedModule}) {
    std::cout << " " << static_cast<int>(cloneable);
  }
  std::cout << "\nlog levels";
  for (const LogLevel level : {LogLevel::trace, LogLevel::debug, LogLevel::info, LogLevel::warn,
                               LogLevel::error, LogLevel::critical, LogLevel::Max}) {
    std::cout << " " << static_cast<int>(level);
  }
  std::cout << "\nmost memory " << PROXY_WASM_HOST_MAX_WASM_MEMORY_SIZE_BYTES << "\n";
#if defined(__linux__) && defined(__x86_64__)
  std::cout << "platform " << (std::string_view(PROXY_WASM_PLATFORM) == "linux_x86_64") << "\n";
#elif defined(__linux__) && defined(__aarch64__)
  std::cout << "platform " << (std::string_view(PROXY_WASM_PLATFORM) == "linux_aarch64") << "\n";
#endif
  const Word word = 0x1'8000'0000;
  std::cout << "word " << Word().u64_ << " " << word.u32() << " " << word << "\n";
  std::cout << "byte order " << wasmtoh(htowasm(uint32_t{1}, true), true) << " "
            << htowasm(uint32_t{1}, false) << "\n";
}

void printFailure() {
  VmProbe vm;
  std::cout << "failure\n  at first: " << vm.isFailed() << ", " << (vm.integration() != nullptr)
            << "\n";
  vm.integration() = std::make_unique<IntegrationProbe>();
  for (const char* const name : {"first", "second"}) {
    vm.addFailCallback([&vm, name](FailState state) {
      std::cout << "  " << name << " callback: " << static_cast<int>(state) << ", " << vm.isFailed()
                << "\n";
    });
  }
  vm.fail(FailState::StartFailed, "one");
  vm.fail(FailState::RuntimeError, "two");
  std::cout << "  then: " << static_cast<int>(vm.failed_) << ", " << vm.fail_callbacks_.size()
            << "\n";
  vm.fail(FailState::Ok, "three");
  std::cout << "  at last: " << vm.isFailed() << "\n";
}

void printRest() {
  VmProbe vm;
  vm.warm();
  vm.integration() = std::make_unique<IntegrationProbe>();
  std::cout << "levels of info: " << vm.cmpLogLevel(LogLevel::debug)
            << vm.cmpLogLevel(LogLevel::info) << vm.cmpLogLevel(LogLevel::warn) << "\n";
  std::cout << "allowed: " << vm.isHostFunctionAllowed("a");
  vm.setRestrictedCallback(true, {"a"});
  std::cout << vm.isHostFunctionAllowed("a") << vm.isHostFunctionAllowed("b");
  vm.setRestrictedCallback(true);
  std::cout << vm.isHostFunctionAllowed("a");
  vm.setRestrictedCallback(false);
  std::cout << vm.isHostFunctionAllowed("b") << "\n";

  const auto printContext = [](const char* when) {
    std::cout << "context " << when << ": " << std::bit_cast<uintptr_t>(current_context_) << ", "
              << effective_context_id_ << "\n";
  };
  printContext("at first");
  current_context_ = std::bit_cast<ContextBase*>(uintptr_t{8});
  effective_context_id_ = 5;
  {
    const SaveRestoreContext saved(std::bit_cast<ContextBase*>(uintptr_t{16}));
    printContext("within");
  }
  printContext("after");

  const std::string module("\0asm\1\0\0\0", 8);
  std::cout << "section:";
  for (const size_t size : {size_t{3}, size_t{300}}) {
    const auto written =
        BytecodeUtil::writeModuleWithCustomSection(module, "name", std::string(size, 'x'));
    std::cout << " " << (written ? written->size() : 0);
    for (size_t i = 8; written && i < 16; ++i) {
      std::cout << (i == 8 ? " (" : ",") << static_cast<int>(static_cast<uint8_t>((*written)[i]));
    }
    std::cout << ")";
  }
  std::cout << "\nno module: "
            << BytecodeUtil::writeModuleWithCustomSection("not a module", "name", "x").has_value()
            << "\n";
}

} // namespace proxy_wasm

int main() {
  proxy_wasm::printLists();
  proxy_wasm::printValues();
  proxy_wasm::printFailure();
  proxy_wasm::printRest();
  return 0;
}
