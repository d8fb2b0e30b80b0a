//! Observations as bytes, in the partition they belong to.
//!
//! An integer is mixed by a bijection; the top bits of the result name the partition and the rest
//! is stored, so that nothing is lost: 3 bytes for an integer below 2³², 7 for any other, text by
//! its length. The two lowest bits of the first byte tell which. A count above one stands before.

#[cfg(test)]
use super::key::Key;

/// Bits of a mixed key that name its partition.
pub(crate) const PARTITION_BITS: u32 = 10;
/// Number of partitions.
pub(crate) const PARTITIONS: usize = 1 << PARTITION_BITS;
/// Bits that are stored of a small integer; also see [`SMALL_LEN`].
pub(crate) const SMALL_BITS: u32 = 32 - PARTITION_BITS;
/// Bits that are stored of any other integer.
pub(crate) const WIDE_BITS: u32 = 64 - PARTITION_BITS;

const SMALL: u8 = 0;
const WIDE: u8 = 1;
const COUNT: u8 = 2;
const TEXT: u8 = 3;

/// Bytes of a stored small integer.
pub(crate) const SMALL_LEN: usize = 3;
const WIDE_LEN: usize = 7;

/// Bijective (the finaliser of MurmurHash3).
#[inline(always)]
pub(crate) fn mix32(mut x: u32) -> u32 {
    x ^= x >> 16;
    x = x.wrapping_mul(0x85eb_ca6b);
    x ^= x >> 13;
    x = x.wrapping_mul(0xc2b2_ae35);
    x ^ x >> 16
}

/// The inverse of [`mix32`].
#[inline(always)]
pub(crate) fn unmix32(mut x: u32) -> u32 {
    x ^= x >> 16;
    x = x.wrapping_mul(0x7ed1_b41d);
    x ^= x >> 13 ^ x >> 26;
    x = x.wrapping_mul(0xa5cb_9243);
    x ^ x >> 16
}

/// Bijective (the finaliser of MurmurHash3).
#[inline(always)]
pub(crate) fn mix64(mut x: u64) -> u64 {
    x ^= x >> 33;
    x = x.wrapping_mul(0xff51_afd7_ed55_8ccd);
    x ^= x >> 33;
    x = x.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ x >> 33
}

/// The inverse of [`mix64`].
#[inline(always)]
pub(crate) fn unmix64(mut x: u64) -> u64 {
    x ^= x >> 33;
    x = x.wrapping_mul(0x9cb4_b2f8_1293_37db);
    x ^= x >> 33;
    x = x.wrapping_mul(0x4f74_430c_22a5_4005);
    x ^ x >> 33
}

/// The hash of text, which names its partition.
pub(crate) fn hash_text(text: &[u8], json: bool) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(text, u64::from(json))
}

/// The partition of an integer, and the entry: its bytes from the lowest on, and their number.
#[inline(always)]
pub(crate) fn place_int(n: i64) -> (usize, u64, usize) {
    match u32::try_from(n) {
        Ok(small) => {
            let mixed = mix32(small);
            let rest = u64::from(mixed & ((1 << SMALL_BITS) - 1));
            ((mixed >> SMALL_BITS) as usize, rest << 2 | u64::from(SMALL), SMALL_LEN)
        }
        Err(_) => {
            let mixed = mix64(n.cast_unsigned());
            let rest = mixed & ((1 << WIDE_BITS) - 1);
            ((mixed >> WIDE_BITS) as usize, rest << 2 | u64::from(WIDE), WIDE_LEN)
        }
    }
}

/// The small integer of a partition and its stored bits.
#[inline(always)]
pub(crate) fn small_of(partition: usize, rest: u32) -> i64 {
    i64::from(unmix32((partition as u32) << SMALL_BITS | rest))
}

/// Any other integer of a partition and its stored bits.
#[inline(always)]
pub(crate) fn wide_of(partition: usize, rest: u64) -> i64 {
    unmix64((partition as u64) << WIDE_BITS | rest).cast_signed()
}

/// The partition of a hash of text.
pub(crate) fn place_hash(hash: u64) -> usize {
    (hash >> WIDE_BITS) as usize
}

/// Appends the head of a count above one, which belongs to the entry that follows.
pub(crate) fn write_count(count: u64, out: &mut Vec<u8>) {
    write_head(COUNT, count, out);
}

/// Appends text.
pub(crate) fn write_text(text: &[u8], json: bool, out: &mut Vec<u8>) {
    write_head(TEXT, (text.len() as u64) << 1 | u64::from(json), out);
    out.extend_from_slice(text);
}

