;; Adds four lanes at once and returns their sum.
(module
  (func (export "sum") (param i32) (result i32)
    (local $v v128)
    local.get 0
    i32x4.splat
    v128.const i32x4 1 2 3 4
    i32x4.add
    local.tee $v
    i32x4.extract_lane 0
    local.get $v
    i32x4.extract_lane 1
    i32.add
    local.get $v
    i32x4.extract_lane 2
    i32.add
    local.get $v
    i32x4.extract_lane 3
    i32.add))
