;; Hands its arguments to a host function of the same type and returns what that returns.
(module
  (import "env" "none" (func $none))
  (import "env" "i32" (func $i32 (param i32) (result i32)))
  (import "env" "i64" (func $i64 (param i64) (result i64)))
  (import "env" "f32" (func $f32 (param f32) (result f32)))
  (import "env" "f64" (func $f64 (param f64) (result f64)))
  (import "env" "sum" (func $sum (param i32 i32) (result i32)))
  (func (export "none") call $none)
  (func (export "i32") (param i32) (result i32) local.get 0 call $i32)
  (func (export "i64") (param i64) (result i64) local.get 0 call $i64)
  (func (export "f32") (param f32) (result f32) local.get 0 call $f32)
  (func (export "f64") (param f64) (result f64) local.get 0 call $f64)
  (func (export "sum") (param i32 i32) (result i32) local.get 0 local.get 1 call $sum))
