;; The guest calls the host, which calls the guest again: "outer" to `reenter` to "inner".
(module
  (import "env" "reenter" (func $reenter (param i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "outer") (param i32) (result i32)
    local.get 0
    call $reenter
    i32.const 1
    i32.add)
  (func (export "inner") (param i32) (result i32)
    local.get 0
    i32.const 10
    i32.mul)
  (func (export "inner_trap") (param i32) (result i32) unreachable)
  (func (export "inner_grow") (param i32) (result i32) local.get 0 memory.grow))
