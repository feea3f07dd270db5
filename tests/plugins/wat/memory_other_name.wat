;; The only memory is exported, but not as "memory".
(module
  (memory (export "mem") 1)
  (data (i32.const 0) "here"))
