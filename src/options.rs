//! Limits and settings, and the environment variables that give their defaults.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use crate::error::{Code, Error, Result};
use crate::limits::{Limits, VmLimits, check_guest_stack};

/// Limits of one VM. Envoy passes no options to an engine, so the defaults can be
/// set for a whole process by environment variables ([`Options::from_env`]).
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Linear memory in bytes, rounded down to pages of 64 KiB.
    /// `RUST_WASM_MAX_MEMORY_BYTES`, default 1 GiB, which is proxy-wasm-cpp-host's
    /// `PROXY_WASM_HOST_MAX_WASM_MEMORY_SIZE_BYTES` (`limits.h`).
    pub max_memory_bytes: u64,
    /// Elements of all tables together; each may grow by an equal share of what their
    /// initial sizes leave. `RUST_WASM_MAX_TABLE_ELEMENTS`, default 1 000 000.
    pub max_table_elements: u32,
    /// Frames in a backtrace, as far as 16 kB hold them.
    /// `RUST_WASM_MAX_BACKTRACE_FRAMES`, default 64.
    pub max_backtrace_frames: u32,
    /// Stack for guest code in bytes, at least 64 KiB and at most 64 MiB. A nested call has
    /// half of it at least.
    /// `RUST_WASM_GUEST_STACK_BYTES`, default 1 MiB.
    pub guest_stack_bytes: usize,
    /// What a call may spend on exceptions, in bytes. They are kept, with their backtraces,
    /// until the outermost call has ended, or for the VM's life if it has globals that can hold
    /// one; each counts as 10 KiB, and 4 bytes for each byte of the stack above.
    /// `RUST_WASM_MAX_EXCEPTION_BYTES`, default 100 MiB.
    pub max_exception_bytes: u64,
    /// Longest time for one outermost call, with a resolution of 1 ms. Nested calls
    /// count towards the outermost. `RUST_WASM_CALL_DEADLINE_MS`, default none.
    pub call_deadline: Option<Duration>,
    /// Folder for compiled code. `RUST_WASM_CACHE_DIR`, default none.
    pub cache_dir: Option<PathBuf>,
    /// What its files may have together; those go that were used least recently.
    /// `RUST_WASM_CACHE_MAX_BYTES`, default 1 GiB.
    pub cache_max_bytes: u64,
    /// Limits of single VMs, which they have in place of those above from
    /// [`crate::Vm::link`] on: by the name that it is given, the `vm_id`.
    /// `RUST_WASM_LIMITS_FILE` names the file to read them from, default none.
    pub vm_limits: VmLimits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_memory_bytes: 1 << 30,
            max_table_elements: 1_000_000,
            max_backtrace_frames: 64,
            guest_stack_bytes: 1 << 20,
            max_exception_bytes: 100 << 20,
            call_deadline: None,
            cache_dir: None,
            cache_max_bytes: 1 << 30,
            vm_limits: VmLimits::default(),
        }
    }
}

impl Options {
    /// The defaults, with the environment variables applied. They are read once per
    /// process.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`] if a variable, or the file of limits, does not parse; the
    /// message names it.
    pub fn from_env() -> Result<&'static Self> {
        static OPTIONS: OnceLock<Result<Options>> = OnceLock::new();
        OPTIONS
            .get_or_init(|| Self::from_variables(std::env::var_os))
            .as_ref()
            .map_err(Clone::clone)
    }

    /// As [`Options::from_env`], with the variables' values taken from `variable`.
    ///
    /// # Errors
    /// As [`Options::from_env`].
    pub fn from_variables(variable: impl Fn(&'static str) -> Option<OsString>) -> Result<Self> {
        fn number<T: std::str::FromStr>(
            variable: &impl Fn(&'static str) -> Option<OsString>,
            name: &'static str,
            target: &mut T,
        ) -> Result<()> {
            if let Some(text) = variable(name).filter(|it| !it.is_empty()) {
                let number = text.to_str().and_then(|it| it.trim().parse().ok());
                *target = number.ok_or_else(|| {
                    Error::new(
                        Code::InvalidArgument,
                        format!("{name} is not a whole number in range: {text:?}"),
                    )
                })?;
            }
            Ok(())
        }
        let mut options = Self::default();
        let mut deadline_ms = 0_u64;
        number(
            &variable,
            "RUST_WASM_MAX_MEMORY_BYTES",
            &mut options.max_memory_bytes,
        )?;
        number(
            &variable,
            "RUST_WASM_MAX_TABLE_ELEMENTS",
            &mut options.max_table_elements,
        )?;
        number(
            &variable,
            "RUST_WASM_MAX_BACKTRACE_FRAMES",
            &mut options.max_backtrace_frames,
        )?;
        number(
            &variable,
            "RUST_WASM_GUEST_STACK_BYTES",
            &mut options.guest_stack_bytes,
        )?;
        number(
            &variable,
            "RUST_WASM_MAX_EXCEPTION_BYTES",
            &mut options.max_exception_bytes,
        )?;
        number(
            &variable,
            "RUST_WASM_CACHE_MAX_BYTES",
            &mut options.cache_max_bytes,
        )?;
        number(&variable, "RUST_WASM_CALL_DEADLINE_MS", &mut deadline_ms)?;
        if deadline_ms > 0 {
            options.call_deadline = Some(Duration::from_millis(deadline_ms));
        }
        options.cache_dir = variable("RUST_WASM_CACHE_DIR")
            .filter(|it| !it.is_empty())
            .map(PathBuf::from);
        if let Some(file) = variable("RUST_WASM_LIMITS_FILE").filter(|it| !it.is_empty()) {
            options.vm_limits = VmLimits::read(Path::new(&file))?;
        }
        options.check()?;
        Ok(options)
    }

    /// Puts `limits` in place of these.
    pub fn limit(&mut self, limits: &Limits) {
        fn set<T: Copy>(target: &mut T, value: Option<T>) {
            *target = value.unwrap_or(*target);
        }
        set(&mut self.max_memory_bytes, limits.max_memory_bytes);
        set(&mut self.max_table_elements, limits.max_table_elements);
        set(&mut self.max_backtrace_frames, limits.max_backtrace_frames);
        set(&mut self.guest_stack_bytes, limits.guest_stack_bytes);
        set(&mut self.max_exception_bytes, limits.max_exception_bytes);
        if let Some(deadline_ms) = limits.call_deadline_ms {
            self.call_deadline = (deadline_ms > 0).then(|| Duration::from_millis(deadline_ms));
        }
    }

    /// # Errors
    /// [`Code::InvalidArgument`] if a value is out of range.
    pub(crate) fn check(&self) -> Result<()> {
        check_guest_stack(self.guest_stack_bytes)
    }
}
