;; A passive segment, copied on demand until it is dropped.
(module
  (memory (export "memory") 1)
  (data $text "passive")
  (func (export "init") (param i32) local.get 0 i32.const 0 i32.const 7 memory.init $text)
  (func (export "drop") data.drop $text))
