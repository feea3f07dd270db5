//! WASI (preview 1): as much as guest toolchains need to start and to log. There are no
//! files; standard output and error go to the proxy's log.

use super::entry::{Return, host_functions};
use crate::abi::{LogLevel, Status};
use crate::clock;
use crate::vm::Vm;
use crate::vm::memory::size32;
use rust_wasm::Type;

/// An error number of WASI.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(u32)]
pub(super) enum Errno {
    BadFile = 8,
    Fault = 21,
    Invalid = 28,
    NoEntry = 44,
    NotImplemented = 52,
    NotDirectory = 54,
    NotSupported = 58,
}

/// proxy-wasm-cpp-host's limit (`limits.h`).
const MAX_RANDOM_BYTES: u32 = 64 << 10;
/// `ENOTCAPABLE`.
const NOT_CAPABLE: u32 = 76;

type WasiResult = Result<(), Errno>;

impl Return for WasiResult {
    type Raw = u32;
    const TYPES: &'static [Type] = &[Type::I32];
    const DENIED: u32 = NOT_CAPABLE;

    fn raw(self) -> u32 {
        self.map_or_else(|errno| errno as u32, |()| 0)
    }
}

impl From<Status> for Errno {
    fn from(_: Status) -> Self {
        Self::Fault
    }
}

