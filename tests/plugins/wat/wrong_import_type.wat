;; Imports a host function under a type that it does not have (see callbacks.wat).
(module
  (import "env" "sum" (func (param i64) (result i64))))
