//! What traps carry that this runtime raises. They have no size, so that boxing them does not
//! allocate: the guest may have left no room on its stack for that.

use std::fmt;

macro_rules! payloads {
    ($($(#[$doc:meta])* $name:ident: $text:literal;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug)]
            pub(crate) struct $name;

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str($text)
                }
            }

            impl std::error::Error for $name {}
        )*
    };
}

payloads! {
    /// A host function asked for it. What it said stays with the VM.
    HostTrap: "trap requested by a host function";
    /// On the guest stack, for a library function.
    NoRoom: "call stack exhausted";
    /// More than the limit's worth of them.
    TooManyExceptions: "too many exceptions";
    /// Between two pieces of an operation on a memory.
    Interrupted: "interrupt";
}
