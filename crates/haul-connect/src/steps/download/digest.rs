//! Checksums of files while they arrive: CRC-32C of every file for its receipt, and what the manifest
//! says of it.

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use haul_core::cx::hex;

/// A checksum that a file should have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checksum {
    algorithm: Algorithm,
    value: Vec<u8>,
}

/// How a checksum is computed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Algorithm {
    Md5,
    Sha1,
    Sha256,
    Crc32c,
}

const ALGORITHMS: [(Algorithm, &str, usize); 4] = [
    (Algorithm::Md5, "md5", 16),
    (Algorithm::Sha1, "sha1", 20),
    (Algorithm::Sha256, "sha256", 32),
    (Algorithm::Crc32c, "crc32c", 4),
];

impl Checksum {
    /// Reads `sha256:…` or a bare value, in hex or base64; the length of a bare one says which it is.
    ///
    /// # Errors
    /// A sentence that shows how to write it.
    pub fn parse(text: &str) -> Result<Checksum, String> {
        let wrong = || {
            format!(
                "\"{text}\" is no checksum: md5, sha1, sha256 or crc32c in hex or base64, as sha256:e3b0…"
            )
        };
        let (name, value) = match text.trim().split_once([':', '-']) {
            Some((name, value)) => (Some(name.to_ascii_lowercase()), value.trim()),
            None => (None, text.trim()),
        };
        let known = |len: usize| {
            ALGORITHMS.iter().find(|(_, n, l)| *l == len && name.as_ref().is_none_or(|name| name == n))
        };
        [unhex(value), unbase64(value)]
            .into_iter()
            .flatten()
            .find_map(|value| Some(Checksum { algorithm: known(value.len())?.0, value }))
            .ok_or_else(wrong)
    }

    /// Its canonical text.
    pub fn text(&self) -> String {
        format!("{}:{}", self.name(), hex(&self.value))
    }

    /// Its value, if it is an MD5.
    pub(super) fn md5(&self) -> Option<haul_core::store::Md5> {
        (self.algorithm == Algorithm::Md5).then(|| self.value[..].try_into().ok()).flatten()
    }

    /// The name of its algorithm.
    pub fn name(&self) -> &'static str {
        ALGORITHMS.iter().find(|(a, ..)| *a == self.algorithm).map_or("", |(_, name, _)| name)
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).ok()).collect()
}

/// RFC 4648 §4, with its padding.
fn unbase64(text: &str) -> Option<Vec<u8>> {
    if text.is_empty() || !text.len().is_multiple_of(4) {
        return None;
    }
    let body = text.trim_end_matches('=');
    let mut out = Vec::with_capacity(body.len() * 3 / 4);
    let (mut bits, mut have) = (0u32, 0);
    for b in body.bytes() {
        let six = match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(six);
        have += 6;
        if have >= 8 {
            have -= 8;
            out.push((bits >> have) as u8);
        }
    }
    (text.len() - body.len() <= 2).then_some(out)
}

/// Checksums of what has arrived so far.
pub(super) struct Digests {
    crc: u32,
    wanted: Option<(Checksum, Running)>,
}

enum Running {
    Md5(Md5),
    Sha1(Sha1),
    Sha256(Box<Sha256>),
    /// The receipt's own.
    Crc32c,
}

impl Digests {
    /// Of nothing yet.
    pub(super) fn new(wanted: Option<&Checksum>) -> Self {
        let wanted = wanted.map(|w| {
            let running = match w.algorithm {
                Algorithm::Md5 => Running::Md5(Md5::new()),
                Algorithm::Sha1 => Running::Sha1(Sha1::new()),
                Algorithm::Sha256 => Running::Sha256(Box::new(Sha256::new())),
                Algorithm::Crc32c => Running::Crc32c,
            };
            (w.clone(), running)
        });
        Digests { crc: 0, wanted }
    }

    /// Takes the next bytes.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        match &mut self.wanted {
            Some((_, Running::Md5(h))) => h.update(bytes),
            Some((_, Running::Sha1(h))) => h.update(bytes),
            Some((_, Running::Sha256(h))) => h.update(bytes),
            Some((_, Running::Crc32c)) | None => {}
        }
    }

    /// CRC-32C of everything, or how the checksum that was expected differs.
    pub(super) fn finish(self) -> Result<u32, String> {
        let Some((wanted, running)) = self.wanted else { return Ok(self.crc) };
        let found = match running {
            Running::Md5(h) => h.finalize().to_vec(),
            Running::Sha1(h) => h.finalize().to_vec(),
            Running::Sha256(h) => h.finalize().to_vec(),
            Running::Crc32c => self.crc.to_be_bytes().to_vec(),
        };
        if found == wanted.value {
            return Ok(self.crc);
        }
        Err(format!("its {} is \"{}\" and should be \"{}\"", wanted.name(), hex(&found), hex(&wanted.value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_read_in_their_usual_forms_and_hold() {
        for text in [
            "900150983cd24fb0d6963f7d28e17f72",
            "md5:kAFQmDzST7DWlj99KOF/cg==",
            "SHA1:a9993e364706816aba3e25717850c26c9cd0d89d",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=",
            "crc32c:364b3fb7",
            "Nks/tw==",
        ] {
            let wanted = Checksum::parse(text).unwrap();
            let mut right = Digests::new(Some(&wanted));
            right.update(b"a");
            right.update(b"bc");
            assert_eq!(right.finish(), Ok(0x364b_3fb7), "{text}");
            let mut wrong = Digests::new(Some(&wanted));
            wrong.update(b"abd");
            assert!(wrong.finish().is_err_and(|e| e.contains(wanted.name())), "{text}");
            assert_eq!(Checksum::parse(&wanted.text()), Ok(wanted));
        }
        for text in ["", "xyz", "md5:00", "sha256:900150983cd24fb0d6963f7d28e17f72", "=", "====", "\"v1\""] {
            assert!(Checksum::parse(text).is_err(), "{text}");
        }
    }
}
