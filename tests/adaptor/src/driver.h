// Drives the adaptor as a host would, in shapes that cxx can carry, and records what the
// adaptor reports. Policy-free: what is right is for the Rust tests to say.
#pragma once

#include <cstdint>
#include <memory>

#include "rust/cxx.h"

namespace adaptor {

struct Limits; // shared with Rust
struct Found;  // shared with Rust

class Vm {
public:
  struct State;
  explicit Vm(std::unique_ptr<State> state);
  ~Vm();

  // WasmVm, one to one.
  void warm() const;
  bool load(rust::Slice<const uint8_t> bytecode, rust::Slice<const uint8_t> precompiled) const;
  // With a name for one function.
  bool load_named(rust::Slice<const uint8_t> bytecode, uint32_t index, rust::Str name) const;
  bool link(rust::Str name) const;
  bool link_in_context(rust::Str name) const;
  std::unique_ptr<Vm> clone_vm() const; // null if the adaptor gives none
  rust::Vec<uint8_t> serialize(rust::Slice<const uint8_t> bytecode) const; // empty if none
  rust::String engine_name() const;
  rust::String precompiled_section_name() const;
  uint64_t memory_size() const;
  bool has_memory(uint64_t pointer, uint64_t size) const;
  rust::Vec<uint8_t> read(uint64_t pointer, uint64_t size) const; // empty if out of bounds
  bool write(uint64_t pointer, rust::Slice<const uint8_t> data) const;
  bool write_nothing(uint64_t pointer) const; // zero bytes from a null pointer
  Found word(uint64_t pointer) const;
  bool set_word(uint64_t pointer, uint64_t value) const;
  void terminate() const;
  void restrict(bool restricted, rust::Vec<rust::String> allowed) const;
  bool failed() const;

  // Calls an export of the function type that has as many Words as `args`; "not found" if the
  // adaptor gives a null function. The name it was looked up by is gone when it is called.
  bool call_void(rust::Str name, rust::Slice<const uint64_t> args) const;
  Found call_word(rust::Str name, rust::Slice<const uint64_t> args) const;
  // The types with other than Words.
  Found call_WWlfd(rust::Str name, uint64_t w, uint64_t l, float f, double d) const;
  uint64_t call_lf(rust::Str name, float f) const;
  float call_fff(rust::Str name, float f, float g) const;
  double call_dfff(rust::Str name, float f, float g, float h) const;

  // The functions of tests/plugins/wat, recorded.
  void register_test_functions() const;
  // As much of the Proxy-Wasm and WASI functions as SDK plugins need.
  void register_proxy_functions() const;
  // The export that env.reenter and env.recurse call.
  void set_reentry(rust::Str name) const;
  bool started() const; // env.started was called

  // The request that the Proxy-Wasm functions read and write.
  void set_configuration(rust::Str text) const;
  void set_header(rust::Str name, rust::Str value) const;
  rust::String header(rust::Str name) const;
  void set_body(rust::Str body) const;
  rust::String body() const;

  // What was reported so far.
  void set_log_level(uint32_t level) const;
  rust::Vec<rust::String> errors() const; // "<FailState>: <message>"
  rust::Vec<rust::String> traces() const;
  rust::Vec<rust::String> plugin_log() const; // "<level>: <message>"
  rust::Vec<rust::String> host_calls() const; // "<function>(<arguments>)"

private:
  // All methods are const because Rust shares a Vm between threads for terminate(). Only that
  // one may be called while another runs.
  std::unique_ptr<State> state_;
};

std::unique_ptr<Vm> new_vm(const Limits& limits);

} // namespace adaptor
