// A mirror of the part of proxy-wasm-cpp-host (f2db56a) that the adaptor uses, so that tests build
// without a checkout of the host. mirror_probe.cc, given a checkout, finds where the two differ.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "sdk.h"
#include "word.h"

#if defined(__linux__) && defined(__x86_64__)
#define PROXY_WASM_PLATFORM "linux_x86_64"
#elif defined(__linux__) && defined(__aarch64__)
#define PROXY_WASM_PLATFORM "linux_aarch64"
#else
#define PROXY_WASM_PLATFORM ""
#endif

namespace proxy_wasm {

class ContextBase;
class NullPlugin;

namespace mirror_detail {
template <size_t> using WordAt = Word;
template <typename R, typename Indices> struct Functions;
template <typename R, size_t... I> struct Functions<R, std::index_sequence<I...>> {
  using Call = std::function<R(ContextBase*, WordAt<I>...)>;
  using Callback = R (*)(WordAt<I>...);
};
template <size_t N, typename R> using FunctionsOf = Functions<R, std::make_index_sequence<N>>;
} // namespace mirror_detail

// Host to guest.
template <size_t N> using WasmCallVoid = typename mirror_detail::FunctionsOf<N, void>::Call;
template <size_t N> using WasmCallWord = typename mirror_detail::FunctionsOf<N, Word>::Call;
using WasmCall_WWlfd = std::function<Word(ContextBase*, Word, uint64_t, float, double)>;
using WasmCall_lf = std::function<uint64_t(ContextBase*, float)>;
using WasmCall_fff = std::function<float(ContextBase*, float, float)>;
using WasmCall_dfff = std::function<double(ContextBase*, float, float, float)>;

// clang-format off
#define FOR_ALL_WASM_VM_EXPORTS(_f)                                                                \
  _f(proxy_wasm::WasmCallVoid<0>) _f(proxy_wasm::WasmCallVoid<1>) _f(proxy_wasm::WasmCallVoid<2>)  \
  _f(proxy_wasm::WasmCallVoid<3>) _f(proxy_wasm::WasmCallVoid<5>)                                  \
  _f(proxy_wasm::WasmCallWord<0>) _f(proxy_wasm::WasmCallWord<1>) _f(proxy_wasm::WasmCallWord<2>)  \
  _f(proxy_wasm::WasmCallWord<3>)                                                                  \
  _f(proxy_wasm::WasmCall_WWlfd) _f(proxy_wasm::WasmCall_lf)                                       \
  _f(proxy_wasm::WasmCall_fff) _f(proxy_wasm::WasmCall_dfff)

// Guest to host.
template <size_t N> using WasmCallbackVoid = typename mirror_detail::FunctionsOf<N, void>::Callback;
template <size_t N> using WasmCallbackWord = typename mirror_detail::FunctionsOf<N, Word>::Callback;
using WasmCallback_WWl = Word (*)(Word, int64_t);
using WasmCallback_WWlWW = Word (*)(Word, int64_t, Word, Word);
using WasmCallback_WWm = Word (*)(Word, uint64_t);
using WasmCallback_WWmW = Word (*)(Word, uint64_t, Word);
using WasmCallback_WWWWWWllWW =
    Word (*)(Word, Word, Word, Word, Word, int64_t, int64_t, Word, Word);
using WasmCallback_WWWWmm = Word (*)(Word, Word, Word, Word, uint64_t, uint64_t);
using WasmCallback_WWWWmmW = Word (*)(Word, Word, Word, Word, uint64_t, uint64_t, Word);
using WasmCallback_WWmm = Word (*)(Word, uint64_t, uint64_t);
using WasmCallback_WWmmW = Word (*)(Word, uint64_t, uint64_t, Word);
using WasmCallback_WWWWmW = Word (*)(Word, Word, Word, uint64_t, Word);
using WasmCallback_dd = double (*)(double);

#define FOR_ALL_WASM_VM_IMPORTS(_f)                                                                \
  _f(proxy_wasm::WasmCallbackVoid<0>) _f(proxy_wasm::WasmCallbackVoid<1>)                          \
  _f(proxy_wasm::WasmCallbackVoid<2>) _f(proxy_wasm::WasmCallbackVoid<3>)                          \
  _f(proxy_wasm::WasmCallbackVoid<4>) _f(proxy_wasm::WasmCallbackWord<0>)                          \
  _f(proxy_wasm::WasmCallbackWord<1>) _f(proxy_wasm::WasmCallbackWord<2>)                          \
  _f(proxy_wasm::WasmCallbackWord<3>) _f(proxy_wasm::WasmCallbackWord<4>)                          \
  _f(proxy_wasm::WasmCallbackWord<5>) _f(proxy_wasm::WasmCallbackWord<6>)                          \
  _f(proxy_wasm::WasmCallbackWord<7>) _f(proxy_wasm::WasmCallbackWord<8>)                          \
  _f(proxy_wasm::WasmCallbackWord<9>) _f(proxy_wasm::WasmCallbackWord<10>)                         \
  _f(proxy_wasm::WasmCallbackWord<12>) _f(proxy_wasm::WasmCallback_WWl)                            \
  _f(proxy_wasm::WasmCallback_WWlWW) _f(proxy_wasm::WasmCallback_WWm)                              \
  _f(proxy_wasm::WasmCallback_WWmW) _f(proxy_wasm::WasmCallback_WWWWWWllWW)                        \
  _f(proxy_wasm::WasmCallback_WWWWmm) _f(proxy_wasm::WasmCallback_WWWWmmW)                         \
  _f(proxy_wasm::WasmCallback_WWmm) _f(proxy_wasm::WasmCallback_WWmmW)                             \
  _f(proxy_wasm::WasmCallback_WWWWmW) _f(proxy_wasm::WasmCallback_dd)
// clang-format on

enum class Cloneable { NotCloneable, CompiledBytecode, InstantiatedModule };

enum class FailState : int {
  Ok,
  UnableToCreateVm,
  UnableToCloneVm,
  MissingFunction,
  UnableToInitializeCode,
  StartFailed,
  ConfigureFailed,
  RuntimeError,
};

struct WasmVmIntegration {
  virtual ~WasmVmIntegration() = default;
  virtual WasmVmIntegration* clone() = 0;
  virtual LogLevel getLogLevel() = 0;
  virtual void error(std::string_view message) = 0;
  virtual void error(FailState, std::string_view message) { error(message); }
  virtual void trace(std::string_view message) = 0;
  virtual bool getNullVmFunction(std::string_view function_name, bool returns_word,
                                 int number_of_arguments, NullPlugin* plugin,
                                 void* ptr_to_function_return) = 0;
};

class WasmVm {
public:
  virtual ~WasmVm() = default;

