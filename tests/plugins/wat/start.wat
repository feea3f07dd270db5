;; The start function calls the host before anything else can.
(module
  (import "env" "started" (func $started))
  (start $start)
  (func $start call $started)
  (func (export "ok") (result i32) i32.const 42))
