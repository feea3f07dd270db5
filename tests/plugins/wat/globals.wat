;; State of one VM, which its clones must not share.
(module
  (global $count (mut i32) (i32.const 0))
  (memory (export "memory") 1)
  (func (export "count") (result i32)
    global.get $count
    i32.const 1
    i32.add
    global.set $count
    global.get $count)
  ;; The same, kept in memory.
  (func (export "count_in_memory") (result i32)
    i32.const 0
    i32.const 0
    i32.load
    i32.const 1
    i32.add
    i32.store
    i32.const 0
    i32.load))
