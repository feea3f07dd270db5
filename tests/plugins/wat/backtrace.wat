;; Traps three calls deep, so that the backtrace has names from the name section, an export
;; and a mangled one to print.
(module
  (func $one (export "one") call $two)
  (func $two call $_ZN6plugin5three17h0123456789abcdefE)
  (func $_ZN6plugin5three17h0123456789abcdefE unreachable))
