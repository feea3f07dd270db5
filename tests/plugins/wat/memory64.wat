;; A 64-bit memory, which the runtime does not accept.
(module
  (memory (export "memory") i64 1))
