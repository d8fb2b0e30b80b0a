//! Content codings of reply bodies: gzip, deflate, br and zstd, decoded whole and within a bound.

use std::cell::RefCell;
use std::io::Read;

use libdeflater::{DecompressionError, Decompressor};

/// A content coding (RFC 9110 §8.4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Coding {
    /// As it is.
    Identity,
    /// RFC 1952, any number of members.
    Gzip,
    /// RFC 1950; the raw RFC 1951 that some services send instead is understood as well.
    Deflate,
    /// RFC 7932.
    Brotli,
    /// RFC 8878.
    Zstd,
}

impl Coding {
    /// From a name in `Content-Encoding`, in any case.
    pub fn from_name(name: &[u8]) -> Option<Coding> {
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted.as_bytes());
        match name.len() {
            2 if is("br") => Some(Coding::Brotli),
            4 if is("gzip") => Some(Coding::Gzip),
            4 if is("zstd") => Some(Coding::Zstd),
            6 if is("x-gzip") => Some(Coding::Gzip),
            7 if is("deflate") => Some(Coding::Deflate),
            8 if is("identity") => Some(Coding::Identity),
            _ => None,
        }
    }

    /// As in `Content-Encoding`.
    pub fn as_str(self) -> &'static str {
        match self {
            Coding::Identity => "identity",
            Coding::Gzip => "gzip",
            Coding::Deflate => "deflate",
            Coding::Brotli => "br",
            Coding::Zstd => "zstd",
        }
    }
}

/// Why a body cannot be decoded.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecodeError {
    /// It is larger than allowed: perhaps a bomb.
    #[error("its body is larger than {0} bytes after decoding")]
    TooLarge(usize),
    /// It is cut off or broken.
    #[error("its {0} body is broken or cut off")]
    Broken(&'static str),
}

/// Decodes `body` through `codings` (outermost last, as sent), to at most `max` bytes at any stage.
pub fn decode(mut body: Vec<u8>, codings: &[Coding], max: usize) -> Result<Vec<u8>, DecodeError> {
    for coding in codings.iter().rev() {
        // Nothing at all is what a reply without a body looks like, whatever it claims.
        if body.is_empty() {
            break;
        }
        body = match coding {
            Coding::Identity => body,
            Coding::Gzip => gzip(&body, max)?,
            Coding::Deflate => deflate(&body, max)?,
            Coding::Brotli => read_all(brotli::Decompressor::new(&body[..], 4096), "br", body.len(), max)?,
            Coding::Zstd => zstandard(&body, max)?,
        };
    }
    Ok(body)
}

thread_local! {
    /// Made by the first body that is encoded: it takes some hundred kilobytes.
    static DEFLATE: RefCell<Option<libdeflater::Compressor>> = const { RefCell::new(None) };
}

/// `body` in gzip, where that is smaller. Fast rather than small: bodies are short, and made by the
/// million.
pub fn encode_gzip(body: &[u8]) -> Option<Vec<u8>> {
    DEFLATE.with_borrow_mut(|slot| {
        // 0 would only store.
        let level = libdeflater::CompressionLvl::new(1).unwrap_or_default();
        let deflate = slot.get_or_insert_with(|| libdeflater::Compressor::new(level));
        let mut out = vec![0; deflate.gzip_compress_bound(body.len())];
        let len = deflate.gzip_compress(body, &mut out).ok()?;
        out.truncate(len);
        (len < body.len()).then_some(out)
    })
}

thread_local! {
    /// Decompressors are 30 KiB each and hold no state between bodies.
    static INFLATE: RefCell<Decompressor> = RefCell::new(Decompressor::new());
}

fn gzip(body: &[u8], max: usize) -> Result<Vec<u8>, DecodeError> {
    let broken = DecodeError::Broken("gzip");
    // Header and trailer of a member are 18 bytes.
    if body.len() < 18 {
        return Err(broken);
    }
    // libdeflate stops after the first member without saying so. A second one would start with this
    // magic; by chance it stands in one compressed kilobyte of 16,000, and costs only time then.
    if memchr::memmem::find(&body[18..], &[0x1f, 0x8b, 0x08]).is_some() {
        return read_all(flate2::bufread::MultiGzDecoder::new(body), "gzip", body.len(), max);
    }
    // The last four bytes are the decoded length modulo 2^32: right for all but broken bodies.
    let tail = &body[body.len() - 4..];
    let said = u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]) as usize;
    // Deflate cannot shrink to less than 1/1032.
    let guess = said.min(body.len().saturating_mul(1032)).min(max);
    inflate(guess, max, "gzip", |d, out| d.gzip_decompress(body, out))
}

fn deflate(body: &[u8], max: usize) -> Result<Vec<u8>, DecodeError> {
    let guess = body.len().saturating_mul(4);
    let is_zlib = body.len() >= 2
        && body[0] & 0x0f == 8
        && (u16::from(body[0]) << 8 | u16::from(body[1])).is_multiple_of(31);
    if is_zlib {
        match inflate(guess, max, "deflate", |d, out| d.zlib_decompress(body, out)) {
            Err(DecodeError::Broken(_)) => {}
            other => return other,
        }
    }
    inflate(guess, max, "deflate", |d, out| d.deflate_decompress(body, out))
}

