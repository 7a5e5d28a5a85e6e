//! Zigzag varints as record fields use them (KIP-98): 7 bits a byte, low bits first, at most 5 or 10 bytes.
//!
//! Owns reading with bounds and writing. A value that does not fit its type is an error; a longer form than needed is
//! read, since Kafka reads it.

/// Takes a signed 32-bit varint off the front of `input`; `None` when it is cut short or does not fit.
#[inline]
pub(crate) fn take_i32(input: &mut &[u8]) -> Option<i32> {
    // Nearly every length and delta of a real record fits one byte.
    if let [first, rest @ ..] = *input
        && *first < 0x80
    {
        *input = rest;
        let raw = u32::from(*first);
        return Some((raw >> 1) as i32 ^ -((raw & 1) as i32));
    }
    let raw = u32::try_from(take_unsigned(input, 5)?).ok()?;
    Some((raw >> 1) as i32 ^ -((raw & 1) as i32))
}

/// Takes a signed 64-bit varint off the front of `input`; `None` when it is cut short or does not fit.
#[inline]
pub(crate) fn take_i64(input: &mut &[u8]) -> Option<i64> {
    let raw = take_unsigned(input, 10)?;
    Some((raw >> 1) as i64 ^ -((raw & 1) as i64))
}

fn take_unsigned(input: &mut &[u8], bytes_max: u32) -> Option<u64> {
    let mut value = 0u64;
    let mut rest = *input;
    for at in 0..bytes_max {
        let (byte, tail) = rest.split_first()?;
        rest = tail;
        let bits = u64::from(byte & 0x7f);
        let shifted = bits << (7 * at);
        if shifted >> (7 * at) != bits {
            return None;
        }
        value |= shifted;
        if byte & 0x80 == 0 {
            *input = rest;
            return Some(value);
        }
    }
    None
}

pub(crate) fn put_i32(out: &mut Vec<u8>, value: i32) {
    put_unsigned(out, u64::from(((value << 1) ^ (value >> 31)) as u32));
}

pub(crate) fn put_i64(out: &mut Vec<u8>, value: i64) {
    put_unsigned(out, ((value << 1) ^ (value >> 63)) as u64);
}

fn put_unsigned(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Bytes that [`put_i32`] writes.
pub(crate) fn len_i32(value: i32) -> usize {
    len_unsigned(u64::from(((value << 1) ^ (value >> 31)) as u32))
}

/// Bytes that [`put_i64`] writes.
pub(crate) fn len_i64(value: i64) -> usize {
    len_unsigned(((value << 1) ^ (value >> 63)) as u64)
}

fn len_unsigned(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}
