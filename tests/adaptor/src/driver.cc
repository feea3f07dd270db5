#include "adaptor-tests/src/driver.h"

#include <atomic>
#include <chrono>
#include <initializer_list>
#include <map>
#include <mutex>
#include <sstream>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_set>
#include <utility>
#include <vector>

#include "adaptor-tests/src/lib.rs.h"
#include "include/proxy-wasm/wasm_vm.h"
#include "rust_vm.h"

namespace proxy_wasm {

// The host's own contexts are no part of this test.
class ContextBase {};

} // namespace proxy_wasm

namespace adaptor {

using proxy_wasm::Word;

namespace {

std::string_view view(rust::Str text) { return {text.data(), text.size()}; }

std::string_view view(rust::Slice<const uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

rust::Vec<uint8_t> bytes(std::string_view text) {
  rust::Vec<uint8_t> out;
  out.reserve(text.size());
  for (const char c : text) {
    out.push_back(static_cast<uint8_t>(c));
  }
  return out;
}

// Of the ABI's WasmResult.
constexpr uint64_t kOk = 0;
constexpr uint64_t kNotFound = 1;
constexpr uint64_t kInvalidMemoryAccess = 6;
constexpr uint64_t kUnimplemented = 12;

// Strings that several threads may add to.
class Log {
public:
  void add(std::string text) {
    const std::lock_guard lock(mutex_);
    lines_.push_back(std::move(text));
  }
  rust::Vec<rust::String> lines() const {
    const std::lock_guard lock(mutex_);
    rust::Vec<rust::String> out;
    for (const auto& line : lines_) {
      out.push_back(rust::String::lossy(line));
    }
    return out;
  }

private:
  mutable std::mutex mutex_;
  std::vector<std::string> lines_;
};

struct Recorder : proxy_wasm::WasmVmIntegration {
  proxy_wasm::WasmVmIntegration* clone() override {
    auto* copy = new Recorder;
    copy->level = level;
    return copy;
  }
  proxy_wasm::LogLevel getLogLevel() override { return level; }
  void error(std::string_view message) override { errors.add("none: " + std::string(message)); }
  void error(proxy_wasm::FailState state, std::string_view message) override {
    errors.add(std::to_string(static_cast<int>(state)) + ": " + std::string(message));
  }
  void trace(std::string_view message) override { traces.add(std::string(message)); }
  bool getNullVmFunction(std::string_view, bool, int, proxy_wasm::NullPlugin*, void*) override {
    return false;
  }

  Log errors;
  Log traces;
  proxy_wasm::LogLevel level = proxy_wasm::LogLevel::info;
};

} // namespace

// Also the context of every call, by which a host function finds its VM, as in the real host.
struct Vm::State : proxy_wasm::ContextBase {
  explicit State(std::unique_ptr<proxy_wasm::WasmVm> wasm_vm) : vm(std::move(wasm_vm)) {}

  Recorder& recorder() { return static_cast<Recorder&>(*vm->integration()); }

  std::string guest_text(uint64_t pointer, uint64_t size) {
    const auto memory = vm->getMemory(pointer, size);
    return memory ? std::string(*memory) : "<out of bounds>";
  }

  // Hands `text` to the guest in memory of the guest's own allocation.
  Word give(std::string_view text, Word pointer, Word size) {
    proxy_wasm::WasmCallWord<1> allocate;
    vm->getFunction("proxy_on_memory_allocate", &allocate);
    if (!allocate) {
      vm->getFunction("malloc", &allocate);
    }
    const uint64_t address = text.empty() || !allocate ? 0 : allocate(this, text.size()).u64_;
    const bool written = vm->setMemory(address, text.size(), text.data()) &&
                         vm->setWord(pointer, address) && vm->setWord(size, text.size());
    return written ? kOk : kInvalidMemoryAccess;
  }

