#include "rust_vm.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "include/proxy-wasm/bytecode_util.h"
#include "include/proxy-wasm/limits.h"
#include "include/proxy-wasm/wasm_vm.h"
#include "include/proxy-wasm/word.h"
#include "rust_exports.h"
#include "rust_handles.h"
#include "rust_host_functions.h"
#include "rust_wasm.h"

// Older hosts do not name the platform.
#if !defined(PROXY_WASM_PLATFORM) && defined(__linux__) && defined(__x86_64__)
#define PROXY_WASM_PLATFORM "linux_x86_64"
#elif !defined(PROXY_WASM_PLATFORM) && defined(__linux__) && defined(__aarch64__)
#define PROXY_WASM_PLATFORM "linux_aarch64"
#elif !defined(PROXY_WASM_PLATFORM)
#define PROXY_WASM_PLATFORM ""
#endif

namespace proxy_wasm {
namespace {

using namespace rust_vm;

// Older hosts cannot add a section to a module. In a template the call need not exist.
template <typename Util>
std::optional<std::string> addSection(std::string_view bytecode, std::string_view name,
                                      std::string_view contents) {
  if constexpr (requires { Util::writeModuleWithCustomSection(bytecode, name, contents); }) {
    return Util::writeModuleWithCustomSection(bytecode, name, contents);
  } else {
    return std::nullopt;
  }
}

class RustVm : public WasmVm {
public:
  explicit RustVm(RustVmOptions options) : options_(std::move(options)) {}

  std::string_view getEngineName() override { return "rust"; }
  Cloneable cloneable() override { return Cloneable::CompiledBytecode; }
  size_t getWordSize() override { return sizeof(uint32_t); }
  bool usesWasmByteOrder() override { return true; }

  bool load(std::string_view bytecode, std::string_view precompiled,
            const std::unordered_map<uint32_t, std::string>& function_names) override {
    if (host_functions_.linked()) {
      fail(FailState::UnableToInitializeCode, "Failed to load Wasm module: VM is already linked");
      return false;
    }
    rust_wasm_options_t options{};
    if (!succeeded(resolveOptions(options), "Failed to configure Wasm VM")) {
      return false;
    }
    // The host has no level between these two.
    if (const auto warning = toView(rust_wasm_take_warning()); !warning.empty()) {
      integration()->error(std::string("Wasm runtime: ").append(warning));
    }
    std::vector<rust_wasm_name_t> names;
    names.reserve(function_names.size());
    for (const auto& [index, name] : function_names) {
      names.push_back({index, toSlice(name)});
    }
    rust_wasm_module_t* module = nullptr;
    if (!succeeded(rust_wasm_module_load(toSlice(bytecode), toSlice(precompiled), names.data(),
                                         names.size(), &options, &module),
                   "Failed to load Wasm module")) {
      return false;
    }
    module_.reset(module);
    const auto rejection = toView(rust_wasm_module_precompiled_rejection(module));
    if (!rejection.empty() && cmpLogLevel(LogLevel::trace)) {
      integration()->trace(std::string("Wasm module: ").append(rejection));
    }
    return succeeded(createVm(), "Failed to create Wasm VM");
  }

  bool link(std::string_view debug_name) override {
    if (!succeeded(rust_wasm_vm_link(vm_.get(), toSlice(debug_name)),
                   "Failed to link Wasm module" + host_functions_.errors())) {
      return false;
    }
    memory_ = rust_wasm_vm_memory(vm_.get());
    host_functions_.setLinked();
    return true;
  }

  // Runs on a worker's thread, so it only reads what does not change after load().
  std::unique_ptr<WasmVm> clone() override {
    auto clone = std::make_unique<RustVm>(options_);
    clone->integration().reset(integration()->clone());
    if (clone->integration() == nullptr) {
      return nullptr;
    }
    if (module_ != nullptr) {
      clone->module_.reset(rust_wasm_module_clone(module_.get()));
      if (const ErrorPtr error{clone->createVm()}) {
        clone->integration()->error("Failed to clone Wasm VM: " + describe(error));
        return nullptr;
      }
    }
    return clone;
  }

  void terminate() override {
    terminated_ = true;
    if (const rust_wasm_vm_t* vm = running_vm_) {
      rust_wasm_vm_terminate(vm);
    }
  }

  std::string_view getPrecompiledSectionName() override {
    static const std::string name = [] {
      std::string text;
      if (sizeof(PROXY_WASM_PLATFORM) > 1) {
        text.append("precompiled_rust_v").append(toView(rust_wasm_version()));
        text.append("_" PROXY_WASM_PLATFORM);
        std::replace(text.begin(), text.end(), ' ', '_');
      }
      return text;
    }();
    return name;
  }

  // These two are virtual in newer hosts only, so they cannot say `override`. gcc does not know
  // clang's name for the warning.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpragmas"
#pragma GCC diagnostic ignored "-Wsuggest-override"
#pragma GCC diagnostic ignored "-Winconsistent-missing-override"
  void warm() {
    if (const ErrorPtr error{rust_wasm_warm()}) {
      fail(FailState::UnableToCreateVm, "Failed to warm the Wasm engine: " + describe(error));
    }
  }

