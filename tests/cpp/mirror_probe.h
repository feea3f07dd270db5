// Uses everything that the adaptor and its tests use of proxy-wasm-cpp-host. mirror_check.cc
// compiles it twice, against the mirror and against the real headers: what differs between the two
// fails in one of them. Hence no include guard.

namespace proxy_wasm {

// `override` holds each signature to the base's; that Probe is not abstract shows that there are no
// further ones.
struct IntegrationProbe : WasmVmIntegration {
  WasmVmIntegration* clone() override { return nullptr; }
  LogLevel getLogLevel() override { return LogLevel::info; }
  void error(std::string_view) override {}
  void error(FailState, std::string_view) override {}
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
  void warm() override {}

  using WasmVm::fail_callbacks_;
  using WasmVm::failed_;
  using WasmVm::integration_;
};
static_assert(!std::is_abstract_v<VmProbe>);

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

// The lists, with neutral types for the host's own, so that mirror_check.cc can compare those of
// the two compilations.
template <typename T> struct Plain { using type = T; };
template <> struct Plain<Word> { using type = mirror_check::Word; };
template <> struct Plain<ContextBase*> { using type = mirror_check::Context; };
template <typename R, typename... Args> struct Plain<std::function<R(Args...)>> {
  using type = std::function<typename Plain<R>::type(typename Plain<Args>::type...)>;
};
template <typename R, typename... Args> struct Plain<R (*)(Args...)> {
  using type = typename Plain<R>::type (*)(typename Plain<Args>::type...);
};

struct Facts {
#define _ITEM(_T) , Plain<_T>::type
  using Exports = mirror_check::List<void FOR_ALL_WASM_VM_EXPORTS(_ITEM)>;
  using Imports = mirror_check::List<void FOR_ALL_WASM_VM_IMPORTS(_ITEM)>;
#undef _ITEM
  static constexpr std::string_view platform = PROXY_WASM_PLATFORM;
  static constexpr std::array enumerators{
      static_cast<int>(FailState::Ok),
      static_cast<int>(FailState::UnableToCreateVm),
      static_cast<int>(FailState::UnableToCloneVm),
      static_cast<int>(FailState::MissingFunction),
      static_cast<int>(FailState::UnableToInitializeCode),
      static_cast<int>(FailState::StartFailed),
      static_cast<int>(FailState::ConfigureFailed),
      static_cast<int>(FailState::RuntimeError),
      static_cast<int>(Cloneable::NotCloneable),
      static_cast<int>(Cloneable::CompiledBytecode),
      static_cast<int>(Cloneable::InstantiatedModule),
      static_cast<int>(LogLevel::trace),
      static_cast<int>(LogLevel::debug),
      static_cast<int>(LogLevel::info),
      static_cast<int>(LogLevel::warn),
      static_cast<int>(LogLevel::error),
      static_cast<int>(LogLevel::critical),
  };
};

} // namespace proxy_wasm
