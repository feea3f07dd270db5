;; Every value type, as parameter and as result; the value must come back bit for bit.
(module
  (func (export "none"))
  (func (export "i32") (param i32) (result i32) local.get 0)
  (func (export "i64") (param i64) (result i64) local.get 0)
  (func (export "f32") (param f32) (result f32) local.get 0)
  (func (export "f64") (param f64) (result f64) local.get 0)
  (func (export "mixed") (param i32 i64 f32 f64) (result f64)
    local.get 0
    f64.convert_i32_u
    local.get 1
    f64.convert_i64_u
    f64.add
    local.get 2
    f64.promote_f32
    f64.add
    local.get 3
    f64.add))
