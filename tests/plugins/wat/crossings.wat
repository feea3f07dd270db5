;; Crosses to the host as often as asked, to count or time crossings.
(module
  (import "env" "sum" (func $sum (param i32 i32) (result i32)))
  (func (export "repeat") (param $times i32) (result i32)
    (local $sum i32)
    loop $again
      local.get $sum
      i32.const 1
      call $sum
      local.set $sum
      local.get $times
      i32.const 1
      i32.sub
      local.tee $times
      br_if $again
    end
    local.get $sum))
