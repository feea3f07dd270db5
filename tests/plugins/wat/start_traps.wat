;; The start function traps.
(module
  (start $start)
  (func $start unreachable))
