//! Finds, 64 bytes at a time, the bytes at which a JSON string stops being plain text.
//!
//! The one file of this crate with `unsafe`. The instruction set is chosen at run time: AVX2 where
//! the machine has it, SSE2 or NEON as the baseline of its architecture, else portable words. All
//! four give the same masks (see the tests), so a build for a plain target loses nothing but speed.

/// Bytes classified at once.
pub(crate) const WIDTH: usize = 64;

/// Classifies 64 bytes; bit `i` of a mask stands for byte `i`.
pub(crate) trait Simd: Copy {
    /// Bytes that are `"`, `\`, a control character or not ASCII.
    fn specials(self, bytes: &[u8; WIDTH]) -> u64;
    /// Bytes that are `"`, `\` or a control character.
    fn enders(self, bytes: &[u8; WIDTH]) -> u64;
}

/// Something to run with the best instruction set of this machine.
pub(crate) trait Run {
    /// What it returns.
    type Out;
    /// Must be `#[inline(always)]`, so that it is compiled for the instruction set of its caller.
    fn run<S: Simd>(self, simd: S) -> Self::Out;
}

/// Runs `what` with the best instruction set of this machine.
pub(crate) fn with_best<R: Run>(what: R) -> R::Out {
    #[cfg(target_arch = "x86_64")]
    {
        if let Some(avx2) = x86::Avx2::detect() {
            return x86::run_avx2(what, avx2);
        }
        what.run(x86::Sse2)
    }
    #[cfg(target_arch = "aarch64")]
    {
        what.run(arm::Neon)
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        what.run(Words)
    }
}

/// Bytes at the start of `bytes` that are plain ASCII text of a JSON string.
pub(crate) fn plain_run(bytes: &[u8]) -> usize {
    with_best(PlainRun(bytes))
}

struct PlainRun<'a>(&'a [u8]);

impl Run for PlainRun<'_> {
    type Out = usize;
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> usize {
        let (blocks, rest) = self.0.as_chunks::<WIDTH>();
        for (i, block) in blocks.iter().enumerate() {
            let bits = simd.specials(block);
            if bits != 0 {
                return i * WIDTH + bits.trailing_zeros() as usize;
            }
        }
        let plain = rest.iter().take_while(|b| matches!(b, 0x20..=0x7f) && !matches!(b, b'"' | b'\\'));
        blocks.len() * WIDTH + plain.count()
    }
}

/// Plain 64-bit words: for every machine, and the model the others are tested against.
#[derive(Clone, Copy)]
#[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), allow(dead_code))]
pub(crate) struct Words;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// High bit of each byte that is zero; exact for every byte.
#[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), allow(dead_code))]
fn zero_bytes(w: u64) -> u64 {
    !(((w & !HIGH).wrapping_add(!HIGH)) | w) & HIGH
}

/// Gathers the high bits of eight bytes into the low eight bits.
#[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), allow(dead_code))]
fn gather(high: u64) -> u64 {
    ((high >> 7).wrapping_mul(0x0102_0408_1020_4080)) >> 56
}

#[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), allow(dead_code))]
impl Words {
    fn mask(bytes: &[u8; WIDTH], non_ascii: bool) -> u64 {
        let mut mask = 0;
        for (i, eight) in bytes.as_chunks::<8>().0.iter().enumerate() {
            let w = u64::from_le_bytes(*eight);
            let quote = zero_bytes(w ^ (ONES * u64::from(b'"')));
            let backslash = zero_bytes(w ^ (ONES * u64::from(b'\\')));
            let control = zero_bytes(w & (ONES * 0xe0));
            let high = if non_ascii { w & HIGH } else { 0 };
            mask |= gather(quote | backslash | control | high) << (i * 8);
        }
        mask
    }
}

