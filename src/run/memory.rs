//! Linear memory: a fixed reservation, an initial image shared by all VMs of a
//! module, and the limit.
//!
//! Compiled code does no bounds checks: every 32-bit address plus 32-bit offset lies
//! within the reservation, and what is not accessible there faults, which is a trap.

use std::os::fd::AsRawFd as _;
use std::ptr::NonNull;
use std::{io, ptr};

use wasmer_types::{MemoryError, MemoryStyle, MemoryType, Pages, WASM_PAGE_SIZE};
use wasmer_vm::{LinearMemory, VMMemoryDefinition};

use crate::load::image::{Image, Mapped};

/// Address space of one memory: 4 GiB, and a guard as large for constant offsets.
/// Must be what wasmer's `MemoryStyle::Static` promises compiled code.
const RESERVATION: usize = (2 << 32) + WASM_PAGE_SIZE;

const _: () = assert!(RESERVATION as u64 == (1 << 32) + MemoryStyle::static_offset_guard_size());

/// An inaccessible stretch of address space, freed when dropped.
#[derive(Debug)]
struct Reservation(NonNull<u8>);

// SAFETY: it owns its mapping.
unsafe impl Send for Reservation {}
// SAFETY: as above; it has no interior mutability.
unsafe impl Sync for Reservation {}

impl Reservation {
    fn new() -> io::Result<Self> {
        // SAFETY: a fresh mapping aliases nothing.
        let base = unsafe {
            libc::mmap(
                ptr::null_mut(),
                RESERVATION,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        NonNull::new(base.cast())
            .map(Self)
            .ok_or_else(|| io::Error::other("mmap gave null"))
    }

    /// Makes `[from, to)`, in bytes, readable and writable.
    fn make_accessible(&self, from: usize, to: usize) -> io::Result<()> {
        debug_assert!(from <= to && to <= RESERVATION);
        if from == to {
            return Ok(());
        }
        // SAFETY: within the own mapping.
        let result = unsafe {
            libc::mprotect(
                self.0.as_ptr().add(from).cast(),
                to - from,
                libc::PROT_READ | libc::PROT_WRITE,
            )
        };
        if result == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    /// Maps the image copy-on-write.
    fn map(&self, image: &Mapped) -> io::Result<()> {
        debug_assert!(image.offset + image.size <= RESERVATION);
        // SAFETY: replaces a part of the own mapping.
        let base = unsafe {
            libc::mmap(
                self.0.as_ptr().add(image.offset).cast(),
                image.size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_FIXED | libc::MAP_NORESERVE,
                image.file.as_raw_fd(),
                0,
            )
        };
        if base == libc::MAP_FAILED {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // SAFETY: the own mapping; the instance that used it is gone.
        unsafe { libc::munmap(self.0.as_ptr().cast(), RESERVATION) };
    }
}

/// The memory of one instance.
#[derive(Debug)]
pub(crate) struct GuestMemory {
    reservation: Reservation,
    ty: MemoryType,
    /// The lower of the module's own maximum and the VM's limit.
    maximum: Pages,
    /// In the instance; compiled code reads it.
    definition: NonNull<VMMemoryDefinition>,
    /// In the VM; the host reads it.
    published: NonNull<VMMemoryDefinition>,
}

// SAFETY: both are written by `grow` alone, which runs on the VM's thread.
unsafe impl Send for GuestMemory {}
// SAFETY: as above.
unsafe impl Sync for GuestMemory {}

impl GuestMemory {
    /// # Safety
    /// `definition` is in the instance that will own this memory, `published`
    /// outlives it, and `image` fits into the memory's minimum.
    pub(crate) unsafe fn new(
        ty: MemoryType,
        limit: Pages,
        image: &Image,
        definition: NonNull<VMMemoryDefinition>,
        published: NonNull<VMMemoryDefinition>,
    ) -> Result<Self, MemoryError> {
        if ty.minimum > limit {
            return Err(MemoryError::Generic(format!(
                "the memory starts with {} bytes, the limit is {} bytes",
                bytes(ty.minimum),
                bytes(limit),
            )));
        }
        let size = bytes(ty.minimum);
        let failed =
            |error: io::Error| MemoryError::Generic(format!("out of address space: {error}"));
        let reservation = Reservation::new().map_err(failed)?;
        reservation.make_accessible(0, size).map_err(failed)?;
        if let Image::Mapped(mapped) = image {
            reservation.map(mapped).map_err(failed)?;
        }
        if let Image::Copied(segments) = image {
            for (offset, data) in segments {
                debug_assert!(offset + data.len() <= size);
                // SAFETY: fits by contract, and nobody else knows the memory yet.
                unsafe {
                    let target = reservation.0.as_ptr().add(*offset);
                    ptr::copy_nonoverlapping(data.as_ptr(), target, data.len());
                }
            }
        }
        let maximum = ty.maximum.map_or(limit, |it| it.min(limit));
        let mut memory = Self {
            reservation,
            ty,
            maximum,
            definition,
            published,
        };
        memory.publish(size);
        Ok(memory)
    }

    /// Tells compiled code and the host.
    fn publish(&mut self, size: usize) {
        let definition = VMMemoryDefinition {
            base: self.reservation.0.as_ptr(),
            current_length: size,
        };
        // SAFETY: by the contract of `new`.
        unsafe {
            self.definition.write(definition);
            self.published.write(definition);
        }
    }
}

impl Drop for GuestMemory {
    /// The VM may outlive its memory: if linking it failed.
    fn drop(&mut self) {
        let none = VMMemoryDefinition {
            base: ptr::null_mut(),
            current_length: 0,
        };
        // SAFETY: by the contract of `new`.
        unsafe { self.published.write(none) };
    }
}

fn bytes(pages: Pages) -> usize {
    pages.0 as usize * WASM_PAGE_SIZE
}

impl LinearMemory for GuestMemory {
    fn ty(&self) -> MemoryType {
        MemoryType {
            minimum: self.size(),
            ..self.ty
        }
    }

    fn size(&self) -> Pages {
        // SAFETY: the instance outlives its memory's use.
        let length = unsafe { self.definition.as_ref() }.current_length;
        // At most 65536 pages.
        Pages(u32::try_from(length / WASM_PAGE_SIZE).unwrap_or(u32::MAX))
    }

    fn style(&self) -> MemoryStyle {
        MemoryStyle::Static
    }

    fn grow(&mut self, delta: Pages) -> Result<Pages, MemoryError> {
        let old = self.size();
        let too_large = MemoryError::CouldNotGrow {
            current: old,
            attempted_delta: delta,
        };
        let new = match old.0.checked_add(delta.0) {
            Some(new) if new <= self.maximum.0 => Pages(new),
            _ => return Err(too_large),
        };
        self.reservation
            .make_accessible(bytes(old), bytes(new))
            .map_err(|error| MemoryError::Region(error.to_string()))?;
        self.publish(bytes(new));
        Ok(old)
    }

    fn vmmemory(&self) -> NonNull<VMMemoryDefinition> {
        self.definition
    }

    fn try_clone(&self) -> Result<Box<dyn LinearMemory + Send + Sync>, MemoryError> {
        Err(MemoryError::MemoryNotShared)
    }

    fn copy(&self) -> Result<Box<dyn LinearMemory + Send + Sync>, MemoryError> {
        Err(MemoryError::UnsupportedOperation {
            message: "memories are not copied".into(),
        })
    }
}