host_functions! {
    Always fn fd_write(vm, fd: u32, parts: u32, count: u32, written_out: u32) -> WasiResult {
        write(vm, fd, parts, count, written_out)
    }

    Always fn fd_pwrite(
        vm, fd: u32, parts: u32, count: u32, _offset: u64, written_out: u32,
    ) -> WasiResult {
        write(vm, fd, parts, count, written_out)
    }

    Always fn fd_read(vm, _fd: u32, _parts: u32, _count: u32, _read_out: u32) -> WasiResult {
        no_files(vm)
    }

    Always fn fd_pread(
        vm, _fd: u32, _parts: u32, _count: u32, _offset: u64, _read_out: u32,
    ) -> WasiResult {
        no_files(vm)
    }

    Always fn fd_seek(vm, fd: u32, _offset: i64, _whence: u32, offset_out: u32) -> WasiResult {
        output(fd)?;
        Ok(vm.write_u64(offset_out, 0)?)
    }

    Always fn fd_tell(vm, fd: u32, offset_out: u32) -> WasiResult {
        output(fd)?;
        Ok(vm.write_u64(offset_out, 0)?)
    }

    Always fn fd_close(vm, _fd: u32) -> WasiResult {
        let _ = vm;
        Ok(())
    }

    Always fn fd_fdstat_get(vm, fd: u32, stat_out: u32) -> WasiResult {
        output(fd)?;
        // File type and flags 0, rights: write; nothing to inherit.
        let mut stat = [0; 24];
        stat[8] = 1 << 6;
        Ok(vm.write(stat_out, &stat)?)
    }

    Always fn fd_fdstat_set_flags(vm, _fd: u32, _flags: u32) -> WasiResult {
        no_files(vm)
    }

    Always fn fd_fdstat_set_rights(vm, fd: u32, _base: u64, _inheriting: u64) -> WasiResult {
        let _ = vm;
        output(fd)
    }

    Always fn fd_advise(vm, _fd: u32, _offset: u64, _size: u64, _advice: u32) -> WasiResult {
        let _ = vm;
        Ok(())
    }

    Always fn fd_allocate(vm, fd: u32, _offset: u64, _size: u64) -> WasiResult {
        let _ = vm;
        output(fd)
    }

    Always fn fd_datasync(vm, fd: u32) -> WasiResult {
        let _ = vm;
        output(fd)
    }

    Always fn fd_sync(vm, fd: u32) -> WasiResult {
        let _ = vm;
        output(fd)
    }

    Always fn fd_filestat_get(vm, _fd: u32, _stat_out: u32) -> WasiResult {
        bad_file(vm)
    }

    Always fn fd_filestat_set_size(vm, fd: u32, _size: u64) -> WasiResult {
        let _ = vm;
        output(fd)
    }

    Always fn fd_filestat_set_times(
        vm, fd: u32, _accessed: u64, _modified: u64, _flags: u32,
    ) -> WasiResult {
        let _ = vm;
        output(fd)
    }

    Always fn fd_prestat_get(vm, _fd: u32, _stat_out: u32) -> WasiResult {
        // The answer that ends the search for preopened folders.
        bad_file(vm)
    }

    Always fn fd_prestat_dir_name(vm, _fd: u32, _path: u32, _size: u32) -> WasiResult {
        no_files(vm)
    }

    Always fn fd_readdir(
        vm, _fd: u32, _buffer: u32, _size: u32, _cookie: u64, read_out: u32,
    ) -> WasiResult {
        vm.write_u32(read_out, 0)?;
        Err(Errno::NotDirectory)
    }

    Always fn fd_renumber(vm, from: u32, to: u32) -> WasiResult {
        output(from)?;
        output(to)?;
        unsupported(vm)
    }

    Always fn path_open(
        vm, _fd: u32, _lookup: u32, _path: u32, _size: u32, _how: u32, _rights: u64,
        _inheriting: u64, _flags: u32, _fd_out: u32,
    ) -> WasiResult {
        let _ = vm;
        Err(Errno::NoEntry)
    }

    Always fn path_create_directory(vm, _fd: u32, _path: u32, _size: u32) -> WasiResult {
        unsupported(vm)
    }

    Always fn path_filestat_get(
        vm, _fd: u32, _flags: u32, _path: u32, _size: u32, _stat_out: u32,
    ) -> WasiResult {
        unsupported(vm)
    }

    Always fn path_filestat_set_times(
        vm, _fd: u32, _lookup: u32, _path: u32, _size: u32, _accessed: u64, _modified: u64,
        _flags: u32,
    ) -> WasiResult {
        unsupported(vm)
    }

    Always fn path_link(
        vm, _fd: u32, _flags: u32, _path: u32, _size: u32, _to: u32, _to_path: u32, _to_size: u32,
    ) -> WasiResult {
        unsupported(vm)
    }

    Always fn path_readlink(
        vm, _fd: u32, _path: u32, _size: u32, _buffer: u32, _buffer_size: u32, read_out: u32,
    ) -> WasiResult {
        vm.write_u32(read_out, 0)?;
        unsupported(vm)
    }

    Always fn path_remove_directory(vm, _fd: u32, _path: u32, _size: u32) -> WasiResult {
        unsupported(vm)
    }

    Always fn path_rename(
        vm, _fd: u32, _path: u32, _size: u32, _to: u32, _to_path: u32, _to_size: u32,
    ) -> WasiResult {
        unsupported(vm)
    }

    Always fn path_symlink(
        vm, _path: u32, _size: u32, _fd: u32, _to_path: u32, _to_size: u32,
    ) -> WasiResult {
        unsupported(vm)
    }

    Always fn path_unlink_file(vm, _fd: u32, _path: u32, _size: u32) -> WasiResult {
        unsupported(vm)
    }

    Always fn sock_accept(vm, _fd: u32, _flags: u32, _fd_out: u32) -> WasiResult {
        unsupported(vm)
    }

    Always fn sock_recv(
        vm, _fd: u32, _parts: u32, _count: u32, _flags: u32, _size_out: u32, _flags_out: u32,
    ) -> WasiResult {
        unsupported(vm)
    }

    Always fn sock_send(
        vm, _fd: u32, _parts: u32, _count: u32, _flags: u32, _size_out: u32,
    ) -> WasiResult {
        unsupported(vm)
    }

    Always fn sock_shutdown(vm, _fd: u32, _how: u32) -> WasiResult {
        unsupported(vm)
    }

    Always fn environ_sizes_get(vm, count_out: u32, size_out: u32) -> WasiResult {
        let variables = &vm.settings.environment;
        let size: usize = variables.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
        vm.write_u32(count_out, size32(variables.len())?)?;
        Ok(vm.write_u32(size_out, size32(size)?)?)
    }

    Always fn environ_get(vm, pointers: u32, buffer: u32) -> WasiResult {
        let (mut pointer, mut at) = (pointers, buffer);
        for (name, value) in &vm.settings.environment {
            let text = format!("{name}={value}\0");
            vm.write_u32(pointer, at)?;
            vm.write(at, text.as_bytes())?;
            pointer = pointer.checked_add(4).ok_or(Errno::Fault)?;
            at = at.checked_add(size32(text.len())?).ok_or(Errno::Fault)?;
        }
        Ok(())
    }

    Always fn args_sizes_get(vm, count_out: u32, size_out: u32) -> WasiResult {
        vm.write_u32(count_out, 0)?;
        Ok(vm.write_u32(size_out, 0)?)
    }

    Always fn args_get(vm, _pointers: u32, _buffer: u32) -> WasiResult {
        let _ = vm;
        Ok(())
    }

    Always fn clock_time_get(vm, clock: u32, _precision: u64, time_out: u32) -> WasiResult {
        let time = match clock {
            0 => clock::real(),
            1 => clock::monotonic(),
            _ => return unsupported(vm),
        };
        Ok(vm.write_u64(time_out, time)?)
    }

    Always fn clock_res_get(vm, clock: u32, resolution_out: u32) -> WasiResult {
        match clock {
            0 | 1 => Ok(vm.write_u64(resolution_out, 1)?),
            _ => unsupported(vm),
        }
    }

    Always fn random_get(vm, buffer: u32, size: u32) -> WasiResult {
        if size > MAX_RANDOM_BYTES {
            return Err(Errno::Invalid);
        }
        vm.fill(buffer, size, random)?
    }

    Always fn poll_oneoff(
        vm, _subscriptions: u32, _events: u32, _count: u32, count_out: u32,
    ) -> WasiResult {
        // Nothing ever happens, and nobody waits: a worker must not sleep.
        Ok(vm.write_u32(count_out, 0)?)
    }

    Always fn sched_yield(vm) -> WasiResult {
        let _ = vm;
        Ok(())
    }

    Always fn proc_exit(vm, code: u32) -> () {
        if code != 0 {
            let message = format!("the plugin called proc_exit({code})");
            vm.log(LogLevel::Error, message.as_bytes());
        }
    }
}

