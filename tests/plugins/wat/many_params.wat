;; More parameters than the argument registers hold. Weighing each by its position tells
;; whether the stacked ones arrive in order.
(module
  (func (export "weighted") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
    local.get 0
    local.get 1 i32.const 2 i32.mul i32.add
    local.get 2 i32.const 3 i32.mul i32.add
    local.get 3 i32.const 4 i32.mul i32.add
    local.get 4 i32.const 5 i32.mul i32.add
    local.get 5 i32.const 6 i32.mul i32.add
    local.get 6 i32.const 7 i32.mul i32.add
    local.get 7 i32.const 8 i32.mul i32.add
    local.get 8 i32.const 9 i32.mul i32.add
    local.get 9 i32.const 10 i32.mul i32.add
    local.get 10 i32.const 11 i32.mul i32.add
    local.get 11 i32.const 12 i32.mul i32.add))
