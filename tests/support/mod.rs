//! What the runtime's tests share: guests in the text format, host functions as closures,
//! calls with checked values.
#![allow(
    dead_code,
    reason = "every test program uses its own part of this module"
)]

pub(crate) mod bytes;
pub(crate) mod host;
pub(crate) mod random;

use rust_wasm::{Code, Error, Module, Options, Result, Terminator, Type, Value, Vm};

/// The least number for which `holds`: it does for all from there on to `high`, and not for 0.
pub(crate) fn least(high: u32, holds: impl Fn(u32) -> bool) -> u32 {
    let (mut not, mut holding) = (0, high);
    while not + 1 < holding {
        let middle = not.midpoint(holding);
        if holds(middle) {
            holding = middle;
        } else {
            not = middle;
        }
    }
    holding
}

/// A WebAssembly number with its type. Floats are bits, so that NaNs compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Val {
    I32(u32),
    I64(u64),
    F32(u32),
    F64(u64),
}

impl Val {
    pub(crate) fn ty(self) -> Type {
        match self {
            Self::I32(_) => Type::I32,
            Self::I64(_) => Type::I64,
            Self::F32(_) => Type::F32,
            Self::F64(_) => Type::F64,
        }
    }

    fn slot(self) -> Value {
        match self {
            Self::I32(bits) | Self::F32(bits) => bits.into(),
            Self::I64(bits) | Self::F64(bits) => bits.into(),
        }
    }

    fn read(ty: Type, slot: Value) -> Self {
        // SAFETY: all bit patterns are valid for integers.
        let (low, all) = unsafe { (slot.i32, slot.i64) };
        match ty {
            Type::I32 => Self::I32(low),
            Type::I64 => Self::I64(all),
            Type::F32 => Self::F32(low),
            Type::F64 => Self::F64(all),
            _ => panic!("no number: {ty}"),
        }
    }
}

impl From<u32> for Val {
    fn from(value: u32) -> Self {
        Self::I32(value)
    }
}

impl From<u64> for Val {
    fn from(value: u64) -> Self {
        Self::I64(value)
    }
}

impl From<f32> for Val {
    fn from(value: f32) -> Self {
        Self::F32(value.to_bits())
    }
}

impl From<f64> for Val {
    fn from(value: f64) -> Self {
        Self::F64(value.to_bits())
    }
}

/// A list of values of mixed types: `vals![1_u32, 2.5_f64]`.
#[macro_export]
macro_rules! vals {
    ($($value:expr),* $(,)?) => { [$($crate::support::Val::from($value)),*] };
}

/// The binary of a module in the text format.
pub(crate) fn binary(wat: &str) -> Vec<u8> {
    wat::parse_str(wat).unwrap_or_else(|error| panic!("the test's own text: {error}"))
}

pub(crate) fn module(wat: &str) -> Module {
    Module::compile(&binary(wat)).expect("compiles")
}

/// A VM with helpers. Its address is stable, so that host functions can call back.
pub(crate) struct Guest {
    vm: Box<Vm>,
}

impl Guest {
    /// Not linked.
    pub(crate) fn of(module: &Module, options: &Options) -> Self {
        let vm = Vm::new(module, options).expect("valid options");
        Self { vm: Box::new(vm) }
    }

    /// Not linked, of a module in the text format.
    pub(crate) fn unlinked(wat: &str) -> Self {
        Self::of(&module(wat), &Options::default())
    }

    /// Linked, of a module without imports.
    pub(crate) fn new(wat: &str) -> Self {
        Self::unlinked(wat).link()
    }

    /// Linked, of a module without imports, with limits.
    pub(crate) fn with(wat: &str, options: &Options) -> Self {
        Self::of(&module(wat), options).link()
    }

    pub(crate) fn link(self) -> Self {
        self.try_link().expect("links");
        self
    }

    pub(crate) fn try_link(&self) -> Result<()> {
        let outcome = self.vm.link("guest");
        host::release_panic();
        outcome
    }

    /// Defines `env.<name>`, a closure of the import's type.
    pub(crate) fn host<A, F: host::Closure<A>>(self, name: &str, function: F) -> Self {
        host::define(&self.vm, "env", name, function);
        self
    }

    pub(crate) fn vm(&self) -> &Vm {
        &self.vm
    }

