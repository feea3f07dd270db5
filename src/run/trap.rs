//! Traps: what the guest did wrong, in the specification's words, and where.

use wasmer_types::TrapCode;
use wasmer_vm::Trap;

use crate::error::{Code, Error};
use crate::load::module::Module;
use crate::run::backtrace::Frames;
use crate::run::guest_stack;
use crate::run::payload::{HostTrap, Interrupted, NoRoom, TooManyExceptions};

/// A trap that a host function has asked for.
#[derive(Default)]
pub(crate) struct Pending {
    /// The `host_sp` of the call that is to end.
    pub(crate) call: usize,
    message: String,
    frames: Frames,
}

impl Pending {
    /// To be made in the host function, on the host stack, where there is room to
    /// walk the guest's.
    pub(crate) fn new(call: usize, message: &str, max_frames: u32) -> Self {
        Self {
            call,
            message: message.to_owned(),
            frames: Frames::here(max_frames),
        }
    }

    pub(crate) fn into_error(self, module: &Module) -> Error {
        Error::with_backtrace(Code::HostTrap, self.message, self.frames.text(module))
    }
}

/// What kind of trap this was, with its text and backtrace.
pub(crate) struct Report {
    pub(crate) kind: Kind,
    pub(crate) message: String,
    pub(crate) backtrace: String,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// `unreachable`, which is also how an interrupt check stops the guest.
    Unreachable,
    /// Stopped without a check.
    Interrupted,
    TooManyExceptions,
    HostTrap,
    Other,
}

/// Explains `trap`, naming functions as `module` does.
pub(crate) fn report(trap: &Trap, module: &Module, max_frames: u32) -> Report {
    // Raised by this runtime, without a backtrace.
    let kind = if trap.is::<HostTrap>() {
        Some(Kind::HostTrap)
    } else if trap.is::<Interrupted>() {
        Some(Kind::Interrupted)
    } else if trap.is::<TooManyExceptions>() {
        Some(Kind::TooManyExceptions)
    } else if trap.is::<NoRoom>() {
        Some(Kind::Other)
    } else {
        None
    };
    if let Some(kind) = kind {
        return Report {
            kind,
            message: trap.to_string(),
            backtrace: String::new(),
        };
    }
    let (frames, mut code) = Frames::of(trap, max_frames);
    if guest_stack::take_overflow() {
        code = Some(TrapCode::StackOverflow);
    }
    let (kind, message) = match code {
        Some(TrapCode::UnreachableCodeReached) => (Kind::Unreachable, "unreachable".into()),
        Some(code) => (Kind::Other, code.message().to_owned()),
        None => (Kind::Other, trap.to_string()),
    };
    Report {
        kind,
        message,
        backtrace: frames.text(module),
    }
}
