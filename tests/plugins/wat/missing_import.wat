;; Imports what no host has.
(module
  (import "env" "no_such_function" (func (param i32) (result i32))))
