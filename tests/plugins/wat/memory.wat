;; A memory to read, write and grow.
(module
  (memory (export "memory") 1)
  (data (i32.const 16) "hello")
  (func (export "load") (param i32) (result i32) local.get 0 i32.load)
  (func (export "store") (param i32 i32) local.get 0 local.get 1 i32.store)
  (func (export "size") (result i32) memory.size)
  (func (export "grow") (param i32) (result i32) local.get 0 memory.grow)
  ;; Grows page by page until refused; returns the pages reached.
  (func (export "grow_to_limit") (result i32)
    loop $again
      i32.const 1
      memory.grow
      i32.const -1
      i32.ne
      br_if $again
    end
    memory.size))