/// Runs libdeflate with an output that grows until it is large enough.
fn inflate(
    guess: usize,
    max: usize,
    name: &'static str,
    run: impl Fn(&mut Decompressor, &mut [u8]) -> Result<usize, DecompressionError>,
) -> Result<Vec<u8>, DecodeError> {
    let mut size = guess.clamp(64, max.max(64));
    loop {
        let mut out = vec![0; size];
        match INFLATE.with_borrow_mut(|d| run(d, &mut out)) {
            Ok(len) if len > max => return Err(DecodeError::TooLarge(max)),
            Ok(len) => {
                out.truncate(len);
                return Ok(out);
            }
            Err(DecompressionError::BadData) => return Err(DecodeError::Broken(name)),
            Err(DecompressionError::InsufficientSpace) if size >= max => {
                return Err(DecodeError::TooLarge(max));
            }
            Err(DecompressionError::InsufficientSpace) => size = size.saturating_mul(4).min(max),
        }
    }
}

fn zstandard(body: &[u8], max: usize) -> Result<Vec<u8>, DecodeError> {
    let broken = |_| DecodeError::Broken("zstd");
    let mut decoder = zstd::stream::read::Decoder::with_buffer(body).map_err(broken)?;
    // RFC 9659: a content coding needs no window above 8 MiB.
    decoder.window_log_max(23).map_err(broken)?;
    read_all(decoder, "zstd", body.len(), max)
}

/// Reads a decoder to its end, growing as it goes, and refuses what is beyond `max`.
fn read_all(
    decoder: impl Read,
    name: &'static str,
    coded: usize,
    max: usize,
) -> Result<Vec<u8>, DecodeError> {
    let mut out = Vec::with_capacity(coded.saturating_mul(4).min(64 * 1024).min(max));
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    decoder.take(limit).read_to_end(&mut out).map_err(|_| DecodeError::Broken(name))?;
    if out.len() > max {
        return Err(DecodeError::TooLarge(max));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const MAX: usize = 1 << 20;

    fn gz(data: &[u8]) -> Vec<u8> {
        let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        e.write_all(data).unwrap();
        e.finish().unwrap()
    }

    fn zlib(data: &[u8]) -> Vec<u8> {
        let mut e = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        e.write_all(data).unwrap();
        e.finish().unwrap()
    }

    fn raw(data: &[u8]) -> Vec<u8> {
        let mut e = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        e.write_all(data).unwrap();
        e.finish().unwrap()
    }

    fn br(data: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        brotli::CompressorWriter::new(&mut out, 4096, 5, 22).write_all(data).unwrap();
        out
    }

    fn all(data: &[u8]) -> Vec<(Coding, Vec<u8>)> {
        vec![
            (Coding::Gzip, gz(data)),
            (Coding::Deflate, zlib(data)),
            (Coding::Deflate, raw(data)),
            (Coding::Brotli, br(data)),
            (Coding::Zstd, zstd::encode_all(data, 3).unwrap()),
        ]
    }

    #[test]
    fn every_coding_gives_back_what_was_coded() {
        for data in [&b""[..], b"{}", b"{\"a\":1}", &[7; 300_000]] {
            for (coding, coded) in all(data) {
                assert_eq!(decode(coded, &[coding], MAX).unwrap(), data, "{coding:?}");
            }
        }
        let twice = br(&gz(b"twice"));
        assert_eq!(decode(twice, &[Coding::Gzip, Coding::Brotli], MAX).unwrap(), b"twice");
    }

    #[test]
    fn gzip_of_several_members() {
        let same = [gz(b"one"), gz(b"one")].concat();
        assert_eq!(decode(same, &[Coding::Gzip], MAX).unwrap(), b"oneone");
        let many = [gz(&[1; 5000]), gz(b""), gz(b"x")].concat();
        assert_eq!(decode(many, &[Coding::Gzip], MAX).unwrap().len(), 5001);
    }

    #[test]
    fn bombs_are_refused_without_being_held() {
        for (coding, coded) in all(&vec![0; MAX + 1]) {
            assert_eq!(decode(coded, &[coding], MAX), Err(DecodeError::TooLarge(MAX)), "{coding:?}");
        }
        for (coding, coded) in all(&vec![0; MAX]) {
            assert_eq!(decode(coded, &[coding], MAX).unwrap().len(), MAX, "{coding:?}");
        }
    }

    #[test]
    fn cut_off_and_broken_bodies_are_faults() {
        let data: Vec<u8> =
            (0..20_000u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        for (coding, coded) in all(&data) {
            for keep in [coded.len() - 1, coded.len() / 2, 5] {
                let cut = coded[..keep].to_vec();
                assert!(decode(cut, &[coding], MAX).is_err(), "{coding:?} cut to {keep}");
            }
            assert!(decode(b"{\"plain\": \"json, not coded at all\"}".to_vec(), &[coding], MAX).is_err());
        }
    }

    proptest::proptest! {
        #[test]
        fn no_input_panics_or_passes_the_bound(body in proptest::collection::vec(0u8.., 0..400), which in 0usize..4) {
            let coding = [Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Zstd][which];
            if let Ok(out) = decode(body, &[coding], 2000) {
                proptest::prop_assert!(out.len() <= 2000);
            }
        }
    }
}
