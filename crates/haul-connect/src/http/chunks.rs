//! The chunked transfer coding (RFC 9112 §7.1), without I/O.

use haul_core::limits::HEAD_BYTES;

use super::frame::ReplyError;

/// One chunk-size line with its extensions.
const LINE: usize = 4096;

/// A chunked body being read.
#[derive(Default)]
pub(crate) struct Chunks {
    at: At,
    /// An unfinished line.
    line: Vec<u8>,
}

#[derive(Clone, Copy, Default)]
enum At {
    #[default]
    Size,
    Data(u64),
    DataEnd,
    /// So many bytes of trailer have passed.
    Trailer(usize),
}

/// What the next bytes are.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Piece<'b> {
    /// The next bytes of the body; never empty.
    Data(&'b [u8]),
    /// So many bytes that belong to the coding.
    Between(usize),
    /// So many bytes, the last of the body.
    End(usize),
    /// Nothing more can be said before more bytes come.
    More,
}

impl Chunks {
    /// Looks at the next bytes. What a piece covers has been taken, [`Piece::More`] takes them all.
    pub(crate) fn next<'b>(&mut self, bytes: &'b [u8]) -> Result<Piece<'b>, ReplyError> {
        if bytes.is_empty() {
            return Ok(Piece::More);
        }
        if let At::Data(left) = self.at {
            let n = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
            let left = left - n as u64;
            self.at = if left == 0 { At::DataEnd } else { At::Data(left) };
            return Ok(Piece::Data(&bytes[..n]));
        }
        let end = memchr::memchr(b'\n', bytes).map(|at| at + 1);
        self.line.extend_from_slice(&bytes[..end.unwrap_or(bytes.len())]);
        if self.line.len() > LINE {
            return Err(ReplyError::Framing("a line between chunks is too long"));
        }
        let Some(used) = end else { return Ok(Piece::More) };
        let line = std::mem::take(&mut self.line);
        self.at = match self.at {
            At::Size => match size(&line)? {
                0 => At::Trailer(0),
                size => At::Data(size),
            },
            At::DataEnd if line == b"\r\n" => At::Size,
            At::DataEnd | At::Data(_) => {
                return Err(ReplyError::Framing("a chunk is longer than it says"));
            }
            At::Trailer(_) if line == b"\r\n" || line == b"\n" => return Ok(Piece::End(used)),
            At::Trailer(bytes) if bytes + line.len() > HEAD_BYTES => {
                return Err(ReplyError::HeadTooLarge);
            }
            At::Trailer(bytes) => At::Trailer(bytes + line.len()),
        };
        Ok(Piece::Between(used))
    }
}

fn size(line: &[u8]) -> Result<u64, ReplyError> {
    // httparse takes an empty line for a zero.
    let starts_well = line.first().is_some_and(u8::is_ascii_hexdigit);
    match httparse::parse_chunk_size(line) {
        Ok(httparse::Status::Complete((_, size))) if starts_well => Ok(size),
        _ => Err(ReplyError::Framing("a chunk size is not a number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_a_body() {
        let mut chunks = Chunks::default();
        let wire = b"3;a=b\r\nabc\r\n0\r\nT: u\r\n\r\nnext";
        let mut at = 0;
        let mut body = Vec::new();
        loop {
            at += match chunks.next(&wire[at..]).unwrap() {
                Piece::Data(data) => {
                    body.extend_from_slice(data);
                    data.len()
                }
                Piece::Between(n) => n,
                Piece::End(n) => {
                    assert_eq!(&wire[at + n..], b"next");
                    break;
                }
                Piece::More => panic!("it is all there"),
            };
        }
        assert_eq!(body, b"abc");
    }

    #[test]
    fn malformed_chunks_are_refused() {
        let endless = "1".repeat(2 * LINE);
        for body in ["x\r\n", "5\r\nhello!\r\n", "\r\n", "5\r\nhello\n", endless.as_str()] {
            let mut chunks = Chunks::default();
            let refused = body.as_bytes().iter().any(|b| chunks.next(&[*b]).is_err());
            assert!(refused, "{body:?}");
        }
    }

    #[test]
    fn sizes_are_hexadecimal_numbers() {
        assert_eq!(size(b"1aF\r\n"), Ok(0x1af));
        assert_eq!(size(b"0;x\r\n"), Ok(0));
        for bad in [&b"\r\n"[..], b"\n", b"-1\r\n", b"x\r\n", b" 1\r\n", b"5\n", b"11111111111111111\r\n"] {
            assert!(size(bad).is_err(), "{bad:?}");
        }
    }
}
