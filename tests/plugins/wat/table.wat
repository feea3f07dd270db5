;; A table to grow up to the limit, filled from passive and active element segments.
(module
  (table $t 2 funcref)
  (type $nullary (func (result i32)))
  (elem (i32.const 0) func $one)
  (elem $late func $two)
  (func $one (result i32) i32.const 1)
  (func $two (result i32) i32.const 2)
  (func (export "init") i32.const 1 i32.const 0 i32.const 1 table.init $t $late)
  (func (export "call") (param i32) (result i32) local.get 0 call_indirect $t (type $nullary))
  (func (export "grow") (param i32) (result i32) ref.null func local.get 0 table.grow $t))
