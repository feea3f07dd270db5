;; A data segment that ends one byte past the memory; the one before it is still written.
(module
  (memory (export "memory") 1)
  (data (i32.const 0) "written")
  (data (i32.const 65533) "over"))
