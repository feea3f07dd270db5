;; A memory that is not exported.
(module
  (memory 1)
  (data (i32.const 0) "here")
  (func (export "load") (param i32) (result i32) local.get 0 i32.load))
