;; More memories than one, which the runtime does not accept.
(module
  (memory (export "memory") 1)
  (memory (export "other") 1))