impl Simd for Words {
    #[inline(always)]
    fn specials(self, bytes: &[u8; WIDTH]) -> u64 {
        Words::mask(bytes, true)
    }
    #[inline(always)]
    fn enders(self, bytes: &[u8; WIDTH]) -> u64 {
        Words::mask(bytes, false)
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Run, Simd, WIDTH};

    /// Proof that this machine has AVX2 and BMI: made by [`Avx2::detect`] alone.
    #[derive(Clone, Copy)]
    pub(super) struct Avx2(());

    impl Avx2 {
        pub(super) fn detect() -> Option<Self> {
            let has = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("bmi1")
                && is_x86_feature_detected!("bmi2");
            has.then_some(Avx2(()))
        }
    }

    /// Runs `what` compiled for AVX2.
    pub(super) fn run_avx2<R: Run>(what: R, avx2: Avx2) -> R::Out {
        #[target_feature(enable = "avx2,bmi1,bmi2")]
        fn inner<R: Run>(what: R, avx2: Avx2) -> R::Out {
            what.run(avx2)
        }
        // SAFETY: an `Avx2` exists only on machines with these features.
        unsafe { inner(what, avx2) }
    }

    impl Simd for Avx2 {
        #[inline(always)]
        fn specials(self, bytes: &[u8; WIDTH]) -> u64 {
            // SAFETY: `self` proves AVX2; both loads lie within the 64 bytes and need no alignment.
            unsafe {
                let lo = _mm256_loadu_si256(bytes.as_ptr().cast());
                let hi = _mm256_loadu_si256(bytes.as_ptr().add(32).cast());
                join(specials(lo), specials(hi))
            }
        }

