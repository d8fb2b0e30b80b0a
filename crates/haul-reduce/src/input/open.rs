//! Opens inputs and knows compression by content.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Where an input comes from.
pub enum Origin {
    /// A file.
    Path(PathBuf),
    /// Standard input.
    Stdin,
    /// A stream that is already open (a download), and what messages call it.
    Stream(String, Box<dyn Read + Send>),
}

/// An input, looked at as far as to know that it is there and how it is compressed.
pub struct Input {
    name: String,
    body: Body,
}

enum Body {
    /// A plain regular file, read at any place by any thread.
    File { path: PathBuf, len: u64 },
    /// A compressed file, opened when its turn comes.
    Packed { path: PathBuf, codec: Codec },
    /// Anything else, decoded, with its first bytes.
    Stream { head: Vec<u8>, reader: Box<dyn Read + Send> },
}

/// How the bytes of an input can be had.
pub(super) enum Access {
    /// At any place.
    Random { path: PathBuf, len: u64 },
    /// One after the other, decoded.
    Serial(Box<dyn Read + Send>),
}

/// Why an input could not be opened. All of them mean exit status 1.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {reason}")]
pub struct OpenError {
    name: String,
    reason: String,
}

impl OpenError {
    /// For inputs that are opened elsewhere.
    pub fn new(name: impl Into<String>, reason: impl Into<String>) -> Self {
        OpenError { name: name.into(), reason: reason.into() }
    }

    fn io(name: &str, e: &io::Error) -> Self {
        let reason = match e.kind() {
            io::ErrorKind::NotFound => "no such file".to_owned(),
            io::ErrorKind::PermissionDenied => "may not be read (permission denied)".to_owned(),
            _ => format!("cannot be read: {e}"),
        };
        OpenError::new(name, reason)
    }
}

/// Bytes that are looked at to tell compression and format; a CSV header must fit in them.
const HEAD: usize = 64 * 1024;

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Input {
    /// Opens an input.
    pub fn open(origin: Origin) -> Result<Self, OpenError> {
        match origin {
            Origin::Path(path) => Input::from_path(path),
            Origin::Stdin => Input::from_stream("standard input".to_owned(), Box::new(io::stdin())),
            Origin::Stream(name, reader) => Input::from_stream(name, reader),
        }
    }

    /// What messages call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bytes to be read, where known and not compressed.
    pub(crate) fn size(&self) -> Option<u64> {
        match self.body {
            Body::File { len, .. } => Some(len),
            Body::Packed { .. } | Body::Stream { .. } => None,
        }
    }

    /// Where lines can be counted again.
    pub(crate) fn plain_path(&self) -> Option<&Path> {
        match &self.body {
            Body::File { path, .. } => Some(path),
            Body::Packed { .. } | Body::Stream { .. } => None,
        }
    }

    /// The first bytes, decoded; fewer than [`HEAD`] only when that is all.
    pub(crate) fn head(&self) -> Result<Vec<u8>, OpenError> {
        let read =
            |path: &Path, codec: Codec| codec.decode(File::open(path)?).and_then(|mut r| read_head(&mut *r));
        match &self.body {
            Body::Stream { head, .. } => Ok(head.clone()),
            Body::File { path, .. } => read(path, Codec::Plain).map_err(|e| OpenError::io(&self.name, &e)),
            Body::Packed { path, codec } => read(path, *codec).map_err(|e| OpenError::io(&self.name, &e)),
        }
    }

    /// Opens it for reading.
    pub(super) fn access(self) -> io::Result<Access> {
        match self.body {
            Body::File { path, len } => Ok(Access::Random { path, len }),
            Body::Packed { path, codec } => Ok(Access::Serial(codec.decode(File::open(path)?)?)),
            Body::Stream { head, reader } => {
                Ok(Access::Serial(Box::new(io::Cursor::new(head).chain(reader))))
            }
        }
    }

    fn from_path(path: PathBuf) -> Result<Self, OpenError> {
        let name = path.display().to_string();
        let wrong = |e: io::Error| OpenError::io(&name, &e);
        let mut file = File::open(&path).map_err(wrong)?;
        let meta = file.metadata().map_err(wrong)?;
        if meta.is_dir() {
            return Err(OpenError::new(name, "is a directory; name the files in it, as in 'DIR/*.jsonl'"));
        }
        // Files of /proc say that they are empty and are not.
        if !meta.is_file() || meta.len() == 0 {
            return Input::from_stream(name, Box::new(file));
        }
        let mut magic = [0; 16];
        let len = fill(&mut file, &mut magic).map_err(wrong)?;
        let body = match Codec::of(magic.get(..len).unwrap_or_default()) {
            Codec::Plain => Body::File { path, len: meta.len() },
            codec => Body::Packed { path, codec },
        };
        Input { name, body }.readable()
    }

    fn from_stream(name: String, mut reader: Box<dyn Read + Send>) -> Result<Self, OpenError> {
        let wrong = |e: io::Error| OpenError::io(&name, &e);
        let head = read_head(&mut *reader).map_err(wrong)?;
        let codec = Codec::of(&head);
        if let Codec::Plain | Codec::Unknown(..) = codec {
            return Input { name, body: Body::Stream { head, reader } }.readable_as(codec);
        }
        let mut reader = codec.decode(io::Cursor::new(head).chain(reader)).map_err(wrong)?;
        let head = read_head(&mut *reader).map_err(wrong)?;
        Ok(Input { name, body: Body::Stream { head, reader } })
    }

    fn readable(self) -> Result<Self, OpenError> {
        match self.body {
            Body::Packed { codec, .. } => self.readable_as(codec),
            Body::File { .. } | Body::Stream { .. } => Ok(self),
        }
    }

    fn readable_as(self, codec: Codec) -> Result<Self, OpenError> {
        let Codec::Unknown(what, tool) = codec else { return Ok(self) };
        let name = self.name;
        let reason =
            format!("is compressed with {what}, which is not read here; pipe it: {tool} {name} | haul … -");
        Err(OpenError::new(name, reason))
    }
}

fn read_head(reader: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut head = vec![0; HEAD];
    let len = fill(reader, &mut head)?;
    head.truncate(len);
    Ok(head)
}

/// Reads until `buffer` is full or the input ends.
pub(super) fn fill(reader: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while let Some(rest) = buffer.get_mut(len..).filter(|r| !r.is_empty()) {
        match reader.read(rest) {
            Ok(0) => break,
            Ok(n) => len += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(len)
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Codec {
    Plain,
    Gzip,
    Zstd,
    /// What it is, and what decodes it.
    Unknown(&'static str, &'static str),
}

impl Codec {
    /// By the first bytes, which no text starts with.
    fn of(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, 8, ..] => Codec::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Codec::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Codec::Unknown("xz", "xz -dc"),
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, ..] => {
                Codec::Unknown("bzip2", "bzip2 -dc")
            }
            [b'P', b'K', 3, 4, ..] => Codec::Unknown("zip", "unzip -p"),
            [4, 0x22, 0x4d, 0x18, ..] => Codec::Unknown("lz4", "lz4 -dc"),
            _ => Codec::Plain,
        }
    }

    fn decode(self, reader: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Codec::Plain | Codec::Unknown(..) => Box::new(reader),
            // Files of several members, as pigz and log rotation write them, are read to the end.
            Codec::Gzip => Box::new(flate2::read::MultiGzDecoder::new(reader)),
            Codec::Zstd => Box::new(zstd::stream::read::Decoder::new(reader)?),
        })
    }
}