    /// For host functions, which run while the guest is borrowed.
    pub(crate) fn pointer(&self) -> GuestPointer {
        GuestPointer(&raw const *self.vm)
    }

    pub(crate) fn terminator(&self) -> Terminator {
        self.vm.terminator()
    }

    pub(crate) fn try_call(&self, name: &str, args: &[Val]) -> Result<Vec<Val>> {
        try_call(&self.vm, name, args)
    }

    /// Calls; all results.
    pub(crate) fn results(&self, name: &str, args: &[Val]) -> Vec<Val> {
        self.try_call(name, args)
            .unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Calls; the only result.
    pub(crate) fn call(&self, name: &str, args: &[Val]) -> Val {
        match self.results(name, args)[..] {
            [result] => result,
            ref other => panic!("{name}: {other:?} is not one result"),
        }
    }

    /// Calls; the only result, an i32.
    pub(crate) fn i32(&self, name: &str, args: &[Val]) -> u32 {
        match self.call(name, args) {
            Val::I32(value) => value,
            other => panic!("{name}: {other:?} is no i32"),
        }
    }

    /// Calls; the error, of this kind.
    pub(crate) fn fails(&self, code: Code, name: &str, args: &[Val]) -> Error {
        failure(code, self.try_call(name, args))
    }

    /// The size of the memory in bytes.
    pub(crate) fn memory_size(&self) -> usize {
        // SAFETY: the place is stable while the VM lives.
        unsafe { (*self.vm.memory()).current_length }
    }

    /// A copy of a part of the memory.
    pub(crate) fn read(&self, offset: usize, size: usize) -> Vec<u8> {
        assert!(offset + size <= self.memory_size(), "within the memory");
        // SAFETY: checked, and no guest code runs meanwhile.
        unsafe {
            let base = (*self.vm.memory()).base;
            std::slice::from_raw_parts(base.add(offset), size).to_vec()
        }
    }
}

/// The VM as its own host functions see it.
#[derive(Clone, Copy)]
pub(crate) struct GuestPointer(*const Vm);

// SAFETY: used on the thread that runs the VM, while it runs.
unsafe impl Send for GuestPointer {}
// SAFETY: as above.
unsafe impl Sync for GuestPointer {}

impl GuestPointer {
    pub(crate) fn vm(&self) -> &Vm {
        // SAFETY: the tests keep the VM alive while its host functions run.
        unsafe { &*self.0 }
    }

    pub(crate) fn try_call(&self, name: &str, args: &[Val]) -> Result<Vec<Val>> {
        try_call(self.vm(), name, args)
    }

    /// Calls; the only result, an i32.
    pub(crate) fn i32(&self, name: &str, args: &[Val]) -> Result<u32> {
        match self.try_call(name, args)?[..] {
            [Val::I32(value)] => Ok(value),
            ref other => panic!("{name}: {other:?} is not one i32"),
        }
    }
}

/// Looks the export up by the arguments' types and calls it.
pub(crate) fn try_call(vm: &Vm, name: &str, args: &[Val]) -> Result<Vec<Val>> {
    let module = vm.module().clone();
    let ty = module
        .exported_function(name)
        .unwrap_or_else(|| panic!("no export {name}"));
    let given: Vec<Type> = args.iter().map(|it| it.ty()).collect();
    assert_eq!(ty.params(), given, "{name}'s parameters");
    let func = vm.func(name, ty)?.expect("exported");
    let mut values = vec![Value::default(); ty.params().len().max(ty.results().len())];
    for (slot, value) in values.iter_mut().zip(args) {
        *slot = value.slot();
    }
    let outcome = vm.call(func, &mut values);
    host::release_panic();
    outcome?;
    let results = ty.results().iter().zip(&values);
    Ok(results.map(|(ty, slot)| Val::read(*ty, *slot)).collect())
}

/// The error of a result, which must be of this kind.
#[track_caller]
pub(crate) fn failure<T>(code: Code, result: Result<T>) -> Error {
    match result {
        Ok(_) => panic!("expected {code:?}, got success"),
        Err(error) => {
            assert_eq!(error.code(), code, "{error}");
            error
        }
    }
}

/// Asserts that a message holds these words.
#[track_caller]
pub(crate) fn says(error: &Error, words: &str) {
    assert!(
        error.message().contains(words),
        "{:?} does not say {words:?}",
        error.message()
    );
}
