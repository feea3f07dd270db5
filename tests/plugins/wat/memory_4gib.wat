;; The largest memory of 32 bits: its last byte is at 0xffffffff.
(module
  (memory (export "memory") 65536)
  (func (export "load8") (param i32) (result i32) local.get 0 i32.load8_u)
  (func (export "store8") (param i32 i32) local.get 0 local.get 1 i32.store8))
