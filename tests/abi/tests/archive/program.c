// The whole life cycle from C: load, make a VM, link, call, and free.
#include <stdio.h>
#include <stdlib.h>

#include "crash.h"
#include "rust_wasm.h"

bool other_catches_a_panic(void);
bool cpp_catches_an_exception(void);

// (module
//   (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
//   (func (export "trap") unreachable))
static const uint8_t kModule[] = {
    0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00,                         // magic, version
    0x01, 0x0a, 0x02, 0x60, 0x02, 0x7f, 0x7f, 0x01, 0x7f, 0x60, 0x00, 0x00, // types
    0x03, 0x03, 0x02, 0x00, 0x01,                                           // functions
    0x07, 0x0e, 0x02, 0x03, 'a',  'd',  'd',  0x00, 0x00,                   // exports
    0x04, 't',  'r',  'a',  'p',  0x00, 0x01,                               //
    0x0a, 0x0d, 0x02, 0x07, 0x00, 0x20, 0x00, 0x20, 0x01, 0x6a, 0x0b,       // code
    0x03, 0x00, 0x00, 0x0b,
};

static void check(rust_wasm_error_t* error) {
  if (error != NULL) {
    const rust_wasm_slice_t message = rust_wasm_error_message(error);
    fprintf(stderr, "%.*s\n", (int)message.size, (const char*)message.data);
    rust_wasm_error_free(error);
    exit(1);
  }
}

static rust_wasm_slice_t slice(const void* data, size_t size) {
  return (rust_wasm_slice_t){(const uint8_t*)data, size};
}

// With an argument it crashes at the end.
int main(int argc, char** argv) {
  (void)argv;
  watch_crashes();
  rust_wasm_options_t options;
  check(rust_wasm_options_init(&options));
  rust_wasm_module_t* module = NULL;
  check(rust_wasm_module_load(slice(kModule, sizeof(kModule)), slice(NULL, 0), NULL, 0, &options,
                              &module));
  rust_wasm_vm_t* vm = NULL;
  check(rust_wasm_vm_new(module, &options, &vm));
  check(rust_wasm_vm_link(vm, slice("program", 7)));

  const uint8_t types[] = {RUST_WASM_I32, RUST_WASM_I32};
  const rust_wasm_signature_t binary = {slice(types, 2), slice(types, 1)};
  const rust_wasm_func_t* add = NULL;
  check(rust_wasm_vm_func(vm, slice("add", 3), binary, &add));
  rust_wasm_value_t values[2] = {{.i32 = 2}, {.i32 = 3}};
  check(rust_wasm_func_call(add, values));
  printf("2 + 3 = %u; ", (unsigned)values[0].i32);

  const rust_wasm_signature_t nothing = {slice(NULL, 0), slice(NULL, 0)};
  const rust_wasm_func_t* trap = NULL;
  check(rust_wasm_vm_func(vm, slice("trap", 4), nothing, &trap));
  rust_wasm_error_t* error = rust_wasm_func_call(trap, NULL);
  printf("%s; ", rust_wasm_error_code(error) == RUST_WASM_TRAP ? "trap" : "no trap");
  rust_wasm_error_free(error);

  printf("%s, ", other_catches_a_panic() ? "caught" : "not caught");
  printf("%s\n", cpp_catches_an_exception() ? "caught" : "not caught");
  fflush(stdout);
  const int crashed = argc > 1 ? crash_outer(1) : 0;
  rust_wasm_vm_free(vm);
  rust_wasm_module_free(module);
  return crashed;
}
