;; Starts with more memory than the default limit of 1 GiB.
(module
  (memory (export "memory") 32768))
