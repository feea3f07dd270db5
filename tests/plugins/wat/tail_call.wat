;; Counts down by tail calls, deeper than any stack of ordinary calls.
(module
  (func $down (export "down") (param i32) (result i32)
    local.get 0
    i32.eqz
    if
      i32.const 42
      return
    end
    local.get 0
    i32.const 1
    i32.sub
    return_call $down))
