//! The code cache: a folder of precompiled modules, one file per module and kind of
//! machine, shared by processes of one user.
//!
//! Whoever stores a file sees to it that all together are not too large: those go that have
//! been used least recently, which is what a file's time of modification says. Another
//! process may be reading such a file, and reads on; or may be removing it too.

use std::fmt::Write as _;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};
use wasmer_compiler::{Artifact, Engine};

use crate::error::{Code, Error, Result};
use crate::load::engine;
use crate::load::serialize;

/// Loads the code for bytecode with this hash. `None` if it is not there.
pub(crate) fn load(
    dir: &Path,
    bytecode_hash: &[u8; 32],
) -> Result<Option<(Engine, Arc<Artifact>)>> {
    let path = path(dir, bytecode_hash);
    let read = || -> io::Result<Option<Vec<u8>>> {
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        // Only what this user wrote is run.
        check_owner("folder", &fs::metadata(dir)?)?;
        check_owner("file", &file.metadata()?)?;
        // It is in use. No more is lost than its turn when this cannot be said.
        let _ = file.set_modified(SystemTime::now());
        let mut data = Vec::new();
        file.read_to_end(&mut data)?;
        Ok(Some(data))
    };
    match read().map_err(|error| unusable(&path, &error))? {
        Some(data) => serialize::read(&data, |it| it.hash == *bytecode_hash)
            .map(|(engine, artifact, _)| Some((engine, artifact))),
        None => Ok(None),
    }
}

/// Stores code for bytecode with this hash, in a folder of so many bytes.
pub(crate) fn store(
    dir: &Path,
    bytecode_hash: &[u8; 32],
    code: &[u8],
    max_bytes: u64,
) -> Result<()> {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let target = path(dir, bytecode_hash);
    let unique = COUNTER.fetch_add(1, Ordering::Relaxed);
    let partial = target.with_extension(format!("{}-{unique}.partial", std::process::id()));
    let write = || -> io::Result<()> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)?;
        check_owner("folder", &fs::metadata(dir)?)?;
        if code.len() as u64 > max_bytes {
            let text = format!("{} bytes of code, more than {max_bytes}", code.len());
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
        }
        let mut file: File = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&partial)?;
        file.write_all(code)?;
        // Readers see a whole file or none.
        fs::rename(&partial, &target)?;
        evict(dir, &target, max_bytes)
    };
    write().map_err(|error| {
        // It may not exist; the first error is the one to tell.
        let _ = fs::remove_file(&partial);
        unusable(&target, &error)
    })
}

/// Removes the files that were used least recently, until the others have at most so many
/// bytes, but not the one that is `new`. What is not this cache's is left alone.
fn evict(dir: &Path, new: &Path, max_bytes: u64) -> io::Result<()> {
    let mut all = 0_u64;
    let mut old = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        // One that is gone has been removed by another process.
        let Ok(metadata) = fs::symlink_metadata(&path) else {
            continue;
        };
        let used = metadata.modified()?;
        match kind(&path).filter(|_| metadata.is_file()) {
            Some(Kind::Code) => all = all.saturating_add(metadata.len()),
            // Its writer has died.
            Some(Kind::Partial) if used.elapsed().is_ok_and(|it| it > STALE) => {
                let _ = fs::remove_file(&path);
                continue;
            }
            _ => continue,
        }
        if path != new {
            old.push((used, metadata.len(), path));
        }
    }
    old.sort();
    for (_, size, path) in old {
        if all <= max_bytes {
            break;
        }
        if fs::remove_file(&path).is_ok() || !path.exists() {
            all -= size;
        }
    }
    Ok(())
}

/// The age of a partial file that nobody writes to any more.
const STALE: Duration = Duration::from_secs(3600);

enum Kind {
    Code,
    Partial,
}

/// What a file is, by the names that [`store`] gives.
fn kind(path: &Path) -> Option<Kind> {
    let (hash, rest) = path.file_name()?.to_str()?.split_once('.')?;
    if hash.len() != 64 || !hash.bytes().all(|it| it.is_ascii_hexdigit()) {
        return None;
    }
    match rest {
        "code" => Some(Kind::Code),
        rest if rest.ends_with(".partial") => Some(Kind::Partial),
        _ => None,
    }
}

/// It must belong to this user, and nobody else may write to it: it is, or holds,
/// machine code.
fn check_owner(what: &str, metadata: &Metadata) -> io::Result<()> {
    // SAFETY: plain call.
    let user = unsafe { libc::geteuid() };
    if is_private(metadata.uid(), metadata.mode(), user) {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::PermissionDenied,
        format!("the {what} must belong to this user and be writable by nobody else"),
    ))
}

fn is_private(owner: u32, mode: u32, user: u32) -> bool {
    owner == user && mode & 0o022 == 0
}

fn path(dir: &Path, bytecode_hash: &[u8; 32]) -> PathBuf {
    let mut hasher = Sha256::new();
    hasher.update(bytecode_hash);
    hasher.update(engine::fingerprint());
    let mut name = String::with_capacity(64 + 5);
    for byte in hasher.finalize() {
        let _ = write!(name, "{byte:02x}");
    }
    name.push_str(".code");
    dir.join(name)
}

fn unusable(path: &Path, error: &io::Error) -> Error {
    Error::new(
        Code::Resource,
        format!("code cache {}: {error}", path.display()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_user_owns_or_writes_to_is_not_private() {
        assert!(is_private(5, 0o100_600, 5) && is_private(0, 0o040_755, 0));
        for (owner, mode, user) in [
            (5, 0o100_600, 6),
            (5, 0o100_600, 0),
            (0, 0o100_600, 5),
            (5, 0o100_620, 5),
            (5, 0o100_602, 5),
            (5, 0o041_777, 5),
        ] {
            assert!(!is_private(owner, mode, user), "{owner} {mode:o} {user}");
        }
    }
}
