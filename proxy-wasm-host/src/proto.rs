//! As much of protobuf's wire format as hostcalls' arguments need.

/// A field's number and the bytes of its value, for strings, bytes and messages.
pub(crate) type BytesField<'a> = (u32, &'a [u8]);

/// A field's value.
#[derive(Clone, Copy)]
pub(crate) enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// All fields of a message; `None` if it is none.
pub(crate) fn fields(mut message: &[u8]) -> Option<Vec<(u32, Value<'_>)>> {
    let mut fields = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message)?;
        let number = u32::try_from(key >> 3).ok().filter(|it| *it > 0)?;
        let value = match key & 7 {
            0 => Value::Number(varint(&mut message)?),
            1 => Value::Number(u64::from_le_bytes(message.split_off(..8)?.try_into().ok()?)),
            2 => {
                let size = usize::try_from(varint(&mut message)?).ok()?;
                Value::Bytes(message.split_off(..size)?)
            }
            5 => {
                let bytes = message.split_off(..4)?.try_into().ok()?;
                Value::Number(u32::from_le_bytes(bytes).into())
            }
            // Groups are a thing of the past.
            _ => return None,
        };
        fields.push((number, value));
    }
    Some(fields)
}

/// The fields that are strings, bytes or messages.
pub(crate) fn bytes_fields(message: &[u8]) -> Option<Vec<BytesField<'_>>> {
    let bytes = |(number, value)| match value {
        Value::Bytes(bytes) => Some((number, bytes)),
        Value::Number(_) => None,
    };
    Some(fields(message)?.into_iter().filter_map(bytes).collect())
}

/// The field's value; of several, the last counts.
pub(crate) fn last<'a>(fields: &[BytesField<'a>], number: u32) -> Option<&'a [u8]> {
    let found = fields.iter().rev().find(|it| it.0 == number);
    found.map(|(_, value)| *value)
}

fn varint(data: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *data.split_off_first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_and_damage_is_seen() {
        let message = b"\x0a\x02ab\x10\x96\x01\x0a\x01c\x1d\0\0\0\0";
        let all = bytes_fields(message).expect("it is a message");
        assert_eq!(last(&all, 1), Some(&b"c"[..]));
        assert_eq!(last(&all, 2), None);
        let number = fields(message).expect("it is a message")[1];
        assert!(matches!(number, (2, Value::Number(150))));
        for end in [1, 3, 5, 13] {
            assert!(fields(&message[..end]).is_none(), "{end}");
        }
        for wrong in [
            &b"\0"[..],
            b"\x0b",
            b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            assert!(fields(wrong).is_none());
        }
    }
}
