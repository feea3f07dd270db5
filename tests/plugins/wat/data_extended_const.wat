;; A data segment whose offset is computed (the extended-const proposal).
(module
  (memory (export "memory") 1)
  (data (offset (i32.add (i32.const 32) (i32.const 8))) "forty"))
