#include "rust_vm.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <forward_list>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#include "include/proxy-wasm/bytecode_util.h"
#include "include/proxy-wasm/limits.h"
#include "include/proxy-wasm/wasm_vm.h"
#include "include/proxy-wasm/word.h"
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

template <auto Free> struct Deleter {
  template <typename T> void operator()(T* object) const { Free(object); }
};
using ErrorPtr = std::unique_ptr<rust_wasm_error_t, Deleter<&rust_wasm_error_free>>;
using BytesPtr = std::unique_ptr<rust_wasm_bytes_t, Deleter<&rust_wasm_bytes_free>>;
using ModulePtr = std::unique_ptr<rust_wasm_module_t, Deleter<&rust_wasm_module_free>>;
using VmPtr = std::unique_ptr<rust_wasm_vm_t, Deleter<&rust_wasm_vm_free>>;

rust_wasm_slice_t toSlice(std::string_view view) {
  return {reinterpret_cast<const uint8_t*>(view.data()), view.size()};
}

std::string_view toView(rust_wasm_slice_t slice) {
  return {reinterpret_cast<const char*>(slice.data), slice.size};
}

// The cause, and where the guest was when there is such a place.
std::string describe(const ErrorPtr& error) {
  std::string text(toView(rust_wasm_error_message(error.get())));
  const auto backtrace = toView(rust_wasm_error_backtrace(error.get()));
  if (!backtrace.empty()) {
    text.append("\nProxy-Wasm plugin in-VM backtrace:\n").append(backtrace);
  }
  return text;
}

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
constexpr std::array<uint8_t, sizeof...(Ts)> kTypeCodes{typeCode<Ts>()...};

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
    if (linked_) {
      fail(FailState::UnableToInitializeCode, "Failed to load Wasm module: VM is already linked");
      return false;
    }
    rust_wasm_options_t options{};
    if (!succeeded(resolveOptions(options), "Failed to configure Wasm VM")) {
      return false;
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
    if (!succeeded(createVm(), "Failed to create Wasm VM")) {
      return false;
    }
    for (const auto& register_callback : std::exchange(early_callbacks_, {})) {
      register_callback();
    }
    return true;
  }

  bool link(std::string_view debug_name) override {
    if (!succeeded(rust_wasm_vm_link(vm_.get(), toSlice(debug_name)),
                   "Failed to link Wasm module" + define_errors_)) {
      return false;
    }
    memory_ = rust_wasm_vm_memory(vm_.get());
    linked_ = true;
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
  void getFunction(std::string_view function_name, _T* f) override { getExport(function_name, f); }
  FOR_ALL_WASM_VM_EXPORTS(_GET_FUNCTION)
#undef _GET_FUNCTION

#define _REGISTER_CALLBACK(_T)                                                                     \
  void registerCallback(std::string_view module_name, std::string_view function_name, _T,          \
                        typename ConvertFunctionTypeWordToUint32<_T>::type f) override {           \
    registerHostFunction(module_name, function_name, f);                                           \
  }
  FOR_ALL_WASM_VM_IMPORTS(_REGISTER_CALLBACK)
#undef _REGISTER_CALLBACK

private:
  // What the engine passes to a thunk.
  struct HostFunction {
    RustVm* vm;
    rust_wasm_host_fn_t callback; // the host's function, cast
    std::string name;             // "module.function"
  };

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
    memory_ = rust_wasm_vm_memory(vm);
    return nullptr;
  }

  // Takes the error, if any, and reports it.
  bool succeeded(rust_wasm_error_t* error, std::string_view otherwise) {
    if (error == nullptr) {
      return true;
    }
    fail(FailState::UnableToInitializeCode,
         std::string(otherwise).append(": ").append(describe(ErrorPtr(error))));
    return false;
  }

  bool contains(uint64_t pointer, uint64_t size) const {
    return size <= memory_->size && pointer <= memory_->size - size;
  }

  template <typename R, typename... Args>
  void getExport(std::string_view name, std::function<R(ContextBase*, Args...)>* out) {
    *out = nullptr;
    const rust_wasm_func_t* func = nullptr;
    // A hook of the wrong type must not pass for a missing one, or requests bypass the plugin:
    // this makes WasmBase::initialize() fail.
    if (!succeeded(rust_wasm_vm_func(vm_.get(), toSlice(name), signatureOf<R, Args...>(), &func),
                   std::string("Bad function signature for: ").append(name)) ||
        func == nullptr) {
      return;
    }
    *out = [this, func, name = std::string(name)](ContextBase* context, Args... args) -> R {
      const bool log = cmpLogLevel(LogLevel::trace);
      SaveRestoreContext saved_context(context);
      if (log) [[unlikely]] {
        traceCall("[host->vm] ", name, args...);
      }
      rust_wasm_value_t values[std::max<size_t>(sizeof...(Args), 1)];
      [[maybe_unused]] rust_wasm_value_t* value = values;
      (store(*value++, args), ...);
      if (rust_wasm_error_t* error = rust_wasm_func_call(func, values)) [[unlikely]] {
        failCall(name, error);
        return R();
      }
      if constexpr (std::is_void_v<R>) {
        if (log) [[unlikely]] {
          traceReturn("[host<-vm] ", name, "void");
        }
      } else {
        const R result = fetch<R>(values[0]);
        if (log) [[unlikely]] {
          traceReturn("[host<-vm] ", name, print(result));
        }
        return result;
      }
    };
  }

  // Out of line, to keep the frames of calls small.
  [[gnu::cold, gnu::noinline]] void failCall(const std::string& name, rust_wasm_error_t* error) {
    fail(FailState::RuntimeError, "Function: " + name + " failed: " + describe(ErrorPtr(error)));
  }

  template <typename... Args>
  [[gnu::cold, gnu::noinline]] void traceCall(std::string_view arrow, const std::string& name,
                                              Args... args) {
    std::string text = std::string(arrow).append(name).append("(");
    [[maybe_unused]] std::string_view separator;
    ((text.append(std::exchange(separator, ", ")).append(print(args))), ...);
    integration()->trace(text.append(")"));
  }

  [[gnu::cold, gnu::noinline]] void traceReturn(std::string_view arrow, const std::string& name,
                                                std::string_view value) {
    integration()->trace(std::string(arrow).append(name).append(" return: ").append(value));
  }

  template <typename R, typename... Args>
  void registerHostFunction(std::string_view module_name, std::string_view name,
                            R (*callback)(Args...)) {
    define(module_name, name, signatureOf<R, Args...>(),
           reinterpret_cast<rust_wasm_host_fn_t>(&thunk<R, Args...>),
           reinterpret_cast<rust_wasm_host_fn_t>(callback));
  }

  void define(std::string_view module_name, std::string_view name, rust_wasm_signature_t signature,
              rust_wasm_host_fn_t thunk, rust_wasm_host_fn_t callback) {
    if (vm_ == nullptr) { // not loaded yet
      early_callbacks_.push_back(
          [=, this, module_name = std::string(module_name), name = std::string(name)] {
            define(module_name, name, signature, thunk, callback);
          });
      return;
    }
    // The host registers some 150 functions, a module imports a handful.
    const int64_t import =
        rust_wasm_module_import(module_.get(), toSlice(module_name), toSlice(name));
    if (import < 0) {
      return;
    }
    HostFunction& self = host_functions_.emplace_front(
        HostFunction{this, callback, std::string(module_name).append(".").append(name)});
    // A later registration may put it right, so link() reports it.
    if (const ErrorPtr error{rust_wasm_vm_define(vm_.get(), static_cast<uint32_t>(import),
                                                 signature, thunk, &self)}) {
      define_errors_.append(": ").append(describe(error));
    }
  }

  template <typename R, typename... Args> static R thunk(void* data, Args... args) noexcept {
    const auto& self = *static_cast<const HostFunction*>(data);
    RustVm& vm = *self.vm;
    try {
      const bool log = vm.cmpLogLevel(LogLevel::trace);
      if (log) [[unlikely]] {
        vm.traceCall("[vm->host] ", self.name, args...);
      }
      if (!vm.isHostFunctionAllowed(self.name)) [[unlikely]] {
        rust_wasm_vm_trap(vm.vm_.get(), toSlice("restricted_callback: " + self.name));
        return R();
      }
      if (!vm.linked_ && current_context_ == nullptr) [[unlikely]] {
        // The host's functions take a context for granted.
        rust_wasm_vm_trap(vm.vm_.get(), toSlice(self.name + ": called before there is a context"));
        return R();
      }
      const auto callback = reinterpret_cast<R (*)(Args...)>(self.callback);
      if constexpr (std::is_void_v<R>) {
        callback(args...);
        if (log) [[unlikely]] {
          vm.traceReturn("[vm<-host] ", self.name, "void");
        }
      } else {
        const R result = callback(args...);
        if (log) [[unlikely]] {
          vm.traceReturn("[vm<-host] ", self.name, print(result));
        }
        return result;
      }
    } catch (const std::exception& exception) {
      rust_wasm_vm_trap(vm.vm_.get(), toSlice(exception.what()));
    } catch (...) {
      rust_wasm_vm_trap(vm.vm_.get(), toSlice("exception in host function"));
    }
    return R();
  }

  static constexpr rust_wasm_memory_t kNoMemory{nullptr, 0};

  const RustVmOptions options_;
  std::vector<std::function<void()>> early_callbacks_;
  std::string define_errors_;
  bool linked_ = false;
  ModulePtr module_;
  std::forward_list<HostFunction> host_functions_; // before vm_, which points into it
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
