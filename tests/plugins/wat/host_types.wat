;; Function types from proxy-wasm-cpp-host's lists, both ways: the exports "to_*" pass known
;; values to the host function of the same type, and the others are for the host to call.
(module
  (import "env" "void0" (func $void0))
  (import "env" "void4" (func $void4 (param i32 i32 i32 i32)))
  (import "env" "word0" (func $word0 (result i32)))
  (import "env" "word12" (func $word12
    (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "WWl" (func $WWl (param i32 i64) (result i32)))
  (import "env" "WWm" (func $WWm (param i32 i64) (result i32)))
  (import "env" "WWWWWWllWW" (func $WWWWWWllWW
    (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "env" "dd" (func $dd (param f64) (result f64)))

  (func (export "to_void0") call $void0)
  (func (export "to_void4")
    i32.const 1 i32.const 2 i32.const 3 i32.const -1 call $void4)
  (func (export "to_word0") (result i32) call $word0)
  (func (export "to_word12") (result i32)
    i32.const 1 i32.const 2 i32.const 3 i32.const 4 i32.const 5 i32.const 6
    i32.const 7 i32.const 8 i32.const 9 i32.const 10 i32.const 11 i32.const -1
    call $word12)
  (func (export "to_WWl") (result i32) i32.const 1 i64.const -2 call $WWl)
  (func (export "to_WWm") (result i32) i32.const 1 i64.const -2 call $WWm)
  (func (export "to_WWWWWWllWW") (result i32)
    i32.const 1 i32.const 2 i32.const 3 i32.const 4 i32.const 5
    i64.const -6 i64.const 0x700000000
    i32.const 8 i32.const 9
    call $WWWWWWllWW)
  (func (export "to_dd") (result i32) f64.const 1.5 call $dd i32.trunc_f64_s)

  (func (export "void5") (param i32 i32 i32 i32 i32)
    local.get 0 local.get 1 local.get 2 local.get 3 local.get 4
    i32.add
    call $void4)
  (func (export "word3") (param i32 i32 i32) (result i32)
    local.get 0 local.get 1 i32.sub local.get 2 i32.sub)
  (func (export "WWlfd") (param i32 i64 f32 f64) (result i32)
    local.get 0
    local.get 1 i32.wrap_i64 i32.add
    local.get 2 i32.trunc_f32_s i32.add
    local.get 3 i32.trunc_f64_s i32.add)
  (func (export "lf") (param f32) (result i64) local.get 0 i64.trunc_f32_s)
  (func (export "fff") (param f32 f32) (result f32) local.get 0 local.get 1 f32.sub)
  (func (export "dfff") (param f32 f32 f32) (result f64)
    local.get 0 local.get 1 f32.sub local.get 2 f32.sub f64.promote_f32))
