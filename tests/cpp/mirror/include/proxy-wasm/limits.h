// Part of the mirror of proxy-wasm-cpp-host: see wasm_vm.h.
#pragma once

// Bytes. A build of the host may define another.
#ifndef PROXY_WASM_HOST_MAX_WASM_MEMORY_SIZE_BYTES
#define PROXY_WASM_HOST_MAX_WASM_MEMORY_SIZE_BYTES (1024 * 1024 * 1024)
#endif
