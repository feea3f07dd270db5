;; Data segments at both ends of the initial memory, across a page border, and overlapping:
;; the later segment wins.
(module
  (memory (export "memory") 3)
  (data (i32.const 0) "first")
  (data (i32.const 65533) "border")
  (data (i32.const 100) "aaaaaa")
  (data (i32.const 102) "bb")
  (data (i32.const 196604) "last"))
