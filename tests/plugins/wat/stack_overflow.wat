;; Recursion without end: with small frames, with large ones, and through the host and back.
(module
  (import "env" "recurse" (func $recurse))
  (func $small (export "small") (result i32)
    call $small
    i32.const 1
    i32.add)
  ;; Each value is needed after the call, so each has a place in the frame.
  (func $large (export "large") (param i32) (result i32)
    (local i32 i32 i32 i32)
    local.get 0 i32.const 3 i32.mul local.tee 1
    i32.const 5 i32.xor local.tee 2
    i32.const 7 i32.mul local.tee 3
    i32.const 9 i32.xor local.tee 4
    call $large
    local.get 1 i32.add
    local.get 2 i32.mul
    local.get 3 i32.add
    local.get 4 i32.mul)
  (func (export "through_host") call $recurse))
