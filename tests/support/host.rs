//! Closures as host functions.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use rust_wasm::{FunctionType, HostFn, Type, Vm};

/// A Rust type that a WebAssembly number has at the C boundary.
pub(crate) trait Number: Copy + 'static {
    const TYPE: Type;
}

impl Number for u32 {
    const TYPE: Type = Type::I32;
}

impl Number for u64 {
    const TYPE: Type = Type::I64;
}

impl Number for f32 {
    const TYPE: Type = Type::F32;
}

impl Number for f64 {
    const TYPE: Type = Type::F64;
}

/// A result: a number or nothing.
pub(crate) trait HostResult: Default + 'static {
    fn types() -> Vec<Type>;
}

impl HostResult for () {
    fn types() -> Vec<Type> {
        Vec::new()
    }
}

impl<N: Number + Default> HostResult for N {
    fn types() -> Vec<Type> {
        vec![N::TYPE]
    }
}

/// A closure that can be a host function; `A` tells its parameters and result.
pub(crate) trait Closure<A>: 'static {
    fn signature() -> FunctionType;
    /// `result fn(&Self, args...)` in the C calling convention.
    fn entry() -> HostFn;
}

macro_rules! closures {
    ($($param:ident)*) => {
        impl<F, R, $($param),*> Closure<(($($param,)*), R)> for F
        where
            F: Fn($($param),*) -> R + 'static,
            R: HostResult,
            $($param: Number,)*
        {
            fn signature() -> FunctionType {
                let params: Vec<Type> = vec![$($param::TYPE),*];
                FunctionType::new(params, R::types())
            }

            fn entry() -> HostFn {
                #[allow(non_snake_case, reason = "a parameter is named after its type")]
                extern "C" fn entry<F, R, $($param),*>(closure: &F, $($param: $param),*) -> R
                where
                    F: Fn($($param),*) -> R,
                    R: HostResult,
                {
                    keep_panic(|| closure($($param),*))
                }
                entry::<F, R, $($param),*> as *const ()
            }
        }
    };
}

closures!();
closures!(A);
closures!(A B);
closures!(A B C);
closures!(A B C D);
closures!(A B C D E);
closures!(A B C D E G);
closures!(A B C D E G H);
closures!(A B C D E G H I);
closures!(A B C D E G H I J);
closures!(A B C D E G H I J K);
closures!(A B C D E G H I J K L);
closures!(A B C D E G H I J K L M);
closures!(A B C D E G H I J K L M N);
closures!(A B C D E G H I J K L M N O);
closures!(A B C D E G H I J K L M N O P);
closures!(A B C D E G H I J K L M N O P Q);

thread_local! {
    static PANIC: RefCell<Option<Box<dyn Any + Send>>> = const { RefCell::new(None) };
}

/// A host function must not unwind into the guest, so a failed assertion in it is kept
/// until the call is over: [`release_panic`].
fn keep_panic<R: Default>(host: impl FnOnce() -> R) -> R {
    catch_unwind(AssertUnwindSafe(host)).unwrap_or_else(|payload| {
        let _ = PANIC.try_with(|it| *it.borrow_mut() = Some(payload));
        R::default()
    })
}

/// Goes on with a host function's panic, now that its guest has returned.
pub(crate) fn release_panic() {
    if let Ok(Some(payload)) = PANIC.try_with(|it| it.borrow_mut().take()) {
        resume_unwind(payload);
    }
}

/// Defines an import of a VM that is not linked. The closure lives until the process
/// ends.
pub(crate) fn define<A, F: Closure<A>>(vm: &Vm, module: &str, name: &str, function: F) {
    let import = vm
        .module()
        .import(module, name)
        .unwrap_or_else(|| panic!("no import {module}.{name}"));
    let data: *mut F = Box::into_raw(Box::new(function));
    // SAFETY: `entry` is a C function of just this signature whose first parameter is
    // `data`; the closure is never freed, and panics do not leave `entry`.
    unsafe { vm.define(import, &F::signature(), F::entry(), data.cast()) }
        .unwrap_or_else(|error| panic!("{error}"));
}
