//! The encoding of maps: number of pairs, then both sizes of each, then the
//! NUL-terminated names and values; all numbers 32 bit little-endian.

use crate::abi::{HostResult, Status};

/// A map as it crosses the boundary, in order, with repeated names.
pub type Pairs<'a> = Vec<(&'a [u8], &'a [u8])>;

/// Something that takes a map.
pub type UsePairs<'f> = dyn FnMut(&[(&[u8], &[u8])]) + 'f;

/// proxy-wasm-cpp-host's limits (`limits.h`).
const MAX_BYTES: usize = 1 << 20;
const MAX_COUNT: usize = 1024;

/// Bytes that [`encode`] fills.
pub(crate) fn encoded_size(pairs: &[(&[u8], &[u8])]) -> usize {
    let each = |(name, value): &(&[u8], &[u8])| 8 + name.len() + 1 + value.len() + 1;
    4 + pairs.iter().map(each).sum::<usize>()
}

/// The encoding, in memory of its own.
pub fn encode_pairs(pairs: &[(&[u8], &[u8])]) -> HostResult<Vec<u8>> {
    let mut out = vec![0; encoded_size(pairs)];
    encode(pairs, &mut out)?;
    Ok(out)
}

/// Writes the encoding to `out`, which is [`encoded_size`] bytes.
pub(crate) fn encode(pairs: &[(&[u8], &[u8])], out: &mut [u8]) -> HostResult {
    let mut rest = out;
    put_number(&mut rest, pairs.len())?;
    for (name, value) in pairs {
        put_number(&mut rest, name.len())?;
        put_number(&mut rest, value.len())?;
    }
    for (name, value) in pairs {
        for text in [name, value] {
            put(&mut rest, text)?;
            put(&mut rest, &[0])?;
        }
    }
    Ok(())
}

fn put(out: &mut &mut [u8], data: &[u8]) -> HostResult {
    out.split_off_mut(..data.len())
        .ok_or(Status::InternalFailure)?
        .copy_from_slice(data);
    Ok(())
}

fn put_number(out: &mut &mut [u8], number: usize) -> HostResult {
    let number = u32::try_from(number).map_err(|_| Status::SerializationFailure)?;
    put(out, &number.to_le_bytes())
}

/// Decodes a map. Empty input is the empty map.
pub(crate) fn decode(data: &[u8]) -> HostResult<Pairs<'_>> {
    if data.is_empty() {
        return Ok(Vec::new());
    }
    if data.len() > MAX_BYTES {
        return Err(Status::BadArgument);
    }
    decode_checked(data).ok_or(Status::ParseFailure)
}

fn decode_checked(data: &[u8]) -> Option<Pairs<'_>> {
    let (count, rest) = number(data)?;
    if count > MAX_COUNT || count.checked_mul(8)? > rest.len() {
        return None;
    }
    let (mut sizes, mut texts) = rest.split_at(count * 8);
    let mut pairs = Vec::with_capacity(count);
    for _ in 0..count {
        let (name_size, rest) = number(sizes)?;
        let (value_size, rest) = number(rest)?;
        sizes = rest;
        let (name, rest) = text(texts, name_size)?;
        let (value, rest) = text(rest, value_size)?;
        texts = rest;
        pairs.push((name, value));
    }
    texts.is_empty().then_some(pairs)
}

fn number(data: &[u8]) -> Option<(usize, &[u8])> {
    let (bytes, rest) = data.split_first_chunk::<4>()?;
    Some((usize::try_from(u32::from_le_bytes(*bytes)).ok()?, rest))
}

fn text(data: &[u8], size: usize) -> Option<(&[u8], &[u8])> {
    let (text, rest) = data.split_at_checked(size)?;
    Some((text, rest.strip_prefix(&[0])?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to_vec(pairs: &[(&[u8], &[u8])]) -> HostResult<Vec<u8>> {
        let mut out = vec![0; encoded_size(pairs)];
        encode(pairs, &mut out)?;
        Ok(out)
    }

    #[test]
    fn round_trip() {
        let pairs: Pairs<'_> = vec![(b":path", b"/"), (b"a", b""), (b"a", b"\0\xff")];
        let data = to_vec(&pairs).expect("encodes");
        assert_eq!(data.len(), encoded_size(&pairs));
        assert_eq!(&data[..12], &[3, 0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(decode(&data), Ok(pairs));
        assert_eq!(decode(&[]), Ok(vec![]));
        assert_eq!(decode(&[0; 4]), Ok(vec![]));
    }

    #[test]
    fn damaged_input_is_refused() {
        let good = to_vec(&[(b"name", b"value")]).expect("encodes");
        for cut in 1..good.len() {
            assert_eq!(decode(&good[..cut]), Err(Status::ParseFailure), "{cut}");
        }
        let mut longer = good.clone();
        longer.push(0);
        assert_eq!(decode(&longer), Err(Status::ParseFailure));
        let mut unterminated = good.clone();
        unterminated[16] = b'x';
        assert_eq!(decode(&unterminated), Err(Status::ParseFailure));
        let mut endless = good;
        endless[0..4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(decode(&endless), Err(Status::ParseFailure));
        assert_eq!(decode(&vec![0; MAX_BYTES + 1]), Err(Status::BadArgument));
    }
}
