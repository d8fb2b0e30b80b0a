//! Numbers in as few bytes as they need: seven bits a byte, the lowest first (LEB128).

/// Appends a number.
pub(crate) fn write(mut n: u64, out: &mut Vec<u8>) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Takes a number from the start of `bytes`; `None` when it is cut off or has more than 64 bits.
pub(crate) fn read(bytes: &mut &[u8]) -> Option<u64> {
    let (mut n, mut shift) = (0u64, 0);
    loop {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        n |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(n);
        }
        shift += 7;
    }
}

/// Appends bytes with their length.
pub(crate) fn write_bytes(part: &[u8], out: &mut Vec<u8>) {
    write(part.len() as u64, out);
    out.extend_from_slice(part);
}

/// Takes bytes with their length.
pub(crate) fn read_bytes<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(read(bytes)?).ok()?;
    let (part, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(part)
}

/// Small numbers of either sign as small numbers.
pub(crate) fn zigzag(n: i64) -> u64 {
    ((n << 1) ^ (n >> 63)).cast_unsigned()
}

/// The inverse of [`zigzag`].
pub(crate) fn unzigzag(n: u64) -> i64 {
    (n >> 1).cast_signed() ^ -(n & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(n in any::<i64>(), shift in 0u32..64, text in prop::collection::vec(any::<u8>(), 0..200)) {
            let n = n >> shift;
            let mut out = Vec::new();
            write(zigzag(n), &mut out);
            write_bytes(&text, &mut out);
            for cut in 0..out.len() {
                let mut bytes = &out[..cut];
                prop_assert!(read(&mut bytes).and_then(|_| read_bytes(&mut bytes)).is_none());
            }
            let mut bytes = out.as_slice();
            prop_assert_eq!(read(&mut bytes).map(unzigzag), Some(n));
            prop_assert_eq!(read_bytes(&mut bytes), Some(text.as_slice()));
            prop_assert!(bytes.is_empty());
        }
    }
}
