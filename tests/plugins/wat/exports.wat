;; Exports of every kind, one function under two names, and odd names.
(module
  (memory (export "memory") 1)
  (table (export "table") 1 funcref)
  (global (export "global") (mut i32) (i32.const 7))
  (func $f (export "first") (export "second") (result i32) i32.const 1)
  (func (export "") (result i32) i32.const 2)
  (func (export "na\c3\afve name") (result i32) i32.const 3))
