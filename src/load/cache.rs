//! The code cache: a folder of precompiled modules, one file per module and kind of
//! machine, shared by processes of one user.

use std::fmt::Write as _;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

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

/// Stores code for bytecode with this hash.
pub(crate) fn store(dir: &Path, bytecode_hash: &[u8; 32], code: &[u8]) -> Result<()> {
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
        let mut file: File = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&partial)?;
        file.write_all(code)?;
        // Readers see a whole file or none.
        fs::rename(&partial, &target)
    };
    write().map_err(|error| {
        // It may not exist; the first error is the one to tell.
        let _ = fs::remove_file(&partial);
        unusable(&target, &error)
    })
}

/// It must belong to this user, and nobody else may write to it: it is, or holds,
/// machine code.
fn check_owner(what: &str, metadata: &Metadata) -> io::Result<()> {
    // SAFETY: plain call.
    let user = unsafe { libc::geteuid() };
    if metadata.uid() != user || metadata.mode() & 0o022 != 0 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("the {what} must belong to this user and be writable by nobody else"),
        ));
    }
    Ok(())
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
