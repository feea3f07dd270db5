;; Endless, though no loop stands in it and the stack stays shallow: each call doubles the
;; calls that are to be made, 2^62 in all.
(module
  (func $double (export "double") (param $depth i32)
    local.get $depth
    i32.const 62
    i32.ge_u
    if return end
    local.get $depth i32.const 1 i32.add call $double
    local.get $depth i32.const 1 i32.add call $double))
