;; Throws and catches its own exception; "uncaught" lets it escape to the host.
(module
  (tag $e (param i32))
  (func (export "caught") (param i32) (result i32)
    block $handler (result i32)
      try_table (catch $e $handler)
        local.get 0
        throw $e
      end
      unreachable
    end)
  (func (export "uncaught")
    i32.const 1
    throw $e))
