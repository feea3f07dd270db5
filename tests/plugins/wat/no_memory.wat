;; No memory at all.
(module
  (func (export "ok") (result i32) i32.const 42))
