//! Reads decimal digits eight at a time.

/// The number that the digits at `p` stand for, and behind them. The value is meaningless when there
/// are more than 19 digits.
#[inline(always)]
pub(crate) fn read(text: &[u8], mut p: usize) -> (u64, usize) {
    let mut value: u64 = 0;
    loop {
        let Some(eight) = text.get(p..).and_then(|t| t.first_chunk::<8>()) else {
            return read_slowly(text, p, value);
        };
        let digits = u64::from_le_bytes(*eight) ^ 0x3030_3030_3030_3030;
        // The high bit of each byte that is above 9.
        let low = digits & 0x7f7f_7f7f_7f7f_7f7f;
        let others = ((low + 0x7676_7676_7676_7676) | digits) & 0x8080_8080_8080_8080;
        let count = others.trailing_zeros() as usize / 8;
        if count == 0 {
            return (value, p);
        }
        // Zeros in front, then pairs, fours, all eight at once.
        let shift = 8 * (8 - count);
        let v = digits << shift;
        let pairs = v.wrapping_mul(10).wrapping_add(v >> 8);
        let outer = (pairs & 0x0000_00ff_0000_00ff).wrapping_mul(0x000f_4240_0000_0064);
        let inner = (pairs >> 16 & 0x0000_00ff_0000_00ff).wrapping_mul(0x0000_2710_0000_0001);
        let eight = outer.wrapping_add(inner) >> 32;
        value = value.wrapping_mul(POWERS[count]).wrapping_add(eight);
        p += count;
        if count < 8 {
            return (value, p);
        }
    }
}

const POWERS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

#[cold]
fn read_slowly(text: &[u8], mut p: usize, mut value: u64) -> (u64, usize) {
    while let Some(d) = text.get(p).filter(|b| b.is_ascii_digit()) {
        value = value.wrapping_mul(10).wrapping_add(u64::from(d - b'0'));
        p += 1;
    }
    (value, p)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_read_before_any_byte() {
        for len in 0..=19 {
            let digits = "9876543210123456789".get(..len).unwrap();
            let value: u64 = digits.parse().unwrap_or(0);
            for follow in 0..=255u8 {
                if follow.is_ascii_digit() {
                    continue;
                }
                let mut text = digits.as_bytes().to_vec();
                text.push(follow);
                assert_eq!(read(&text, 0), (value, len));
                text.extend_from_slice(b"12345678\xff\x80");
                assert_eq!(read(&text, 0), (value, len), "{len} digits, then {follow}");
            }
            assert_eq!(read(digits.as_bytes(), 0), (value, len));
        }
    }
}
