//! Custom sections of bytecode: the one with compiled code, and bytecode without such.

use std::borrow::Cow;

const HEADER: usize = 8;
/// Sections of any engine's compiled code have it in their names.
const PRECOMPILED: &[u8] = b"precompiled_";

/// Bytecode as it was before compiled code was added to it, which is what that code is
/// checked against, and the payload of the section `name`.
pub(crate) fn split<'a>(code: &'a [u8], name: &[u8]) -> (Cow<'a, [u8]>, &'a [u8]) {
    let (mut stripped, mut found) = (Cow::Borrowed(code), &[][..]);
    let Some((header, mut rest)) = code.split_at_checked(HEADER) else {
        return (stripped, found);
    };
    while !rest.is_empty() {
        let section = rest;
        let Some((id, payload)) = take_section(&mut rest) else {
            // The compiler says what is wrong with it.
            return (Cow::Borrowed(code), &[]);
        };
        let size = section.len() - rest.len();
        let custom = if id == 0 { take_name(payload) } else { None };
        match custom {
            Some((it, content)) if it.windows(PRECOMPILED.len()).any(|it| it == PRECOMPILED) => {
                if it == name {
                    found = content;
                }
                if let Cow::Borrowed(_) = stripped {
                    let before = code.len() - section.len();
                    let mut all = header.to_vec();
                    all.extend_from_slice(&code[HEADER..before]);
                    stripped = Cow::Owned(all);
                }
            }
            _ => {
                if let Cow::Owned(all) = &mut stripped {
                    all.extend_from_slice(&section[..size]);
                }
            }
        }
    }
    (stripped, found)
}

fn take_section<'a>(code: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let id = *code.split_off_first()?;
    let size = number(code)?;
    Some((id, code.split_off(..size)?))
}

fn take_name(mut payload: &[u8]) -> Option<(&[u8], &[u8])> {
    let size = number(&mut payload)?;
    payload.split_at_checked(size)
}

/// LEB128, 32 bit.
fn number(data: &mut &[u8]) -> Option<usize> {
    let mut value = 0usize;
    for shift in [0, 7, 14, 21, 28] {
        let byte = *data.split_off_first()?;
        value |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(id: u8, payload: &[u8]) -> Vec<u8> {
        let size = u8::try_from(payload.len()).expect("it is small");
        [&[id, size][..], payload].concat()
    }

    #[test]
    fn compiled_code_is_taken_out() {
        let header = b"\0asm\x01\0\0\0".to_vec();
        let first = section(1, b"types");
        let ours = section(0, b"\x10precompiled_oursCODE");
        let other = section(0, b"\x0fprecompiled_v8_?");
        let last = section(0, b"\x04name...");
        let plain = [&header[..], &first, &last].concat();
        let code = [header, first, ours, other, last].concat();
        let (stripped, found) = split(&code, b"precompiled_ours");
        assert_eq!(*stripped, plain);
        assert_eq!(found, b"CODE");
        assert!(
            matches!(split(&plain, b"precompiled_ours"), (Cow::Borrowed(it), []) if it == plain)
        );
        for end in 0..code.len() {
            split(&code[..end], b"precompiled_ours");
        }
    }
}
