;; Compute kernels. Each does work in proportion to its argument and returns a value that
;; depends on all of it.
(module
  (memory (export "memory") 32)
  (table funcref (elem $increment $double $flip $rotate))
  (type $step (func (param i32) (result i32)))

  ;; A tight loop of integer arithmetic: the worst case for a check per iteration.
  (func (export "integers") (param $n i32) (result i32) (local $x i32)
    (local.set $x (i32.const 1))
    (loop $again
      (local.set $x
        (i32.xor
          (i32.mul (local.get $x) (i32.const 1664525))
          (i32.add (i32.shr_u (local.get $x) (i32.const 7)) (local.get $n))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $x))

  ;; Reads and writes every word of 64 KiB, n times.
  (func (export "sweep") (param $n i32) (result i32) (local $at i32) (local $sum i32)
    (loop $again
      (local.set $at (i32.const 0))
      (loop $next
        (local.set $sum
          (i32.add (local.get $sum)
            (i32.xor (i32.load (local.get $at)) (local.get $at))))
        (i32.store (local.get $at) (local.get $sum))
        (local.set $at (i32.add (local.get $at) (i32.const 4)))
        (br_if $next (i32.lt_u (local.get $at) (i32.const 0x10000))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    ;; Leaves the memory as it was found, so that every call returns the same.
    (memory.fill (i32.const 0) (i32.const 0) (i32.const 0x10000))
    (local.get $sum))

  ;; Calls and little else: the worst case for a check per function.
  (func $fibonacci (export "fibonacci") (param $n i32) (result i32)
    (if (result i32) (i32.lt_u (local.get $n) (i32.const 2))
      (then (local.get $n))
      (else
        (i32.add
          (call $fibonacci (i32.sub (local.get $n) (i32.const 1)))
          (call $fibonacci (i32.sub (local.get $n) (i32.const 2)))))))

  ;; As a hash: n blocks of 64 rounds on four words of state.
  (func (export "mix") (param $n i32) (result i32)
    (local $a i32) (local $b i32) (local $c i32) (local $d i32) (local $i i32) (local $t i32)
    (local.set $a (i32.const 0x6a09e667))
    (local.set $b (i32.const 0xbb67ae85))
    (local.set $c (i32.const 0x3c6ef372))
    (local.set $d (i32.const 0xa54ff53a))
    (loop $block
      (local.set $i (i32.const 64))
      (loop $round
        (local.set $t
          (i32.add
            (i32.add (local.get $a)
              (i32.xor
                (i32.and (local.get $b) (local.get $c))
                (i32.and (i32.xor (local.get $b) (i32.const -1)) (local.get $d))))
            (i32.add
              (i32.mul (local.get $i) (i32.const 0x9e3779b9))
              (i32.xor
                (i32.rotr (local.get $b) (i32.const 6))
                (i32.xor
                  (i32.rotr (local.get $b) (i32.const 11))
                  (i32.rotr (local.get $b) (i32.const 25)))))))
        (local.set $a (local.get $d))
        (local.set $d (local.get $c))
        (local.set $c (local.get $b))
        (local.set $b (i32.add (local.get $b) (i32.rotl (local.get $t) (i32.const 7))))
        (br_if $round (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
      (br_if $block (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i32.xor
      (i32.xor (local.get $a) (local.get $b))
      (i32.xor (local.get $c) (local.get $d))))

  ;; The number of primes below n, of which the memory holds one byte each.
  (func (export "sieve") (param $n i32) (result i32)
    (local $i i32) (local $j i32) (local $count i32)
    (memory.fill (i32.const 0) (i32.const 0) (local.get $n))
    (local.set $i (i32.const 2))
    (loop $next
      (if (i32.eqz (i32.load8_u (local.get $i)))
        (then
          (local.set $count (i32.add (local.get $count) (i32.const 1)))
          (local.set $j (i32.shl (local.get $i) (i32.const 1)))
          (block $done
            (loop $multiple
              (br_if $done (i32.ge_u (local.get $j) (local.get $n)))
              (i32.store8 (local.get $j) (i32.const 1))
              (local.set $j (i32.add (local.get $j) (local.get $i)))
              (br $multiple)))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $i) (local.get $n))))
    ;; As in "sweep".
    (memory.fill (i32.const 0) (i32.const 0) (local.get $n))
    (local.get $count))

  ;; Indirect calls to small functions.
  (func $increment (type $step) (i32.add (local.get 0) (i32.const 1)))
  (func $double (type $step) (i32.shl (local.get 0) (i32.const 1)))
  (func $flip (type $step) (i32.xor (local.get 0) (i32.const 0x5bd1e995)))
  (func $rotate (type $step) (i32.rotl (local.get 0) (i32.const 5)))
  (func (export "interpreter") (param $n i32) (result i32) (local $x i32)
    (loop $again
      (local.set $x
        (call_indirect (type $step)
          (local.get $x)
          (i32.and (i32.shr_u (local.get $n) (i32.const 2)) (i32.const 3))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $x)))
