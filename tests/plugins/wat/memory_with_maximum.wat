;; A memory that the module itself bounds to three pages.
(module
  (memory (export "memory") 1 3)
  (func (export "grow") (param i32) (result i32) local.get 0 memory.grow))
