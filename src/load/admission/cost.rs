//! What things cost the compiler, and how much a module may cost.
//!
//! Measured with Cranelift of wasmer 7.4, by modules that have one thing many times, on one
//! core of 2 to 3 GHz. Real plugins came to 0.5 to 1.5 µs of time for each byte.

use std::time::Duration;

use crate::error::{Code, Error, Result};

/// Time that a module may cost, in nanoseconds of one core: for each byte of it, and at least.
const NANOS_PER_BYTE: u64 = 8_000;
const MIN_NANOS: u64 = 200_000_000;

/// Memory that compiling it may take, in bytes: for each byte of it, and at least.
const MEMORY_PER_BYTE: u64 = 300;
const MIN_MEMORY: u64 = 112 << 20;

/// One thing's cost: nanoseconds, and bytes of memory until its function is compiled.
#[derive(Clone, Copy)]
pub(super) struct Price(u64, u64);

/// A function, whatever is in it.
const FUNCTION: Price = Price(17_000, 0);
/// A type or an import: a trampoline is compiled for each. For each of its values, and for
/// each pair of those.
const TYPE: Price = Price(25_000, 0);
const TYPE_VALUE: Price = Price(3_000, 0);
const TYPE_VALUES_SQUARED: Price = Price(10, 0);
/// What stays until the module is loaded: of a function, a type or an import, of each value
/// of a type, and of an operator.
const KEPT: u64 = 1_200;
const KEPT_VALUE: u64 = 200;
const KEPT_OPERATOR: u64 = 20;

pub(super) const OPERATOR: Price = Price(500, 160);
pub(super) const BLOCK: Price = Price(3_000, 1_300);
/// An interrupt check, at a loop or after a call.
pub(super) const CHECK: Price = Price(20_000, 6_500);
/// A loop, for each loop around it.
pub(super) const DEPTH: Price = Price(10, 0);
pub(super) const CALL: Price = Price(6_000, 1_600);
/// An argument or a result of a call.
pub(super) const CALL_VALUE: Price = Price(8_000, 1_200);
/// A parameter or a result of a function; a result that is returned.
pub(super) const FUNCTION_VALUE: Price = Price(300, 30);
pub(super) const RETURN_VALUE: Price = Price(1_000, 100);
/// A call of a library function of wasmer's, as for `table.get`.
pub(super) const LIBRARY_CALL: Price = Price(9_000, 4_500);
/// An operator on vectors, and one that is many instructions.
pub(super) const VECTOR: Price = Price(4_000, 1_800);
pub(super) const LONG_VECTOR: Price = Price(15_000, 6_000);
pub(super) const HANDLER: Price = Price(100_000, 15_000);
/// A target of a branch, and each value that is carried to it.
pub(super) const EDGE: Price = Price(100, 20);
pub(super) const EDGE_VALUE: Price = Price(500, 50);
pub(super) const LOCAL: Price = Price(100, 10);
/// A local that is used in a function, for each block there.
pub(super) const LOCAL_IN_BLOCK: Price = Price(100, 21);
/// A local that is used in a loop; one that is assigned there, and each pair of those.
pub(super) const USED_IN_LOOP: Price = Price(1_500, 50);
pub(super) const ASSIGNED_IN_LOOP: Price = Price(0, 1_000);
pub(super) const ASSIGNED_IN_LOOPS_SQUARED: Price = Price(1, 0);
/// An assignment that may be merged with others where ways meet; for each local that is
/// assigned.
pub(super) const MERGED: Price = Price(0, 2_500);
pub(super) const MERGED_WITH: Price = Price(115, 0);

/// What one function costs, with what costs most of it.
#[derive(Default)]
pub(super) struct Cost {
    nanos: u64,
    memory: u64,
    operators: u64,
    most: (u64, &'static str),
}

impl Cost {
    pub(super) fn new(operators: u64) -> Self {
        Self {
            operators,
            ..Self::default()
        }
    }

    pub(super) fn add(&mut self, count: u64, price: Price, what: &'static str) {
        let Price(nanos, memory) = price;
        let nanos = count.saturating_mul(nanos);
        self.nanos = self.nanos.saturating_add(nanos);
        self.memory = self.memory.saturating_add(count.saturating_mul(memory));
        if nanos > self.most.0 {
            self.most = (nanos, what);
        }
    }
}

/// What a module costs, as far as it has been read.
#[derive(Default)]
pub(super) struct Total {
    nanos: u64,
    kept: u64,
    /// Of the two functions with the most: so many are compiled at a time, on two cores.
    memory: [u64; 2],
    /// What costs most: all types, all imports, or one function.
    types: u64,
    imports: u64,
    function: (u64, usize, &'static str),
}

impl Total {
    pub(super) fn add_type(&mut self, values: u64) {
        self.types = self.types.saturating_add(self.add_trampoline(values));
    }

    pub(super) fn add_import(&mut self, values: u64) {
        self.imports = self.imports.saturating_add(self.add_trampoline(values));
    }

    /// Returns the time.
    fn add_trampoline(&mut self, values: u64) -> u64 {
        let each = TYPE_VALUE
            .0
            .saturating_add(values.saturating_mul(TYPE_VALUES_SQUARED.0));
        let nanos = TYPE.0.saturating_add(values.saturating_mul(each));
        self.nanos = self.nanos.saturating_add(nanos);
        self.keep(values, KEPT_VALUE);
        nanos
    }

    /// What stays of a thing, with so much for each of its parts.
    fn keep(&mut self, parts: u64, each: u64) {
        let memory = KEPT.saturating_add(parts.saturating_mul(each));
        self.kept = self.kept.saturating_add(memory);
    }

    pub(super) fn add_function(&mut self, index: usize, cost: &Cost) {
        let nanos = cost.nanos.saturating_add(FUNCTION.0);
        self.nanos = self.nanos.saturating_add(nanos);
        self.keep(cost.operators, KEPT_OPERATOR);
        let [first, second] = self.memory;
        self.memory = match cost.memory {
            it if it > first => [it, first],
            it => [first, second.max(it)],
        };
        if nanos > self.function.0 {
            self.function = (nanos, index, cost.most.1);
        }
    }

    /// # Errors
    /// [`Code::InvalidModule`] if that is more than a module of this size may cost.
    pub(super) fn check(&self, bytes: usize) -> Result<()> {
        let may = |each: u64, least: u64| least.max(each.saturating_mul(bytes as u64));
        let nanos = may(NANOS_PER_BYTE, MIN_NANOS);
        let may_take = may(MEMORY_PER_BYTE, MIN_MEMORY);
        let memory = self
            .memory
            .iter()
            .fold(self.kept, |sum, it| sum.saturating_add(*it));
        if self.nanos <= nanos && memory <= may_take {
            return Ok(());
        }
        let seconds = |nanos: u64| Duration::from_millis(nanos / 1_000_000).as_secs_f64();
        let (function, index, what) = self.function;
        let most = if function > self.types.max(self.imports) {
            format!("the {what} of function {index}")
        } else if self.types > self.imports {
            "its types".to_owned()
        } else {
            "its imports".to_owned()
        };
        Err(Error::new(
            Code::InvalidModule,
            format!(
                "to compile this module would take some {:.2} s and {} MB, where one of {bytes} \
                 bytes may take {:.2} s and {} MB; most of it for {most}",
                seconds(self.nanos),
                memory >> 20,
                seconds(nanos),
                may_take >> 20,
            ),
        ))
    }
}