/// Five bits of a number beside the tag, then seven a byte; the top bit says that more follow.
fn write_head(tag: u8, mut n: u64, out: &mut Vec<u8>) {
    let first = tag | ((n & 31) as u8) << 2;
    n >>= 5;
    out.push(if n > 0 { first | 0x80 } else { first });
    while n > 0 {
        let byte = (n & 127) as u8;
        n >>= 7;
        out.push(if n > 0 { byte | 0x80 } else { byte });
    }
}

fn read_head(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    let mut n = u64::from(first >> 2 & 31);
    let (mut used, mut shift, mut more) = (1, 5, first & 0x80 != 0);
    while more {
        let byte = *bytes.get(used)?;
        n |= u64::from(byte & 127).checked_shl(shift)?;
        more = byte & 0x80 != 0;
        used += 1;
        shift += 7;
    }
    Some((n, used))
}

/// An entry as it was stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Entry<'a> {
    /// See [`small_of`].
    Small(u32),
    /// See [`wide_of`].
    Wide(u64),
    /// A string, or other JSON.
    Text(&'a [u8], bool),
}

#[cfg(test)]
impl<'a> Entry<'a> {
    /// The key it stands for in its partition.
    pub(crate) fn key(self, partition: usize) -> Key<'a> {
        match self {
            Entry::Small(rest) => Key::Int(small_of(partition, rest)),
            Entry::Wide(rest) => Key::Int(wide_of(partition, rest)),
            Entry::Text(text, false) => Key::Text(text),
            Entry::Text(json, true) => Key::Json(json),
        }
    }
}

/// Reads the entry at the start of `bytes`, its count, and how many bytes it took; `None` when it
/// goes on behind them.
#[inline(always)]
pub(crate) fn read(bytes: &[u8]) -> Option<(Entry<'_>, u64, usize)> {
    let first = *bytes.first()?;
    if first & 3 == SMALL {
        let low = bytes.get(..SMALL_LEN)?;
        let rest = u32::from(low[0]) | u32::from(low[1]) << 8 | u32::from(low[2]) << 16;
        return Some((Entry::Small(rest >> 2), 1, SMALL_LEN));
    }
    read_other(bytes)
}

fn read_other(bytes: &[u8]) -> Option<(Entry<'_>, u64, usize)> {
    let first = *bytes.first()?;
    match first & 3 {
        WIDE => {
            let low = bytes.get(..WIDE_LEN)?;
            let rest = low.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b));
            Some((Entry::Wide(rest >> 2), 1, WIDE_LEN))
        }
        COUNT => {
            let (count, used) = read_head(bytes)?;
            let (entry, _, more) = read(bytes.get(used..)?)?;
            Some((entry, count, used + more))
        }
        TEXT => {
            let (n, used) = read_head(bytes)?;
            let end = used.checked_add(usize::try_from(n >> 1).ok()?)?;
            Some((Entry::Text(bytes.get(used..end)?, n & 1 == 1), 1, end))
        }
        _ => read(bytes),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn integers_come_back_from_their_partition(n in any::<i64>(), shift in 0u32..64, count in 1u64..1 << 40) {
            let n = n >> shift;
            let (partition, bits, len) = place_int(n);
            prop_assert!(partition < PARTITIONS);
            let mut bytes = Vec::new();
            if count > 1 {
                write_count(count, &mut bytes);
            }
            bytes.extend_from_slice(&bits.to_le_bytes()[..len]);
            for cut in 0..bytes.len() {
                prop_assert_eq!(read(&bytes[..cut]), None);
            }
            let (entry, counted, used) = read(&bytes).unwrap();
            prop_assert_eq!((entry.key(partition), counted, used), (Key::Int(n), count, bytes.len()));
        }

        #[test]
        fn text_comes_back(text in prop::collection::vec(any::<u8>(), 0..300), json in any::<bool>(), count in 2u64..99) {
            let mut bytes = Vec::new();
            write_count(count, &mut bytes);
            write_text(&text, json, &mut bytes);
            for cut in 0..bytes.len() {
                prop_assert_eq!(read(&bytes[..cut]), None);
            }
            prop_assert_eq!(read(&bytes), Some((Entry::Text(&text, json), count, bytes.len())));
        }

        #[test]
        fn mixing_can_be_undone(x in any::<u64>()) {
            prop_assert_eq!(unmix64(mix64(x)), x);
            let small = x as u32;
            prop_assert_eq!(unmix32(mix32(small)), small);
        }
    }
}
