//! The format of precompiled modules.
//!
//! ```text
//! 16  magic
//!  4  checksum (CRC-32) of all that follows
//!  4  length of the fingerprint
//!  4  length of the bytecode
//!  4  checksum of the bytecode
//! 32  SHA-256 of the bytecode
//!  n  fingerprint: what the code depends on, in words (see `engine`)
//!  m  wasmer's artifact
//! ```
//!
//! Integers are little-endian. The checksums find damage and mix-ups, not malice:
//! precompiled code is as trusted as the process itself. Who has the code at hand goes
//! by the bytecode's checksum, since hashing takes a fifth of the time of loading; who
//! looks it up by the bytecode alone, as the code cache does, by the hash.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use wasmer_compiler::{Artifact, ArtifactCreate as _, Engine};

use crate::error::{Code, Error, Result};
use crate::load::engine;

const MAGIC: &[u8; 16] = b"\0rust-wasm-code2";
const HEADER: usize = 16 + 4 + 4 + 4 + 4 + 32;

/// Names bytecode.
#[derive(Clone, Copy)]
pub(crate) struct BytecodeId {
    size: u32,
    checksum: u32,
    pub(crate) hash: [u8; 32],
}

impl BytecodeId {
    pub(crate) fn of(bytecode: &[u8]) -> Self {
        Self {
            size: size_of_bytecode(bytecode),
            checksum: crc32fast::hash(bytecode),
            hash: Sha256::digest(bytecode).into(),
        }
    }

    /// Whether this bytecode is the one, and not another by mistake.
    pub(crate) fn matches(&self, bytecode: &[u8]) -> bool {
        self.size == size_of_bytecode(bytecode) && self.checksum == crc32fast::hash(bytecode)
    }
}

/// No module is as large as 4 GiB.
fn size_of_bytecode(bytecode: &[u8]) -> u32 {
    u32::try_from(bytecode.len()).unwrap_or(u32::MAX)
}

/// Serializes `artifact`, compiled from this bytecode.
pub(crate) fn write(artifact: &Artifact, bytecode: &BytecodeId) -> Result<Vec<u8>> {
    let code = artifact
        .serialize()
        .map_err(|error| Error::new(Code::InvalidState, format!("cannot serialize: {error}")))?;
    let fingerprint = engine::fingerprint().as_bytes();
    let mut out = Vec::with_capacity(HEADER + fingerprint.len() + code.len());
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[0; 4]);
    // A few hundred bytes.
    out.extend_from_slice(
        &u32::try_from(fingerprint.len())
            .unwrap_or(u32::MAX)
            .to_le_bytes(),
    );
    out.extend_from_slice(&bytecode.size.to_le_bytes());
    out.extend_from_slice(&bytecode.checksum.to_le_bytes());
    out.extend_from_slice(&bytecode.hash);
    out.extend_from_slice(fingerprint);
    out.extend_from_slice(&code);
    let checksum = crc32fast::hash(&out[20..]);
    out[16..20].copy_from_slice(&checksum.to_le_bytes());
    Ok(out)
}

/// Loads what [`write`] made, if it was made from the right bytecode.
pub(crate) fn read(
    data: &[u8],
    is_right: impl Fn(&BytecodeId) -> bool,
) -> Result<(Engine, Arc<Artifact>, BytecodeId)> {
    let (code, bytecode) = check(data, is_right)?;
    let engine = engine::for_loading();
    // SAFETY: the code is trusted by the contract of `Source::precompiled`, undamaged
    // by its checksum, and made for a runtime and CPU like this one by its
    // fingerprint.
    let artifact = unsafe { engine.deserialize_unchecked(code.to_vec().into()) }
        .map_err(|error| refuse(error.to_string()))?;
    Ok((engine, artifact, bytecode))
}

fn check(data: &[u8], is_right: impl Fn(&BytecodeId) -> bool) -> Result<(&[u8], BytecodeId)> {
    let Some((header, rest)) = data.split_first_chunk::<HEADER>() else {
        return Err(refuse("it is truncated"));
    };
    if !header.starts_with(MAGIC) {
        return Err(refuse("it was not made by this runtime"));
    }
    let word = |at: usize| {
        u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    if crc32fast::hash(&data[20..]) != word(16) {
        return Err(refuse("it is damaged: the checksum does not match"));
    }
    let Some((fingerprint, code)) = rest.split_at_checked(word(20) as usize) else {
        return Err(refuse("it is truncated"));
    };
    if fingerprint != engine::fingerprint().as_bytes() {
        return Err(refuse(format!(
            "it was made for [{}], this is [{}]",
            String::from_utf8_lossy(fingerprint),
            engine::fingerprint(),
        )));
    }
    let mut bytecode = BytecodeId {
        size: word(24),
        checksum: word(28),
        hash: [0; 32],
    };
    bytecode.hash.copy_from_slice(&header[32..]);
    if !is_right(&bytecode) {
        return Err(refuse("it was made from other bytecode"));
    }
    Ok((code, bytecode))
}

fn refuse(reason: impl std::fmt::Display) -> Error {
    Error::new(
        Code::Incompatible,
        format!("precompiled code not used: {reason}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTECODE: &[u8] = b"bytecode";

    fn sample() -> Vec<u8> {
        let fingerprint = engine::fingerprint().as_bytes();
        let bytecode = BytecodeId::of(BYTECODE);
        let mut data = MAGIC.to_vec();
        data.extend_from_slice(&[0; 4]);
        data.extend_from_slice(
            &u32::try_from(fingerprint.len())
                .expect("short")
                .to_le_bytes(),
        );
        data.extend_from_slice(&bytecode.size.to_le_bytes());
        data.extend_from_slice(&bytecode.checksum.to_le_bytes());
        data.extend_from_slice(&bytecode.hash);
        data.extend_from_slice(fingerprint);
        data.extend_from_slice(b"code");
        seal(&mut data);
        data
    }

    fn seal(data: &mut [u8]) {
        let checksum = crc32fast::hash(&data[20..]);
        data[16..20].copy_from_slice(&checksum.to_le_bytes());
    }

    fn reason(data: &[u8], is_right: impl Fn(&BytecodeId) -> bool) -> String {
        let Err(error) = check(data, is_right) else {
            panic!("accepted");
        };
        assert_eq!(error.code(), Code::Incompatible);
        error.message().to_owned()
    }

    fn any(_: &BytecodeId) -> bool {
        true
    }

    #[test]
    fn accepts_its_own() {
        let sample = sample();
        let (code, bytecode) = check(&sample, |it| it.matches(BYTECODE)).expect("accepted");
        assert_eq!(code, b"code");
        assert_eq!(bytecode.hash, BytecodeId::of(BYTECODE).hash);
        check(&sample, any).expect("accepted");
    }

    #[test]
    fn refuses_every_truncation_and_every_flipped_bit() {
        let data = sample();
        for size in 0..data.len() {
            reason(&data[..size], any);
        }
        for at in 0..data.len() * 8 {
            let mut flipped = data.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            reason(&flipped, any);
        }
    }

    #[test]
    fn says_why() {
        for other in [&b"bytecodf"[..], b"bytecode\0", b""] {
            let reason = reason(&sample(), |it| it.matches(other));
            assert!(reason.contains("other bytecode"));
        }
        assert!(reason(b"\0asm", any).contains("truncated"));
        let mut other = sample();
        let last = HEADER + engine::fingerprint().len() - 1;
        other[last] = b'?';
        seal(&mut other);
        assert!(reason(&other, any).contains("it was made for ["));
    }
}
