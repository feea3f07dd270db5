;; The least of a Proxy-Wasm plugin: the ABI marker, an allocator, and one hook.
(module
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 8) "hello")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) i32.const 1024)
  (func (export "proxy_on_context_create") (param i32 i32)
    i32.const 2
    i32.const 8
    i32.const 5
    call $log
    drop))
