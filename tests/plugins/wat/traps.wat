;; One export per cause of a trap.
(module
  (memory (export "memory") 1)
  (type $void (func))
  (type $unary (func (param i32) (result i32)))
  (table 3 funcref)
  (elem (i32.const 0) func $unary)
  (func $unary (param i32) (result i32) local.get 0)
  (func (export "unreachable") unreachable)
  (func (export "divide_by_zero") (result i32) i32.const 1 i32.const 0 i32.div_s)
  (func (export "remainder_by_zero") (result i32) i32.const 1 i32.const 0 i32.rem_u)
  (func (export "integer_overflow") (result i32)
    i32.const 0x80000000
    i32.const -1
    i32.div_s)
  (func (export "bad_conversion") (result i32) f32.const nan i32.trunc_f32_s)
  (func (export "memory_read") (result i32) i32.const 0x10000 i32.load)
  (func (export "memory_read_far") (result i32) i32.const -1 i32.load offset=0xffffffff)
  (func (export "memory_write_across_end") i32.const 0xfffd i32.const 1 i32.store)
  (func (export "memory_fill") i32.const 0xffff i32.const 0 i32.const 2 memory.fill)
  (func (export "memory_copy") i32.const 0 i32.const 0xffff i32.const 2 memory.copy)
  (func (export "table_get") i32.const 3 table.get 0 drop)
  (func (export "indirect_out_of_bounds") i32.const 3 call_indirect (type $void))
  (func (export "indirect_null") i32.const 1 call_indirect (type $void))
  (func (export "indirect_wrong_type") i32.const 0 call_indirect (type $void))
  ;; To show that the VM still works after any of them.
  (func (export "ok") (result i32) i32.const 42))
