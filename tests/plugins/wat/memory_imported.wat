;; Memory that the host is to bring, which no Proxy-Wasm host does.
(module
  (import "env" "memory" (memory 1))
  (func (export "load") (param i32) (result i32) local.get 0 i32.load))
