//! Limits by `vm_id`, from a file of the operator's.
//!
//! Envoy passes an engine no options, but it tells it the `vm_id` of each VM. So limits of
//! one plugin among many stand in a file:
//!
//! ```toml
//! [vm.auth]
//! max_memory_bytes = 33_554_432
//! call_deadline_ms = 20
//!
//! [vm."eu/rate-limits"]
//! guest_stack_bytes = 262_144
//! ```

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Deserializer};

use crate::error::{Code, Error, Result};

/// What a guest stack may measure.
pub(crate) const GUEST_STACK_RANGE: RangeInclusive<usize> = (64 << 10)..=(64 << 20);

/// # Errors
/// [`Code::InvalidArgument`] if it is out of range.
pub(crate) fn check_guest_stack(bytes: usize) -> Result<()> {
    if GUEST_STACK_RANGE.contains(&bytes) {
        return Ok(());
    }
    let (least, most) = (GUEST_STACK_RANGE.start(), GUEST_STACK_RANGE.end());
    Err(Error::new(
        Code::InvalidArgument,
        format!("a guest stack of {bytes} bytes is out of range ({least} to {most})"),
    ))
}

/// Some of the limits of a VM, under the names of [`crate::Options`]; what is not given
/// stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// See [`crate::Options::max_memory_bytes`].
    pub max_memory_bytes: Option<u64>,
    /// See [`crate::Options::max_table_elements`].
    pub max_table_elements: Option<u32>,
    /// See [`crate::Options::max_backtrace_frames`].
    pub max_backtrace_frames: Option<u32>,
    /// See [`crate::Options::guest_stack_bytes`].
    #[serde(default, deserialize_with = "guest_stack")]
    pub guest_stack_bytes: Option<usize>,
    /// See [`crate::Options::max_exception_bytes`].
    pub max_exception_bytes: Option<u64>,
    /// See [`crate::Options::call_deadline`]; 0 is none.
    pub call_deadline_ms: Option<u64>,
}

/// Here, so that the error has the value's line.
fn guest_stack<'de, D>(from: D) -> std::result::Result<Option<usize>, D::Error>
where
    D: Deserializer<'de>,
{
    let bytes = usize::deserialize(from)?;
    check_guest_stack(bytes).map_err(|error| serde::de::Error::custom(error.message()))?;
    Ok(Some(bytes))
}

/// The limits of those VMs that the operator's file names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VmLimits(Arc<BTreeMap<String, Limits>>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    vm: BTreeMap<String, Limits>,
}

impl VmLimits {
    /// Reads the file.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`] if it cannot be read, or does not say what a file of
    /// limits says; the message names the file, and the line if there is one.
    pub fn read(file: &Path) -> Result<Self> {
        let refuse = |reason: &str| {
            let message = format!("limits file {}: {reason}", file.display());
            Error::new(Code::InvalidArgument, message)
        };
        let text = std::fs::read_to_string(file).map_err(|error| refuse(&error.to_string()))?;
        let File { vm } = toml::from_str(&text).map_err(|error| {
            let at = error.span().map_or(0, |it| it.start);
            let line = text.bytes().take(at).filter(|it| *it == b'\n').count() + 1;
            refuse(&format!("line {line}: {}", error.message()))
        })?;
        Ok(Self(Arc::new(vm)))
    }

    /// The limits of the VM of this `vm_id`, if the file names it.
    pub fn of(&self, vm_id: &str) -> Option<&Limits> {
        self.0.get(vm_id)
    }
}
