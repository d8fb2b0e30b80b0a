//! Decompression of input streams, known by content and never by name: gzip with any number of
//! members, zstd with any number of frames, or plain bytes.

use std::io::{self, BufReader, Chain, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use haul_core::Fault;

/// How a stream is compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compression {
    /// Not at all.
    None,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

/// Beginnings of streams that are no text, and what they are.
const MAGIC: &[(&[u8], Known)] = &[
    (b"\x1f\x8b\x08", Known::Compressed(Compression::Gzip)),
    (b"\x28\xb5\x2f\xfd", Known::Compressed(Compression::Zstd)),
    (b"BZh91AY&SY", Known::Refused("bzip2", "bzip2 -dc FILE | haul …")),
    (b"\xfd7zXZ\x00", Known::Refused("xz", "xz -dc FILE | haul …")),
    (b"\x04\x22\x4d\x18", Known::Refused("lz4", "lz4 -dc FILE | haul …")),
    (b"PK\x03\x04", Known::Refused("a zip archive", "unzip -p FILE | haul …")),
    (b"\xff\xfe", Known::Refused("UTF-16 text", "iconv -f UTF-16 -t UTF-8 FILE | haul …")),
    (b"\xfe\xff", Known::Refused("UTF-16 text", "iconv -f UTF-16 -t UTF-8 FILE | haul …")),
];

#[derive(Clone, Copy)]
enum Known {
    Compressed(Compression),
    Refused(&'static str, &'static str),
}

/// What the first bytes say; `None` when more are needed to tell.
fn recognise(head: &[u8], whole: bool) -> Option<Result<Compression, io::Error>> {
    // A zstd stream may start with a frame to be skipped: 16 magic numbers.
    if let [0x50..=0x5f, rest @ ..] = head {
        match rest {
            [0x2a, 0x4d, 0x18, ..] => return Some(Ok(Compression::Zstd)),
            [] | [0x2a] | [0x2a, 0x4d] if !whole => return None,
            _ => {}
        }
    }
    for (magic, known) in MAGIC {
        if head.starts_with(magic) {
            return Some(match known {
                Known::Compressed(compression) => Ok(*compression),
                Known::Refused(what, way_out) => Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    format!("it is {what}, which is not read directly: {way_out}"),
                )),
            });
        }
        if !whole && magic.starts_with(head) {
            return None;
        }
    }
    Some(Ok(Compression::None))
}

/// A reader of the decoded bytes of `R`. Looks at the content with its first read; hands on what a
/// read of the underlying stream brought without waiting for more.
pub struct Decoder<R: Read> {
    state: State<R>,
}

type Whole<R> = Chain<Cursor<Vec<u8>>, R>;

enum State<R: Read> {
    New(R),
    Plain(Whole<R>),
    Gzip(Box<flate2::bufread::MultiGzDecoder<BufReader<Whole<R>>>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, BufReader<Whole<R>>>>),
    Broken,
}

/// Compressed bytes read at once.
const BUFFER: usize = 64 * 1024;

impl<R: Read> Decoder<R> {
    /// Wraps a stream; nothing is read yet.
    pub fn new(input: R) -> Self {
        Decoder { state: State::New(input) }
    }

    /// Wraps a stream that is known not to be compressed.
    pub fn plain(input: R) -> Self {
        Decoder { state: State::Plain(Cursor::new(Vec::new()).chain(input)) }
    }

    /// Reads as much of the beginning as is needed to tell how the stream is compressed.
    ///
    /// # Errors
    /// When reading fails, or the content is of a kind that is not read (`Unsupported`).
    pub fn compression(&mut self) -> io::Result<Compression> {
        if matches!(self.state, State::New(_)) {
            let State::New(input) = std::mem::replace(&mut self.state, State::Broken) else {
                return Err(broken());
            };
            self.state = begin(input)?;
        }
        Ok(match self.state {
            State::Gzip(_) => Compression::Gzip,
            State::Zstd(_) => Compression::Zstd,
            _ => Compression::None,
        })
    }
}

fn broken() -> io::Error {
    io::Error::other("the stream is not readable after an error")
}

