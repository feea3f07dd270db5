// The engine in the real host.
#include "cpp/rust_vm.h"
#include "tests/bazel/plugin_run.h"

int main() { return plugin_run::run(proxy_wasm::createRustVm()); }