        #[inline(always)]
        fn enders(self, bytes: &[u8; WIDTH]) -> u64 {
            // SAFETY: as above.
            unsafe {
                let lo = _mm256_loadu_si256(bytes.as_ptr().cast());
                let hi = _mm256_loadu_si256(bytes.as_ptr().add(32).cast());
                join(enders(lo), enders(hi))
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn join(lo: __m256i, hi: __m256i) -> u64 {
        let lo = u64::from(_mm256_movemask_epi8(lo).cast_unsigned());
        let hi = u64::from(_mm256_movemask_epi8(hi).cast_unsigned());
        lo | hi << 32
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn quotes(v: __m256i) -> __m256i {
        let quote = _mm256_cmpeq_epi8(v, _mm256_set1_epi8(b'"'.cast_signed()));
        let backslash = _mm256_cmpeq_epi8(v, _mm256_set1_epi8(b'\\'.cast_signed()));
        _mm256_or_si256(quote, backslash)
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn specials(v: __m256i) -> __m256i {
        // As signed bytes, what is not ASCII is negative and so below a space as well.
        let low = _mm256_cmpgt_epi8(_mm256_set1_epi8(0x20), v);
        _mm256_or_si256(quotes(v), low)
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn enders(v: __m256i) -> __m256i {
        let control = _mm256_cmpeq_epi8(_mm256_min_epu8(v, _mm256_set1_epi8(0x1f)), v);
        _mm256_or_si256(quotes(v), control)
    }

    /// The baseline of x86-64.
    #[derive(Clone, Copy)]
    pub(super) struct Sse2;

    impl Sse2 {
        #[inline(always)]
        fn mask(bytes: &[u8; WIDTH], non_ascii: bool) -> u64 {
            let mut mask = 0;
            for (i, part) in bytes.as_chunks::<16>().0.iter().enumerate() {
                // SAFETY: SSE2 is part of x86-64; the load is of these 16 bytes, of any alignment.
                let bits = unsafe {
                    let v = _mm_loadu_si128(part.as_ptr().cast());
                    let quote = _mm_cmpeq_epi8(v, _mm_set1_epi8(b'"'.cast_signed()));
                    let backslash = _mm_cmpeq_epi8(v, _mm_set1_epi8(b'\\'.cast_signed()));
                    let low = if non_ascii {
                        _mm_cmplt_epi8(v, _mm_set1_epi8(0x20))
                    } else {
                        _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v)
                    };
                    _mm_movemask_epi8(_mm_or_si128(low, _mm_or_si128(quote, backslash)))
                };
                mask |= u64::from(bits.cast_unsigned()) << (i * 16);
            }
            mask
        }
    }

    impl Simd for Sse2 {
        #[inline(always)]
        fn specials(self, bytes: &[u8; WIDTH]) -> u64 {
            Sse2::mask(bytes, true)
        }
        #[inline(always)]
        fn enders(self, bytes: &[u8; WIDTH]) -> u64 {
            Sse2::mask(bytes, false)
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod arm {
    use std::arch::aarch64::*;

    use super::{Simd, WIDTH};

    /// The baseline of AArch64.
    #[derive(Clone, Copy)]
    pub(super) struct Neon;

    const WEIGHTS: [u8; 16] = [1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128];

    impl Neon {
        #[inline(always)]
        fn mask(bytes: &[u8; WIDTH], non_ascii: bool) -> u64 {
            // SAFETY: NEON is part of AArch64; each load is of 16 of the 64 bytes.
            unsafe {
                let weights = vld1q_u8(WEIGHTS.as_ptr());
                let mut parts = [vdupq_n_u8(0); 4];
                for (i, part) in parts.iter_mut().enumerate() {
                    let v = vld1q_u8(bytes.as_ptr().add(i * 16));
                    let quote = vceqq_u8(v, vdupq_n_u8(b'"'));
                    let backslash = vceqq_u8(v, vdupq_n_u8(b'\\'));
                    let control = vcltq_u8(v, vdupq_n_u8(0x20));
                    let mut hit = vorrq_u8(control, vorrq_u8(quote, backslash));
                    if non_ascii {
                        hit = vorrq_u8(hit, vcgeq_u8(v, vdupq_n_u8(0x80)));
                    }
                    *part = vandq_u8(hit, weights);
                }
                let low = vpaddq_u8(parts[0], parts[1]);
                let high = vpaddq_u8(parts[2], parts[3]);
                let sum = vpaddq_u8(low, high);
                let sum = vpaddq_u8(sum, sum);
                vgetq_lane_u64::<0>(vreinterpretq_u64_u8(sum))
            }
        }
    }

    impl Simd for Neon {
        #[inline(always)]
        fn specials(self, bytes: &[u8; WIDTH]) -> u64 {
            Neon::mask(bytes, true)
        }
        #[inline(always)]
        fn enders(self, bytes: &[u8; WIDTH]) -> u64 {
            Neon::mask(bytes, false)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(bytes: &[u8; WIDTH], non_ascii: bool) -> u64 {
        bytes.iter().enumerate().fold(0, |m, (i, &b)| {
            let hit = b == b'"' || b == b'\\' || b < 0x20 || (non_ascii && b >= 0x80);
            m | u64::from(hit) << i
        })
    }

    fn agrees<S: Simd>(simd: S, bytes: &[u8; WIDTH]) {
        assert_eq!(simd.specials(bytes), model(bytes, true), "{bytes:?}");
        assert_eq!(simd.enders(bytes), model(bytes, false), "{bytes:?}");
    }

    struct Agrees<'a>(&'a [u8; WIDTH]);

    impl Run for Agrees<'_> {
        type Out = ();
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            agrees(simd, self.0);
        }
    }

    #[test]
    fn every_instruction_set_classifies_every_byte_at_every_place() {
        for place in 0..WIDTH {
            for byte in 0..=255u8 {
                for fill in [b'a', 0x7f, 0xff, b'"'] {
                    let mut bytes = [fill; WIDTH];
                    bytes[place] = byte;
                    agrees(Words, &bytes);
                    #[cfg(target_arch = "x86_64")]
                    agrees(x86::Sse2, &bytes);
                    with_best(Agrees(&bytes));
                }
            }
        }
    }
}
