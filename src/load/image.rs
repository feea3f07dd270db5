//! What a module's memory holds at the start, in the form in which its VMs share it.

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::sync::OnceLock;

use wasmer_types::WASM_PAGE_SIZE;

fn os_page() -> usize {
    static SIZE: OnceLock<usize> = OnceLock::new();
    *SIZE.get_or_init(|| {
        // SAFETY: plain call.
        let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        usize::try_from(size).unwrap_or(WASM_PAGE_SIZE)
    })
}

/// A data segment at its place.
pub(crate) struct Segment<'a> {
    pub(crate) offset: usize,
    pub(crate) data: &'a [u8],
}

/// What a memory holds when its instance starts.
#[derive(Debug)]
pub(crate) enum Image {
    /// Nothing but zeros.
    Zero,
    /// A file that every VM maps: it costs them the pages they write to.
    Mapped(Mapped),
    /// Copied into each VM: little data, or data too sparse for a file.
    Copied(Vec<(usize, Box<[u8]>)>),
}

#[derive(Debug)]
pub(crate) struct Mapped {
    pub(crate) file: OwnedFd,
    /// Where in the memory it begins; a multiple of the page size, as is `size`.
    pub(crate) offset: usize,
    pub(crate) size: usize,
}

/// Data up to this size is copied: mapping it would cost more.
const COPY_MAX: usize = 8 << 10;

/// Gaps below this size do not keep segments from being written together.
const MERGED_GAP: usize = 4 << 10;

impl Image {
    /// Builds the image of segments which fit into the memory's initial size.
    pub(crate) fn new(segments: &[Segment<'_>]) -> Self {
        let segments = || segments.iter().filter(|it| !it.data.is_empty());
        let total: usize = segments().map(|it| it.data.len()).sum();
        let Some(first) = segments().map(|it| it.offset).min() else {
            return Self::Zero;
        };
        let end = segments()
            .map(|it| it.offset + it.data.len())
            .max()
            .unwrap_or(first);
        let offset = first / os_page() * os_page();
        let size = end.next_multiple_of(os_page()) - offset;
        // The file holds the holes between segments too, so they must be few.
        if total > COPY_MAX
            && size <= 4 * total + (1 << 20)
            && let Ok(file) = image_file(segments(), offset, size)
        {
            return Self::Mapped(Mapped { file, offset, size });
        }
        Self::Copied(segments().map(|it| (it.offset, it.data.into())).collect())
    }
}

fn image_file<'a>(
    segments: impl Iterator<Item = &'a Segment<'a>>,
    start: usize,
    size: usize,
) -> io::Result<OwnedFd> {
    use std::os::unix::fs::FileExt as _;
    // SAFETY: plain call; the descriptor is owned at once.
    let file = unsafe {
        let fd = libc::memfd_create(
            c"wasm-memory-image".as_ptr(),
            libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING,
        );
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        std::fs::File::from(OwnedFd::from_raw_fd(fd))
    };
    file.set_len(size as u64)?;
    // Each write takes long, and compilers emit many small segments: those that follow
    // each other closely are written together.
    let mut run: Vec<u8> = Vec::new();
    let mut run_start = start;
    let mut end = start;
    for segment in segments {
        // Nothing was written from `end` on, so a gap there is known to be zeros.
        let gap = segment.offset.checked_sub(end);
        match gap.filter(|gap| *gap < MERGED_GAP && run_start + run.len() == end) {
            Some(gap) => run.resize(run.len() + gap, 0),
            None => {
                file.write_all_at(&run, (run_start - start) as u64)?;
                run.clear();
                run_start = segment.offset;
            }
        }
        run.extend_from_slice(segment.data);
        end = end.max(run_start + run.len());
    }
    file.write_all_at(&run, (run_start - start) as u64)?;
    let seals = libc::F_SEAL_SEAL | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE;
    // SAFETY: plain call. Sealed, it can never change under the VMs that map it.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(file.into())
}
