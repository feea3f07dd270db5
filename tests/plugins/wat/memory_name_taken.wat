;; "memory" is exported, but is a function.
(module
  (memory (export "mem") 1)
  (func (export "memory")))
