;; A loop that ends only by termination or a deadline.
(module
  (import "env" "started" (func $started))
  (func (export "spin") (loop $again br $again))
  ;; Tells the host first, which may then terminate it from another thread.
  (func (export "announce_and_spin") call $started (loop $again br $again))
  (func (export "ok") (result i32) i32.const 42))