  // Declared first, so that the recorded state outlives the VM.
  Log plugin_log;
  Log host_calls;
  std::string reentry = "inner";
  std::atomic<bool> started = false;
  std::string configuration;
  std::string body;
  std::map<std::string, std::string> headers;
  std::unique_ptr<proxy_wasm::WasmVm> vm;
};

namespace {

Vm::State& current() { return static_cast<Vm::State&>(*proxy_wasm::current_context_); }

template <typename... Args> void record(const char* name, Args... args) {
  std::ostringstream text;
  [[maybe_unused]] const char* separator = "";
  text << name << "(";
  ((text << std::exchange(separator, ", ") << args), ...);
  text << ")";
  current().host_calls.add(text.str());
}

// A host function as the engine calls it: over uint32_t where the host has Words.
template <typename T> using Narrow = typename proxy_wasm::ConvertWordTypeToUint32<T>::type;
template <auto F> struct Native;
template <typename R, typename... Args, R (*F)(Args...)> struct Native<F> {
  static Narrow<R> call(Narrow<Args>... args) { return static_cast<Narrow<R>>(F(args...)); }
};

template <auto F>
void add(proxy_wasm::WasmVm& vm, std::string_view name, std::string_view module = "env") {
  vm.registerCallback(module, name, F, &Native<F>::call);
}

namespace test_functions {

void none() { record("none"); }
void started() { current().started = true; }
Word sum(Word a, Word b) { return a.u64_ + b.u64_; }
void void0() { record("void0"); }
void void4(Word a, Word b, Word c, Word d) { record("void4", a, b, c, d); }
Word word0() { return 0xffffffffU; }
Word word12(Word a, Word b, Word c, Word d, Word e, Word f, Word g, Word h, Word i, Word j, Word k,
            Word l) {
  record("word12", a, b, c, d, e, f, g, h, i, j, k, l);
  return 12;
}
Word WWl(Word a, int64_t b) {
  record("WWl", a, b);
  return 1;
}
Word WWm(Word a, uint64_t b) {
  record("WWm", a, b);
  return 2;
}
Word WWWWWWllWW(Word a, Word b, Word c, Word d, Word e, int64_t f, int64_t g, Word h, Word i) {
  record("WWWWWWllWW", a, b, c, d, e, f, g, h, i);
  return 9;
}
double dd(double value) {
  record("dd", value);
  return value * 2;
}
Word reenter(Word value) {
  Vm::State& state = current();
  proxy_wasm::WasmCallWord<1> inner;
  state.vm->getFunction(state.reentry, &inner);
  const Word result = inner(&state, value);
  // The call restores the context that it found.
  record("reenter", &current() == &state ? "same context" : "lost context");
  return result;
}
void recurse() {
  Vm::State& state = current();
  if (state.vm->isFailed()) {
    return; // the innermost call has ended it all
  }
  proxy_wasm::WasmCallVoid<0> again;
  state.vm->getFunction("through_host", &again);
  again(&state);
}

} // namespace test_functions

namespace proxy_functions {

constexpr uint64_t kHttpRequestBody = 0;
constexpr uint64_t kPluginConfiguration = 7;

std::string* buffer(uint64_t type) {
  switch (type) {
  case kHttpRequestBody:
    return &current().body;
  case kPluginConfiguration:
    return &current().configuration;
  default:
    return nullptr;
  }
}

Word log(Word level, Word pointer, Word size) {
  current().plugin_log.add(std::to_string(level.u64_) + ": " + current().guest_text(pointer, size));
  return kOk;
}
Word get_buffer_bytes(Word type, Word start, Word length, Word pointer, Word size) {
  const std::string* from = buffer(type);
  if (from == nullptr || start > from->size()) {
    return kNotFound;
  }
  return current().give(std::string_view(*from).substr(start, length), pointer, size);
}
Word set_buffer_bytes(Word type, Word start, Word length, Word pointer, Word size) {
  std::string* to = buffer(type);
  if (to == nullptr || start > to->size()) {
    return kNotFound;
  }
  to->replace(start, length, current().guest_text(pointer, size));
  return kOk;
}
// The ABI's form: the count, each pair's two sizes, then the texts, each with a zero byte.
Word get_header_map_pairs(Word, Word pointer, Word size) {
  std::string out;
  const auto number = [&out](size_t value) {
    for (int shift = 0; shift < 32; shift += 8) {
      out.push_back(static_cast<char>(value >> shift));
    }
  };
  number(current().headers.size());
  for (const auto& [name, value] : current().headers) {
    number(name.size());
    number(value.size());
  }
  for (const auto& [name, value] : current().headers) {
    out.append(name).append(1, '\0').append(value).append(1, '\0');
  }
  return current().give(out, pointer, size);
}
Word get_header_map_value(Word, Word name, Word name_size, Word pointer, Word size) {
  const auto& headers = current().headers;
  const auto found = headers.find(current().guest_text(name, name_size));
  return found == headers.end() ? Word(kNotFound) : current().give(found->second, pointer, size);
}
Word set_header_map_value(Word, Word name, Word name_size, Word value, Word value_size) {
  current().headers[current().guest_text(name, name_size)] =
      current().guest_text(value, value_size);
  return kOk;
}
Word remove_header_map_value(Word, Word name, Word name_size) {
  current().headers.erase(current().guest_text(name, name_size));
  return kOk;
}
Word set_property(Word, Word, Word, Word) {
  record("proxy_set_property");
  return kOk;
}
Word get_property(Word, Word, Word, Word) { return kNotFound; }
Word ok0() { return kOk; }
Word ok1(Word) { return kOk; }

// The rest: a plugin may import them, but no test calls them.
template <typename... Words> struct Unimplemented {
  static Word call(Words...) { return kUnimplemented; }
};
// The second parameter is there for its type.
template <typename... Words>
void register_unimplemented(proxy_wasm::WasmVm& vm, Word (*)(Words...),
                            std::initializer_list<const char*> names) {
  for (const char* name : names) {
    add<Unimplemented<Words...>::call>(vm, name);
  }
}

Word environ_sizes_get(Word count, Word size) {
  const bool written = current().vm->setWord(count, 0) && current().vm->setWord(size, 0);
  return written ? 0 : 21; // EFAULT
}
Word environ_get(Word, Word) { return 0; }
Word fd_write(Word fd, Word vectors, Word count, Word written) {
  std::string text;
  for (uint64_t i = 0; i < count; i++) {
    Word pointer;
    Word size;
    if (!current().vm->getWord(vectors + i * 8, &pointer) ||
        !current().vm->getWord(vectors + i * 8 + 4, &size)) {
      return 21; // EFAULT
    }
    text += current().guest_text(pointer, size);
  }
  current().plugin_log.add("fd" + std::to_string(fd.u64_) + ": " + text);
  return current().vm->setWord(written, text.size()) ? 0 : 21;
}
void proc_exit(Word code) { record("proc_exit", code); }

} // namespace proxy_functions

template <typename Call> Call look_up(proxy_wasm::WasmVm& vm, rust::Str name) {
  Call call;
  // A name of its own, gone before the call: the function must not keep a view of it.
  const std::string copy(view(name));
  vm.getFunction(copy, &call);
  return call;
}

} // namespace

Vm::Vm(std::unique_ptr<State> state) : state_(std::move(state)) {}
Vm::~Vm() = default;

std::unique_ptr<Vm> new_vm(const Limits& limits) {
  proxy_wasm::RustVmOptions options;
  options.max_wasm_memory_size_bytes = limits.memory_bytes;
  options.guest_stack_size_bytes = limits.stack_bytes;
  options.call_deadline = std::chrono::milliseconds(limits.deadline_ms);
  options.code_cache_dir = std::string(limits.code_cache_dir);
  auto state = std::make_unique<Vm::State>(proxy_wasm::createRustVm(std::move(options)));
  state->vm->integration() = std::make_unique<Recorder>();
  return std::make_unique<Vm>(std::move(state));
}

void Vm::warm() const { state_->vm->warm(); }

bool Vm::load(rust::Slice<const uint8_t> bytecode, rust::Slice<const uint8_t> precompiled) const {
  return state_->vm->load(view(bytecode), view(precompiled), {});
}

bool Vm::load_named(rust::Slice<const uint8_t> bytecode, uint32_t index, rust::Str name) const {
  return state_->vm->load(view(bytecode), {}, {{index, std::string(view(name))}});
}

bool Vm::link(rust::Str name) const { return state_->vm->link(view(name)); }

bool Vm::link_in_context(rust::Str name) const {
  const proxy_wasm::SaveRestoreContext saved(state_.get());
  return link(name);
}

std::unique_ptr<Vm> Vm::clone_vm() const {
  auto copy = state_->vm->clone();
  return copy == nullptr ? nullptr : std::make_unique<Vm>(std::make_unique<State>(std::move(copy)));
}

rust::Vec<uint8_t> Vm::serialize(rust::Slice<const uint8_t> bytecode) const {
  const auto module = state_->vm->serialize(view(bytecode));
  return module ? bytes(*module) : rust::Vec<uint8_t>();
}

rust::String Vm::engine_name() const { return std::string(state_->vm->getEngineName()); }
rust::String Vm::precompiled_section_name() const {
  return std::string(state_->vm->getPrecompiledSectionName());
}
uint64_t Vm::memory_size() const { return state_->vm->getMemorySize(); }
bool Vm::has_memory(uint64_t pointer, uint64_t size) const {
  const auto memory = state_->vm->getMemory(pointer, size);
  return memory.has_value() && memory->size() == size;
}
rust::Vec<uint8_t> Vm::read(uint64_t pointer, uint64_t size) const {
  const auto memory = state_->vm->getMemory(pointer, size);
  return memory ? bytes(*memory) : rust::Vec<uint8_t>();
}
bool Vm::write(uint64_t pointer, rust::Slice<const uint8_t> data) const {
  return state_->vm->setMemory(pointer, data.size(), data.data());
}
bool Vm::write_nothing(uint64_t pointer) const {
  return state_->vm->setMemory(pointer, 0, nullptr);
}
Found Vm::word(uint64_t pointer) const {
  Word value;
  const bool found = state_->vm->getWord(pointer, &value);
  return {found, value.u64_};
}
bool Vm::set_word(uint64_t pointer, uint64_t value) const {
  return state_->vm->setWord(pointer, value);
}
void Vm::terminate() const { state_->vm->terminate(); }
void Vm::restrict(bool restricted, rust::Vec<rust::String> allowed) const {
  std::unordered_set<std::string> names;
  for (const auto& name : allowed) {
    names.emplace(name);
  }
  state_->vm->setRestrictedCallback(restricted, names);
}
bool Vm::failed() const { return state_->vm->isFailed(); }

bool Vm::call_void(rust::Str name, rust::Slice<const uint64_t> args) const {
  const auto call = [&]<size_t... I>(std::index_sequence<I...>) {
    const auto function = look_up<proxy_wasm::WasmCallVoid<sizeof...(I)>>(*state_->vm, name);
    if (function) {
      function(state_.get(), args[I]...);
    }
    return static_cast<bool>(function);
  };
  switch (args.size()) {
  case 0:
    return call(std::make_index_sequence<0>());
  case 1:
    return call(std::make_index_sequence<1>());
  case 2:
    return call(std::make_index_sequence<2>());
  case 3:
    return call(std::make_index_sequence<3>());
  default:
    return call(std::make_index_sequence<5>());
  }
}

Found Vm::call_word(rust::Str name, rust::Slice<const uint64_t> args) const {
  const auto call = [&]<size_t... I>(std::index_sequence<I...>)->Found {
    const auto function = look_up<proxy_wasm::WasmCallWord<sizeof...(I)>>(*state_->vm, name);
    if (!function) {
      return {false, 0};
    }
    return {true, function(state_.get(), args[I]...).u64_};
  };
  switch (args.size()) {
  case 0:
    return call(std::make_index_sequence<0>());
  case 1:
    return call(std::make_index_sequence<1>());
  case 2:
    return call(std::make_index_sequence<2>());
  default:
    return call(std::make_index_sequence<3>());
  }
}

Found Vm::call_WWlfd(rust::Str name, uint64_t w, uint64_t l, float f, double d) const {
  const auto function = look_up<proxy_wasm::WasmCall_WWlfd>(*state_->vm, name);
  if (!function) {
    return {false, 0};
  }
  return {true, function(state_.get(), w, l, f, d).u64_};
}
uint64_t Vm::call_lf(rust::Str name, float f) const {
  return look_up<proxy_wasm::WasmCall_lf>(*state_->vm, name)(state_.get(), f);
}
float Vm::call_fff(rust::Str name, float f, float g) const {
  return look_up<proxy_wasm::WasmCall_fff>(*state_->vm, name)(state_.get(), f, g);
}
double Vm::call_dfff(rust::Str name, float f, float g, float h) const {
  return look_up<proxy_wasm::WasmCall_dfff>(*state_->vm, name)(state_.get(), f, g, h);
}

void Vm::register_test_functions() const {
  proxy_wasm::WasmVm& vm = *state_->vm;
  add<test_functions::none>(vm, "none");
  add<test_functions::started>(vm, "started");
  add<test_functions::sum>(vm, "sum");
  add<test_functions::void0>(vm, "void0");
  add<test_functions::void4>(vm, "void4");
  add<test_functions::word0>(vm, "word0");
  add<test_functions::word12>(vm, "word12");
  add<test_functions::WWl>(vm, "WWl");
  add<test_functions::WWm>(vm, "WWm");
  add<test_functions::WWWWWWllWW>(vm, "WWWWWWllWW");
  add<test_functions::dd>(vm, "dd");
  add<test_functions::reenter>(vm, "reenter");
  add<test_functions::recurse>(vm, "recurse");
}

void Vm::register_proxy_functions() const {
  proxy_wasm::WasmVm& vm = *state_->vm;
  add<proxy_functions::log>(vm, "proxy_log");
  add<proxy_functions::get_buffer_bytes>(vm, "proxy_get_buffer_bytes");
  add<proxy_functions::set_buffer_bytes>(vm, "proxy_set_buffer_bytes");
  add<proxy_functions::get_header_map_pairs>(vm, "proxy_get_header_map_pairs");
  add<proxy_functions::get_header_map_value>(vm, "proxy_get_header_map_value");
  add<proxy_functions::set_header_map_value>(vm, "proxy_add_header_map_value");
  add<proxy_functions::set_header_map_value>(vm, "proxy_replace_header_map_value");
  add<proxy_functions::remove_header_map_value>(vm, "proxy_remove_header_map_value");
  add<proxy_functions::set_property>(vm, "proxy_set_property");
  add<proxy_functions::get_property>(vm, "proxy_get_property");
  add<proxy_functions::ok0>(vm, "proxy_done");
  add<proxy_functions::ok1>(vm, "proxy_set_effective_context");

  using proxy_functions::register_unimplemented;
  using proxy_wasm::WasmCallbackWord;
  register_unimplemented(vm, WasmCallbackWord<1>(),
                         {"proxy_close_stream", "proxy_continue_stream",
                          "proxy_set_tick_period_milliseconds", "proxy_grpc_cancel",
                          "proxy_grpc_close", "proxy_get_current_time_nanoseconds"});
  register_unimplemented(vm, WasmCallbackWord<3>(),
                         {"proxy_set_header_map_pairs", "proxy_get_status",
                          "proxy_dequeue_shared_queue", "proxy_enqueue_shared_queue",
                          "proxy_register_shared_queue"});
  register_unimplemented(vm, WasmCallbackWord<4>(), {"proxy_grpc_send"});
  register_unimplemented(
      vm, WasmCallbackWord<5>(),
      {"proxy_get_shared_data", "proxy_set_shared_data", "proxy_resolve_shared_queue"});
  register_unimplemented(vm, WasmCallbackWord<6>(), {"proxy_call_foreign_function"});
  register_unimplemented(vm, WasmCallbackWord<8>(), {"proxy_send_local_response"});
  register_unimplemented(vm, WasmCallbackWord<9>(), {"proxy_grpc_stream"});
  register_unimplemented(vm, WasmCallbackWord<10>(), {"proxy_http_call"});
  register_unimplemented(vm, WasmCallbackWord<12>(), {"proxy_grpc_call"});

  const char* const wasi = "wasi_snapshot_preview1";
  add<proxy_functions::environ_sizes_get>(vm, "environ_sizes_get", wasi);
  add<proxy_functions::environ_get>(vm, "environ_get", wasi);
  add<proxy_functions::fd_write>(vm, "fd_write", wasi);
  add<proxy_functions::proc_exit>(vm, "proc_exit", wasi);
}

void Vm::set_reentry(rust::Str name) const { state_->reentry = view(name); }
bool Vm::started() const { return state_->started; }
void Vm::set_configuration(rust::Str text) const { state_->configuration = view(text); }
void Vm::set_header(rust::Str name, rust::Str value) const {
  state_->headers[std::string(view(name))] = view(value);
}
rust::String Vm::header(rust::Str name) const {
  const auto found = state_->headers.find(std::string(view(name)));
  return found == state_->headers.end() ? "<none>" : found->second;
}
void Vm::set_body(rust::Str body) const { state_->body = view(body); }
rust::String Vm::body() const { return state_->body; }
void Vm::set_log_level(uint32_t level) const {
  state_->recorder().level = static_cast<proxy_wasm::LogLevel>(level);
}
rust::Vec<rust::String> Vm::errors() const { return state_->recorder().errors.lines(); }
rust::Vec<rust::String> Vm::traces() const { return state_->recorder().traces.lines(); }
rust::Vec<rust::String> Vm::plugin_log() const { return state_->plugin_log.lines(); }
rust::Vec<rust::String> Vm::host_calls() const { return state_->host_calls.lines(); }

} // namespace adaptor
