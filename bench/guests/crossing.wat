(module
  (import "env" "host" (func $host (param i32 i32) (result i32)))
  (import "env" "reenter" (func $reenter (param i32 i32) (result i32)))
  (memory (export "memory") 2)

  (func $add (export "add") (param i32 i32) (result i32)
    (i32.add (local.get 0) (local.get 1)))

  ;; sum = host(sum, n) for n, n - 1, .. 1
  (func (export "call_host") (param $n i32) (result i32) (local $sum i32)
    (loop $again
      (local.set $sum (call $host (local.get $sum) (local.get $n)))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum))

  ;; The same, through a host function that calls "add".
  (func (export "call_reenter") (param $n i32) (result i32) (local $sum i32)
    (loop $again
      (local.set $sum (call $reenter (local.get $sum) (local.get $n)))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum)))
