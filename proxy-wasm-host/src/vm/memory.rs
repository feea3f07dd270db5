//! The guest's linear memory, every access checked.
//!
//! A slice of it must not be held while guest code runs ([`Vm::allocate`]).

use crate::abi::{HostResult, Status};
use crate::vm::Vm;

impl Vm {
    /// The memory's address and size now.
    fn view(&self) -> (*mut u8, usize) {
        // SAFETY: the runtime keeps the definition for the VM's life, and only this
        // thread uses the VM.
        let memory = unsafe { &*self.runtime.memory() };
        (memory.base, memory.current_length)
    }

    pub(crate) fn memory_size(&self) -> usize {
        self.view().1
    }

    fn checked(&self, at: u32, size: u32) -> HostResult<*mut u8> {
        let (base, length) = self.view();
        let (at, size) = (at as usize, size as usize);
        if size > length || at > length - size {
            return Err(Status::InvalidMemoryAccess);
        }
        // SAFETY: within the memory.
        Ok(unsafe { base.add(at) })
    }

    /// Bytes of the guest.
    pub(crate) fn bytes(&self, at: u32, size: u32) -> HostResult<&[u8]> {
        if size == 0 {
            return Ok(&[]);
        }
        let start = self.checked(at, size)?;
        // SAFETY: within the memory, whose address never changes, and no guest code
        // runs while the slice is held.
        Ok(unsafe { std::slice::from_raw_parts(start, size as usize) })
    }

    /// Has `fill` write to bytes of the guest.
    pub(crate) fn fill<T>(
        &self,
        at: u32,
        size: u32,
        fill: impl FnOnce(&mut [u8]) -> T,
    ) -> HostResult<T> {
        let start = self.checked(at, size)?;
        if size == 0 {
            return Ok(fill(&mut []));
        }
        // SAFETY: within the memory; `fill` gets no other slice of it, since all are
        // made by this type's methods, whose results do not outlive their hostcall's
        // use of them, and guest code is not running.
        Ok(fill(unsafe {
            std::slice::from_raw_parts_mut(start, size as usize)
        }))
    }

    pub(crate) fn write(&self, at: u32, data: &[u8]) -> HostResult {
        let size = size32(data.len())?;
        self.fill(at, size, |out| out.copy_from_slice(data))
    }

    pub(crate) fn write_u32(&self, at: u32, value: u32) -> HostResult {
        self.write(at, &value.to_le_bytes())
    }

    pub(crate) fn write_u64(&self, at: u32, value: u64) -> HostResult {
        self.write(at, &value.to_le_bytes())
    }

    pub(crate) fn read_u32(&self, at: u32) -> HostResult<u32> {
        let bytes = self.bytes(at, 4)?;
        let bytes = bytes.try_into().map_err(|_| Status::InternalFailure)?;
        Ok(u32::from_le_bytes(bytes))
    }

    /// Hands `data`, which is not the guest's, to the guest in memory that the guest
    /// allocates; where and how much goes to `at_out` and `size_out`.
    pub(crate) fn give(&self, data: &[u8], at_out: u32, size_out: u32) -> HostResult {
        let size = size32(data.len())?;
        self.give_with(size, at_out, size_out, |out| out.copy_from_slice(data))
    }

    /// As [`Self::give`], with data that `fill` writes.
    pub(crate) fn give_with(
        &self,
        size: u32,
        at_out: u32,
        size_out: u32,
        fill: impl FnOnce(&mut [u8]),
    ) -> HostResult {
        let mut at = 0;
        if size > 0 {
            at = self.allocate(size)?;
            self.fill(at, size, fill)?;
        }
        self.write_u32(at_out, at)?;
        self.write_u32(size_out, size)
    }
}

/// The size of something for the guest.
pub(crate) fn size32(size: usize) -> HostResult<u32> {
    u32::try_from(size).map_err(|_| Status::InvalidMemoryAccess)
}
