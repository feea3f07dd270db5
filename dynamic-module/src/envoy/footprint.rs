//! Giving back memory that only compiling needed.

use std::ffi::c_void;
use std::ptr;

/// Has the kernel drop the pages of this module's code and constants, of which the compiler's
/// are the most. What runs again comes back from the page cache.
pub(crate) fn drop_compiler() {
    // SAFETY: a plain call with a function of the type that is asked for.
    unsafe { libc::dl_iterate_phdr(Some(drop_if_ours), ptr::null_mut()) };
}

unsafe extern "C" fn drop_if_ours(
    object: *mut libc::dl_phdr_info,
    _size: usize,
    _data: *mut c_void,
) -> i32 {
    // SAFETY: the loader's, alive during the call.
    let (base, headers) = unsafe {
        let object = &*object;
        let headers = std::slice::from_raw_parts(object.dlpi_phdr, object.dlpi_phnum.into());
        (object.dlpi_addr, headers)
    };
    let here = drop_compiler as fn() as usize as u64;
    let loaded = headers.iter().filter(|it| it.p_type == libc::PT_LOAD);
    let range = |it: &libc::Elf64_Phdr| base + it.p_vaddr..base + it.p_vaddr + it.p_memsz;
    if !loaded.clone().any(|it| range(it).contains(&here)) {
        return 0;
    }
    // SAFETY: a plain call.
    let page = u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(1 << 16);
    for header in loaded.filter(|it| it.p_flags & libc::PF_W == 0) {
        let (start, end) = (range(header).start, range(header).end);
        let (start, end) = (start.next_multiple_of(page), end / page * page);
        let size = usize::try_from(end.saturating_sub(start)).unwrap_or_default();
        // SAFETY: whole pages that are the file's and cannot be written: the kernel reads
        // them again.
        unsafe { libc::madvise(start as *mut c_void, size, libc::MADV_DONTNEED) };
    }
    1
}