fn begin<R: Read>(mut input: R) -> io::Result<State<R>> {
    let mut head = vec![0; BUFFER];
    let mut len = 0;
    let compression = loop {
        let n = match input.read(&mut head[len..]) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            n => n?,
        };
        len += n;
        if let Some(compression) = recognise(&head[..len], n == 0) {
            break compression?;
        }
    };
    head.truncate(len);
    let whole = Cursor::new(head).chain(input);
    Ok(match compression {
        Compression::None => State::Plain(whole),
        Compression::Gzip => {
            let buffered = BufReader::with_capacity(BUFFER, whole);
            State::Gzip(Box::new(flate2::bufread::MultiGzDecoder::new(buffered)))
        }
        Compression::Zstd => {
            let buffered = BufReader::with_capacity(BUFFER, whole);
            State::Zstd(Box::new(zstd::stream::read::Decoder::with_buffer(buffered)?))
        }
    })
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.compression()?;
        let (result, what) = match &mut self.state {
            State::Plain(plain) => return plain.read(out),
            State::Gzip(gzip) => (gzip.read(out), "gzip"),
            State::Zstd(zstd) => (zstd.read(out), "zstd"),
            State::New(_) | State::Broken => return Err(broken()),
        };
        result.map_err(|e| damaged(e, what))
    }
}

/// Tells damage of the compressed data from faults of the stream below, which pass unchanged.
fn damaged(error: io::Error, what: &str) -> io::Error {
    if error.raw_os_error().is_some()
        || error.kind() == io::ErrorKind::Interrupted
        || error.get_ref().is_some_and(|e| e.is::<Fault>())
    {
        return error;
    }
    let text = match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            format!(
                "the {what} data ends too early: it was cut off; fetch it again, then run the same command"
            )
        }
        _ => format!("the {what} data is damaged ({error}): fetch it again, then run the same command"),
    };
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// Counts the bytes that are read through it, for progress.
pub struct Counting<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

impl<R> Counting<R> {
    /// Wraps a reader; the count can be read elsewhere.
    pub fn new(inner: R) -> (Self, Arc<AtomicU64>) {
        let count = Arc::new(AtomicU64::new(0));
        (Counting { inner, count: count.clone() }, count)
    }
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(out)?;
        self.count.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// Gives its bytes in pieces of one size.
    struct Pieces<'a>(&'a [u8], usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let n = self.1.min(self.0.len()).min(out.len());
            out[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    fn decode(bytes: &[u8], piece: usize) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        Decoder::new(Pieces(bytes, piece)).read_to_end(&mut out).map(|_| out)
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        e.write_all(text).unwrap();
        e.finish().unwrap()
    }

    fn zstd(text: &[u8]) -> Vec<u8> {
        zstd::stream::encode_all(text, 1).unwrap()
    }

    #[test]
    fn members_and_frames_follow_each_other() {
        let text = "1,2\n3,4\n".repeat(50_000).into_bytes();
        let twice = [&text[..], &text].concat();
        let skipped = [&b"\x51\x2a\x4d\x18\x03\x00\x00\x00abc"[..], &zstd(&text)].concat();
        for piece in [1, 7, 100_000] {
            assert_eq!(decode(&text, piece).unwrap(), text);
            assert_eq!(decode(&[gzip(&text), gzip(b""), gzip(&text)].concat(), piece).unwrap(), twice);
            assert_eq!(decode(&[zstd(&text), zstd(&text)].concat(), piece).unwrap(), twice);
            assert_eq!(decode(&skipped, piece).unwrap(), text);
        }
    }

    #[test]
    fn short_plain_inputs_are_plain() {
        for text in [&b""[..], b"\x1f", b"(", b"B", b"BZh", b"P", b"PK", b"P*M", b"\xfd7", b"1\n"] {
            assert_eq!(decode(text, 1).unwrap(), text);
        }
    }

    #[test]
    fn what_came_is_handed_on_at_once() {
        let mut decoder = Decoder::new(Pieces(b"1\n2\n", 2));
        let mut out = [0; 100];
        assert_eq!(decoder.read(&mut out).unwrap(), 2);
    }

    #[test]
    fn damage_and_other_formats_say_what_they_are() {
        let text: String = (0..9000).map(|n| format!("{n},{}\n", n * 7919 % 10_007)).collect();
        let (gzip, zstd) = (gzip(text.as_bytes()), zstd(text.as_bytes()));
        for (bytes, expected) in [
            (gzip[..gzip.len() / 2].to_vec(), "the gzip data ends too early"),
            (zstd[..zstd.len() / 2].to_vec(), "the zstd data ends too early"),
            ([&gzip[..2000], &[0xff; 4000]].concat(), "the gzip data is damaged"),
            ([&zstd[..2000], &[0xff; 40_000]].concat(), "the zstd data is damaged"),
            (b"BZh91AY&SY....".to_vec(), "it is bzip2, which is not read directly: bzip2 -dc"),
            (b"\xfd7zXZ\x00....".to_vec(), "it is xz"),
            (b"PK\x03\x04....".to_vec(), "it is a zip archive"),
            (b"\xff\xfea\0,\0".to_vec(), "it is UTF-16 text"),
        ] {
            let error = decode(&bytes, 5).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