fn output(fd: u32) -> WasiResult {
    if matches!(fd, 1 | 2) {
        return Ok(());
    }
    Err(Errno::BadFile)
}

fn no_files(_: &Vm) -> WasiResult {
    Err(Errno::NotImplemented)
}

fn bad_file(_: &Vm) -> WasiResult {
    Err(Errno::BadFile)
}

fn unsupported(_: &Vm) -> WasiResult {
    Err(Errno::NotSupported)
}

fn write(vm: &Vm, fd: u32, parts: u32, count: u32, written_out: u32) -> WasiResult {
    output(fd)?;
    let level = if fd == 1 {
        LogLevel::Info
    } else {
        LogLevel::Error
    };
    let mut text = Vec::new();
    for index in 0..count {
        let part = index.checked_mul(8).and_then(|it| parts.checked_add(it));
        let part = part.ok_or(Errno::Fault)?;
        let size_at = part.checked_add(4).ok_or(Errno::Fault)?;
        text.extend_from_slice(vm.bytes(vm.read_u32(part)?, vm.read_u32(size_at)?)?);
    }
    let written = size32(text.len())?;
    if written > 0 {
        vm.log(level, text.strip_suffix(b"\n").unwrap_or(&text));
    }
    Ok(vm.write_u32(written_out, written)?)
}

fn random(mut out: &mut [u8]) -> WasiResult {
    while !out.is_empty() {
        // SAFETY: the range is there to be written.
        let got = unsafe { libc::getrandom(out.as_mut_ptr().cast(), out.len(), 0) };
        let Ok(got) = usize::try_from(got) else {
            if std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted {
                continue;
            }
            return Err(Errno::NotSupported);
        };
        out = &mut out[got..];
    }
    Ok(())
}
