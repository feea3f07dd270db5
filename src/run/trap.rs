//! Traps: what the guest did wrong, in the specification's words, and where.

use std::fmt::{self, Write as _};

use wasmer_compiler::{get_trace_and_trapcode, wasm_trace_from_current_stack};
use wasmer_types::{FrameInfo, TrapCode};
use wasmer_vm::Trap;

use crate::error::{Code, Error};
use crate::load::module::Module;
use crate::run::libcalls::{NoRoom, TooManyExceptions};
use crate::run::stack::CallState;

/// The payload with which a host function's request unwinds the guest; what it says
/// stays with the VM. It has no size, since boxing it must not allocate: the guest
/// may have left no room on its stack for that.
#[derive(Debug)]
struct HostTrap;

impl fmt::Display for HostTrap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("trap requested by a host function")
    }
}

impl std::error::Error for HostTrap {}

/// Unwinds the guest because a host function asked for it. Called by `import_stub`
/// on the guest stack.
pub(crate) unsafe extern "C" fn raise_pending(state: *mut CallState) {
    // SAFETY: the stub passes its VM's state, alive while the VM runs. Only guest
    // frames and the stub lie below `catch_traps`, so no destructor is skipped.
    unsafe {
        (*state).trap_pending = 0;
        wasmer_vm::raise_user_trap(Box::new(HostTrap));
    }
}

/// A trap that a host function has asked for.
#[derive(Default)]
pub(crate) struct Pending {
    /// The `host_sp` of the call that is to end.
    pub(crate) call: usize,
    message: String,
    frames: Vec<FrameInfo>,
}

impl Pending {
    /// To be made in the host function, on the host stack, where there is room to
    /// walk the guest's.
    pub(crate) fn new(call: usize, message: &str) -> Self {
        Self {
            call,
            message: message.to_owned(),
            frames: wasm_trace_from_current_stack(),
        }
    }

    pub(crate) fn into_error(self, module: &Module, max_frames: u32) -> Error {
        let backtrace = format_backtrace(&self.frames, module, max_frames);
        Error::with_backtrace(Code::HostTrap, self.message, backtrace)
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
    HostTrap,
    Other,
}

/// Explains `trap`, naming functions as `module` does.
pub(crate) fn report(trap: &Trap, module: &Module, max_frames: u32) -> Report {
    if trap.is::<HostTrap>() {
        return Report {
            kind: Kind::HostTrap,
            message: String::new(),
            backtrace: String::new(),
        };
    }
    if trap.is::<NoRoom>() || trap.is::<TooManyExceptions>() {
        return Report {
            kind: Kind::Other,
            message: trap.to_string(),
            backtrace: String::new(),
        };
    }
    let (frames, code) = get_trace_and_trapcode(trap);
    let (kind, message) = match code {
        Some(TrapCode::UnreachableCodeReached) => (Kind::Unreachable, "unreachable".into()),
        Some(code) => (Kind::Other, code.message().to_owned()),
        None => (Kind::Other, trap.to_string()),
    };
    Report {
        kind,
        message,
        backtrace: format_backtrace(&frames, module, max_frames),
    }
}

/// A line per frame: index, offset in the module, demangled name.
fn format_backtrace(frames: &[FrameInfo], module: &Module, max_frames: u32) -> String {
    let mut text = String::new();
    let shown = frames.len().min(max_frames as usize);
    for (index, frame) in frames[..shown].iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        let function = frame.func_index();
        let _ = write!(text, "{index:>3}:  {:#x} - ", frame.module_offset());
        match module.function_name(function) {
            Some(name) => text.push_str(&readable(&name)),
            None => {
                let _ = write!(text, "function[{function}]");
            }
        }
    }
    if shown < frames.len() {
        let _ = write!(text, "\n     ... {} more", frames.len() - shown);
    }
    text
}

/// The name as its author wrote it: Rust's and C++'s manglings undone, Rust's hash
/// dropped, on one line. Names come from plugins: a mangled one can expand without
/// bound, and a plain one can be anything.
fn readable(name: &str) -> String {
    const MAX: usize = 1024;
    let mut text = Bounded {
        text: String::new(),
        max: MAX,
    };
    let demangled = if let Ok(rust) = rustc_demangle::try_demangle(name) {
        write!(text, "{rust:#}").is_ok()
    } else if name.starts_with("_Z")
        && name.len() <= MAX
        && let Ok(symbol) = cpp_demangle::Symbol::new(name)
    {
        symbol
            .structured_demangle(&mut text, &cpp_demangle::DemangleOptions::new())
            .is_ok()
    } else {
        false
    };
    if !demangled {
        text.text = name.chars().take(MAX).collect();
    }
    text.text.replace(char::is_control, " ")
}

/// Text up to a size.
struct Bounded {
    text: String,
    max: usize,
}

impl fmt::Write for Bounded {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        if self.text.len() + part.len() > self.max {
            return Err(fmt::Error);
        }
        self.text.push_str(part);
        Ok(())
    }
}
