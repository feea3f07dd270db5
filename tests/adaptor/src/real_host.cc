// What a checkout of proxy-wasm-cpp-host defines beside its hostcalls, which this test leaves
// out. The mirror defines them inline.
#include "include/proxy-wasm/wasm_vm.h"

namespace proxy_wasm {

thread_local ContextBase* current_context_ = nullptr;
thread_local uint32_t effective_context_id_ = 0;

} // namespace proxy_wasm
