;; Sign extension and saturating conversion, which today's toolchains emit by default.
(module
  (func (export "extend8") (param i32) (result i32) local.get 0 i32.extend8_s)
  (func (export "saturate") (param f64) (result i32) local.get 0 i32.trunc_sat_f64_u))
