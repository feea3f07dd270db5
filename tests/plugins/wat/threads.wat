;; Shared memory and atomics, which the runtime does not accept.
(module
  (memory 1 1 shared)
  (func (export "add") (result i32) i32.const 0 i32.const 1 i32.atomic.rmw.add))
