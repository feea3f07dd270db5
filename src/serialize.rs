//! The format of precompiled modules.
//!
//! ```text
//! 16  magic
//!  4  checksum (CRC-32) of all that follows
//!  4  length of the fingerprint
//! 32  SHA-256 of the bytecode
//!  n  fingerprint: what the code depends on, in words (see `engine`)
//!  m  wasmer's artifact
//! ```
//!
//! Integers are little-endian. The checksum finds damage, not malice: precompiled
//! code is as trusted as the process itself.

use std::sync::Arc;

use wasmer_compiler::{Artifact, ArtifactCreate as _, Engine};

use crate::engine;
use crate::error::{Code, Error, Result};

const MAGIC: &[u8; 16] = b"\0rust-wasm-code1";
const HEADER: usize = 16 + 4 + 4 + 32;

/// Serializes `artifact`, compiled from bytecode with this hash.
pub(crate) fn write(artifact: &Artifact, bytecode_hash: &[u8; 32]) -> Result<Vec<u8>> {
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
    out.extend_from_slice(bytecode_hash);
    out.extend_from_slice(fingerprint);
    out.extend_from_slice(&code);
    let checksum = crc32fast::hash(&out[20..]);
    out[16..20].copy_from_slice(&checksum.to_le_bytes());
    Ok(out)
}

/// Loads what [`write`] made. With `bytecode_hash`, it must have been made from that
/// bytecode.
pub(crate) fn read(
    data: &[u8],
    bytecode_hash: Option<&[u8; 32]>,
) -> Result<(Engine, Arc<Artifact>)> {
    let code = check(data, bytecode_hash)?;
    let engine = engine::for_loading();
    // SAFETY: the code is trusted by the contract of `Source::precompiled`, undamaged
    // by its checksum, and made for a runtime and CPU like this one by its
    // fingerprint.
    let artifact = unsafe { engine.deserialize_unchecked(code.to_vec().into()) }
        .map_err(|error| refuse(error.to_string()))?;
    Ok((engine, artifact))
}

fn check<'a>(data: &'a [u8], bytecode_hash: Option<&[u8; 32]>) -> Result<&'a [u8]> {
    let Some((header, rest)) = data.split_at_checked(HEADER) else {
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
    if bytecode_hash.is_some_and(|hash| header[24..] != hash[..]) {
        return Err(refuse("it was made from other bytecode"));
    }
    Ok(code)
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

    fn sample() -> Vec<u8> {
        let fingerprint = engine::fingerprint().as_bytes();
        let mut data = MAGIC.to_vec();
        data.extend_from_slice(&[0; 4]);
        data.extend_from_slice(
            &u32::try_from(fingerprint.len())
                .expect("short")
                .to_le_bytes(),
        );
        data.extend_from_slice(&[7; 32]);
        data.extend_from_slice(fingerprint);
        data.extend_from_slice(b"code");
        seal(&mut data);
        data
    }

    fn seal(data: &mut [u8]) {
        let checksum = crc32fast::hash(&data[20..]);
        data[16..20].copy_from_slice(&checksum.to_le_bytes());
    }

    fn reason(data: &[u8], hash: Option<&[u8; 32]>) -> String {
        let error = check(data, hash).expect_err("refused");
        assert_eq!(error.code(), Code::Incompatible);
        error.message().to_owned()
    }

    #[test]
    fn accepts_its_own() {
        assert_eq!(check(&sample(), Some(&[7; 32])).expect("accepted"), b"code");
        assert_eq!(check(&sample(), None).expect("accepted"), b"code");
    }

    #[test]
    fn refuses_every_truncation_and_every_flipped_bit() {
        let data = sample();
        for size in 0..data.len() {
            reason(&data[..size], None);
        }
        for at in 0..data.len() * 8 {
            let mut flipped = data.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            reason(&flipped, None);
        }
    }

    #[test]
    fn says_why() {
        assert!(reason(&sample(), Some(&[8; 32])).contains("other bytecode"));
        assert!(reason(b"\0asm", None).contains("truncated"));
        let mut other = sample();
        let last = HEADER + engine::fingerprint().len() - 1;
        other[last] = b'?';
        seal(&mut other);
        assert!(reason(&other, None).contains("it was made for ["));
    }
}
