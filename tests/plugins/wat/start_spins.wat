;; The start function never ends.
(module
  (start $start)
  (func $start (loop $again br $again)))
