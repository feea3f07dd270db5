//! Backtraces of guests: where they were, and what the functions are called.
//!
//! Both are of the guest's making, so both are bounded, in work and not in time: how many
//! frames are looked at, what may be spent on names, and how long the text may be.

mod cplusplus;
mod readable;
mod work;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::PoisonError;

use ::backtrace::BacktraceFrame;
use hashbrown::HashSet;
use wasmer_compiler::{FRAME_INFO, get_trace_and_trapcode};
use wasmer_types::{FrameInfo, TrapCode};
use wasmer_vm::Trap;

use crate::load::module::Module;
use readable::readable;
use work::Work;

/// How many frames of the stack are looked at: a millisecond's worth.
const MAX_FRAMES: usize = 8192;

/// The longest backtrace in bytes, whatever the number of frames that is asked for.
const MAX_TEXT: usize = 16 << 10;

/// What the names in one backtrace may cost.
const MAX_WORK: usize = 1 << 19;

/// Frames of a guest, innermost first.
#[derive(Default)]
pub(crate) struct Frames {
    shown: Vec<FrameInfo>,
    more: usize,
    /// There are frames that nobody has looked at.
    endless: bool,
}

impl Frames {
    /// The frames in which a guest has trapped, and the trap's code if it is one of
    /// WebAssembly's.
    pub(crate) fn of(trap: &Trap, max: u32) -> (Self, Option<TrapCode>) {
        let (pc, signal_trap, backtrace) = match trap {
            Trap::Wasm {
                pc,
                signal_trap,
                backtrace,
            } => (*pc, *signal_trap, backtrace),
            Trap::Lib { backtrace, .. }
            | Trap::OOM { backtrace }
            | Trap::UncaughtException { backtrace, .. } => (0, None, backtrace),
            Trap::User(_) => return (Self::default(), None),
        };
        let all = backtrace.frames();
        let looked_at = all[..all.len().min(MAX_FRAMES)].to_vec();
        let (mut frames, code) = Self::look_up(pc, signal_trap, looked_at, max);
        if frames.shown.is_empty() && max > 0 {
            // An overflow, which wasmer does not unwind from. Where it was is known all the same.
            let known = FRAME_INFO.read().unwrap_or_else(PoisonError::into_inner);
            frames.shown.extend(known.lookup_frame_info(pc));
        }
        let code = match trap {
            Trap::Lib { trap_code, .. } => Some(*trap_code),
            Trap::UncaughtException { .. } => Some(TrapCode::UncaughtException),
            Trap::OOM { .. } => None,
            _ => code,
        };
        (frames, code)
    }

    /// The frames of the guest that has called the host function that is running.
    pub(crate) fn here(max: u32) -> Self {
        let mut frames: Vec<BacktraceFrame> = Vec::new();
        ::backtrace::trace(|frame| {
            frames.push(frame.clone().into());
            frames.len() < MAX_FRAMES
        });
        Self::look_up(0, None, frames, max).0
    }

    fn look_up(
        pc: usize,
        signal_trap: Option<TrapCode>,
        frames: Vec<BacktraceFrame>,
        max: u32,
    ) -> (Self, Option<TrapCode>) {
        let endless = frames.len() == MAX_FRAMES;
        let trap = Trap::wasm(pc, frames.into(), signal_trap);
        let (mut shown, code) = get_trace_and_trapcode(&trap);
        let all = shown.len();
        shown.truncate(max as usize);
        let more = all - shown.len();
        let frames = Self {
            shown,
            more,
            endless,
        };
        (frames, code)
    }

    /// A line per frame: index, offset in the module, readable name.
    pub(crate) fn text(&self, module: &Module) -> String {
        let functions: HashSet<u32> = self.shown.iter().map(FrameInfo::func_index).collect();
        let names = module.function_names(&functions);
        let mut work = Work::new(MAX_WORK);
        let mut known = BTreeMap::new();
        let mut text = String::new();
        let mut more = self.more;
        for (index, frame) in self.shown.iter().enumerate() {
            let function = frame.func_index();
            let name = known
                .entry(function)
                .or_insert_with(|| match names.get(&function) {
                    Some(name) => readable(name, &mut work),
                    None => format!("function[{function}]"),
                });
            let line = format!("{index:>3}:  {:#x} - {name}", frame.module_offset());
            // With room for the last line.
            if text.len() + line.len() + 64 > MAX_TEXT {
                more += self.shown.len() - index;
                break;
            }
            if index > 0 {
                text.push('\n');
            }
            text.push_str(&line);
        }
        if more > 0 || self.endless {
            let at_least = if self.endless { "at least " } else { "" };
            let _ = write!(text, "\n     ... {at_least}{more} more");
        }
        text
    }
}
