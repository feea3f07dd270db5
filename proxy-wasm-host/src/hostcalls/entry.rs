//! The way in from guest code: one `extern "C"` function per import, whose body is one
//! guarded call.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rust_wasm::Type;

use crate::abi::{HostResult, Status};
use crate::vm::Vm;

/// Rust types that stand for parameters.
pub(super) trait Param {
    const TYPE: Type;
}

impl Param for u32 {
    const TYPE: Type = Type::I32;
}

impl Param for u64 {
    const TYPE: Type = Type::I64;
}

impl Param for i64 {
    const TYPE: Type = Type::I64;
}

/// What the guest sees of a result.
pub(super) trait Return {
    /// The C function's.
    type Raw: Default;
    const TYPES: &'static [Type];
    /// What a function that the VM may not use returns.
    const DENIED: Self::Raw;
    fn raw(self) -> Self::Raw;
}

impl Return for HostResult {
    type Raw = u32;
    const TYPES: &'static [Type] = &[Type::I32];
    const DENIED: u32 = Status::InternalFailure as u32;

    fn raw(self) -> u32 {
        self.map_or_else(|status| status as u32, |()| Status::Ok as u32)
    }
}

/// A bare number, which means "true" or "false".
impl Return for bool {
    type Raw = u32;
    const TYPES: &'static [Type] = &[Type::I32];
    const DENIED: u32 = 0;

    fn raw(self) -> u32 {
        u32::from(self)
    }
}

impl Return for () {
    type Raw = ();
    const TYPES: &'static [Type] = &[];
    const DENIED: Self::Raw = ();

    fn raw(self) {}
}

/// When a function may be called.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum When {
    /// Also from start functions and the guest's allocator.
    Always,
    /// Only from callbacks.
    InCallbacks,
}

/// Runs the body of a host function.
///
/// # Safety
/// `data` is the VM that `Vm::start` bound, and this thread has entered it.
pub(super) unsafe fn guarded<R: Return>(
    data: *mut (),
    name: &str,
    when: When,
    body: impl FnOnce(&Vm) -> R,
) -> R::Raw {
    // SAFETY: by contract.
    let vm = unsafe { &*data.cast::<Vm>() };
    if when == When::InCallbacks && vm.restricted.get() {
        vm.runtime.trap(&format!(
            "restricted_callback: {name} must not be called from a start function or the allocator"
        ));
        return R::Raw::default();
    }
    // A panic fails this VM and nothing else; its state is not used again.
    catch_unwind(AssertUnwindSafe(|| body(vm).raw())).unwrap_or_else(|_| {
        vm.runtime
            .trap(&format!("panic in the host function {name}"));
        R::Raw::default()
    })
}

/// Reports the use of a function that the configuration does not allow.
///
/// # Safety
/// As for [`guarded`].
pub(super) unsafe fn refuse<R: Return>(data: *mut (), name: &str) -> R::Raw {
    let report = |vm: &Vm| {
        let message = format!("Attempted call to restricted proxy-wasm capability: {name}");
        vm.log(crate::abi::LogLevel::Error, message.as_bytes());
    };
    // SAFETY: by contract.
    unsafe { guarded(data, name, When::Always, report) };
    R::DENIED
}

/// Defines host functions and `find`, which finds them by name:
/// `fn name(vm, parameters...) -> result, When;`
macro_rules! host_functions {
    ($($(#[$doc:meta])* $when:ident fn $name:ident($vm:ident $(, $param:ident: $ty:ty)* $(,)?)
        -> $result:ty $body:block)*) => {
        $(
            $(#[$doc])*
            #[allow(clippy::too_many_arguments, reason = "as many as the ABI says")]
            fn $name($vm: &crate::vm::Vm $(, $param: $ty)*) -> $result $body
        )*

        /// All of them.
        pub(super) const NAMES: &[&str] = &[$(stringify!($name)),*];

        /// The function of that name.
        pub(super) fn find(name: &str) -> Option<crate::host_function::HostFunction> {
            use super::entry::{guarded, refuse, Param, Return, When};
            use crate::host_function::HostFunction;
            match name {
                $(stringify!($name) => {
                    #[allow(clippy::too_many_arguments, reason = "as many as the ABI says")]
                    extern "C" fn allowed(
                        data: *mut () $(, $param: $ty)*
                    ) -> <$result as Return>::Raw {
                        // SAFETY: the runtime calls it with what `Vm::start` bound.
                        unsafe {
                            guarded(data, stringify!($name), When::$when, |vm| {
                                $name(vm $(, $param)*)
                            })
                        }
                    }
                    extern "C" fn denied(data: *mut () $(, _: $ty)*) -> <$result as Return>::Raw {
                        // SAFETY: as above.
                        unsafe { refuse::<$result>(data, stringify!($name)) }
                    }
                    Some(HostFunction {
                        name: stringify!($name),
                        params: &[$(<$ty as Param>::TYPE),*],
                        results: <$result as Return>::TYPES,
                        allowed: allowed as *const (),
                        denied: denied as *const (),
                    })
                })*
                _ => None,
            }
        }
    };
}
pub(super) use host_functions;