  std::optional<std::string> serialize(std::string_view original_bytecode) {
    if (module_ == nullptr) {
      return std::nullopt;
    }
    rust_wasm_bytes_t* bytes = nullptr;
    if (const ErrorPtr error{rust_wasm_module_serialize(module_.get(), &bytes)}) {
      integration()->error("Failed to serialize Wasm module: " + describe(error));
      return std::nullopt;
    }
    const BytesPtr owner(bytes);
    return addSection<BytecodeUtil>(original_bytecode, getPrecompiledSectionName(),
                                    toView(rust_wasm_bytes_view(bytes)));
  }
#pragma GCC diagnostic pop

  uint64_t getMemorySize() override { return memory_->size; }

  std::optional<std::string_view> getMemory(uint64_t pointer, uint64_t size) override {
    if (!contains(pointer, size)) {
      return std::nullopt;
    }
    return std::string_view(reinterpret_cast<const char*>(memory_->data) + pointer, size);
  }

  bool setMemory(uint64_t pointer, uint64_t size, const void* data) override {
    if (!contains(pointer, size)) {
      return false;
    }
    if (size > 0) { // memcpy takes no null, not even for nothing
      ::memcpy(memory_->data + pointer, data, size);
    }
    return true;
  }

  bool getWord(uint64_t pointer, Word* word) override {
    uint32_t word32;
    if (!contains(pointer, sizeof(word32))) {
      return false;
    }
    ::memcpy(&word32, memory_->data + pointer, sizeof(word32));
    word->u64_ = wasmtoh(word32, true);
    return true;
  }

  bool setWord(uint64_t pointer, Word word) override {
    const uint32_t word32 = htowasm(word.u32(), true);
    return setMemory(pointer, sizeof(word32), &word32);
  }

#define _GET_FUNCTION(_T)                                                                          \
  void getFunction(std::string_view function_name, _T* f) override {                               \
    getExport(*this, vm_.get(), function_name, f);                                                 \
  }
  FOR_ALL_WASM_VM_EXPORTS(_GET_FUNCTION)
#undef _GET_FUNCTION

#define _REGISTER_CALLBACK(_T)                                                                     \
  void registerCallback(std::string_view module_name, std::string_view function_name, _T,          \
                        typename ConvertFunctionTypeWordToUint32<_T>::type f) override {           \
    host_functions_.add(module_name, function_name, f);                                            \
  }
  FOR_ALL_WASM_VM_IMPORTS(_REGISTER_CALLBACK)
#undef _REGISTER_CALLBACK

private:
  rust_wasm_error_t* resolveOptions(rust_wasm_options_t& out) const {
    if (rust_wasm_error_t* error = rust_wasm_options_init(&out)) {
      return error;
    }
    // Whoever built the host may have set its limit; who runs it has the last word.
    static const bool set_by_operator = [] {
      const char* value = std::getenv("RUST_WASM_MAX_MEMORY_BYTES");
      return value != nullptr && *value != '\0';
    }();
    if (!set_by_operator) {
      out.max_memory_bytes = PROXY_WASM_HOST_MAX_WASM_MEMORY_SIZE_BYTES;
    }
    const auto override_with = [](auto& field, auto value) { field = value > 0 ? value : field; };
    override_with(out.max_memory_bytes, options_.max_wasm_memory_size_bytes);
    override_with(out.guest_stack_bytes, options_.guest_stack_size_bytes);
    override_with(out.call_deadline_ns, options_.call_deadline.count());
    override_with(out.max_backtrace_frames, options_.max_backtrace_frames);
    if (!options_.code_cache_dir.empty()) {
      out.cache_dir = toSlice(options_.code_cache_dir);
    }
    return nullptr;
  }

  rust_wasm_error_t* createVm() {
    rust_wasm_options_t options{};
    if (rust_wasm_error_t* error = resolveOptions(options)) {
      return error;
    }
    rust_wasm_vm_t* vm = nullptr;
    if (rust_wasm_error_t* error = rust_wasm_vm_new(module_.get(), &options, &vm)) {
      return error;
    }
    // terminate() writes terminated_ and then reads running_vm_, this does it the other way round:
    // at least one of them sees the other.
    running_vm_ = vm;
    if (terminated_) {
      rust_wasm_vm_terminate(vm);
    }
    vm_.reset(vm);
    host_functions_.attach(module_.get(), vm);
    memory_ = rust_wasm_vm_memory(vm);
    return nullptr;
  }

  bool succeeded(rust_wasm_error_t* error, std::string_view otherwise) {
    return rust_vm::succeeded(*this, error, otherwise);
  }

  bool contains(uint64_t pointer, uint64_t size) const {
    return size <= memory_->size && pointer <= memory_->size - size;
  }

  static constexpr rust_wasm_memory_t kNoMemory{nullptr, 0};

  const RustVmOptions options_;
  ModulePtr module_;
  HostFunctions host_functions_{*this}; // before vm_, which points into it
  VmPtr vm_;
  const rust_wasm_memory_t* memory_ = &kNoMemory;
  // For terminate(), on any thread.
  std::atomic<bool> terminated_ = false;
  std::atomic<const rust_wasm_vm_t*> running_vm_ = nullptr;
};

} // namespace

std::unique_ptr<WasmVm> createRustVm(RustVmOptions options) {
  return std::make_unique<RustVm>(std::move(options));
}

} // namespace proxy_wasm