  virtual std::string_view getEngineName() = 0;
  virtual Cloneable cloneable() = 0;
  virtual std::unique_ptr<WasmVm> clone() = 0;
  virtual bool load(std::string_view bytecode, std::string_view precompiled,
                    const std::unordered_map<uint32_t, std::string>& function_names) = 0;
  virtual std::optional<std::string> serialize(std::string_view original_bytecode) = 0;
  virtual bool link(std::string_view debug_name) = 0;
  virtual uint64_t getMemorySize() = 0;
  virtual std::optional<std::string_view> getMemory(uint64_t pointer, uint64_t size) = 0;
  virtual bool setMemory(uint64_t pointer, uint64_t size, const void* data) = 0;
  virtual bool getWord(uint64_t pointer, Word* data) = 0;
  virtual bool setWord(uint64_t pointer, Word data) = 0;
  virtual size_t getWordSize() = 0;
  virtual std::string_view getPrecompiledSectionName() = 0;
#define _GET_FUNCTION(_T) virtual void getFunction(std::string_view function_name, _T* f) = 0;
  FOR_ALL_WASM_VM_EXPORTS(_GET_FUNCTION)
#undef _GET_FUNCTION
#define _REGISTER_CALLBACK(_T)                                                                     \
  virtual void registerCallback(std::string_view module_name, std::string_view function_name,      \
                                _T f, typename ConvertFunctionTypeWordToUint32<_T>::type) = 0;
  FOR_ALL_WASM_VM_IMPORTS(_REGISTER_CALLBACK)
#undef _REGISTER_CALLBACK
  virtual void terminate() = 0;
  virtual bool usesWasmByteOrder() = 0;
  virtual void warm() {}

  bool isFailed() { return failed_ != FailState::Ok; }
  void fail(FailState state, std::string_view message) {
    integration()->error(state, message);
    failed_ = state;
    for (const auto& callback : fail_callbacks_) {
      callback(state);
    }
  }
  void addFailCallback(std::function<void(FailState)> callback) {
    fail_callbacks_.push_back(std::move(callback));
  }
  bool isHostFunctionAllowed(const std::string& name) {
    return !restricted_ || allowed_.contains(name);
  }
  void setRestrictedCallback(bool restricted, std::unordered_set<std::string> allowed = {}) {
    restricted_ = restricted;
    allowed_ = std::move(allowed);
  }
  std::unique_ptr<WasmVmIntegration>& integration() { return integration_; }
  bool cmpLogLevel(LogLevel level) { return integration_->getLogLevel() <= level; }

protected:
  std::unique_ptr<WasmVmIntegration> integration_;
  FailState failed_ = FailState::Ok;
  std::vector<std::function<void(FailState)>> fail_callbacks_;

private:
  bool restricted_ = false;
  std::unordered_set<std::string> allowed_;
};

// Defined here, where the host only declares them, as there is no library behind the mirror.
inline thread_local ContextBase* current_context_ = nullptr;
inline thread_local uint32_t effective_context_id_ = 0;

struct SaveRestoreContext {
  explicit SaveRestoreContext(ContextBase* context)
      : saved_context(std::exchange(current_context_, context)),
        saved_effective_context_id_(std::exchange(effective_context_id_, 0)) {}
  ~SaveRestoreContext() {
    current_context_ = saved_context;
    effective_context_id_ = saved_effective_context_id_;
  }
  ContextBase* saved_context;
  uint32_t saved_effective_context_id_;
};

} // namespace proxy_wasm
