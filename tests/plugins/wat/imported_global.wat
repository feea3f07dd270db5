;; Imports a global, which the host does not provide.
(module
  (import "env" "global" (global i32)))
