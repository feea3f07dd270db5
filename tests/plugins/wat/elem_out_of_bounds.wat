;; An element segment that ends past its table.
(module
  (table 1 funcref)
  (elem (i32.const 1) func $f)
  (func $f))
