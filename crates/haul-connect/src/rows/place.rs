//! Where rows come from: a file, standard input, or a byte stream that another part opens (http).

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use haul_core::{Cx, Fault};
use tokio::sync::mpsc;

use crate::decode::{Compression, Decoder};

/// A stream of bytes that is being received.
#[async_trait]
pub trait ByteStream: Send {
    /// The next bytes; `None` at the end, and only when all of it came. A connection that breaks is
    /// an `Err`: a transient one makes the source reopen the stream and go on where it was.
    async fn next(&mut self) -> Result<Option<Bytes>, Fault>;
}

/// Opens a stream from its start, as often as asked.
#[async_trait]
pub trait OpenBytes: Send + Sync {
    /// Opens it.
    async fn open(&self, cx: &Cx<'_>) -> Result<Box<dyn ByteStream>, Fault>;
}

/// Where rows come from.
#[derive(Clone)]
pub(crate) enum Place {
    /// A regular file: it can be sought in, and read again.
    File(PathBuf),
    /// A pipe or device under a name: it is read once.
    Pipe(PathBuf),
    /// Standard input.
    Stdin,
    /// Anything that is opened by somebody else.
    Stream(Arc<dyn OpenBytes>),
}

impl Place {
    /// Finds out what a path is, and that it can be opened; its length when it is a file.
    pub(crate) fn of_path(name: &str, base: &Path) -> Result<(Self, Option<u64>), Fault> {
        let path = base.join(name);
        let fault = |e: io::Error| {
            let way_out = match e.kind() {
                io::ErrorKind::NotFound if Path::new(name).is_relative() => {
                    format!("no such file in {}", base.display())
                }
                io::ErrorKind::NotFound => "no such file".to_owned(),
                io::ErrorKind::PermissionDenied => {
                    "permission denied; make it readable for this user".to_owned()
                }
                _ => e.to_string(),
            };
            Fault::fatal("source", format!("{name}: {way_out}"))
        };
        let about = std::fs::metadata(&path).map_err(fault)?;
        if about.is_dir() {
            return Err(Fault::fatal("source", format!("{name} is a directory; name a file in it")));
        }
        if !about.is_file() {
            return Ok((Place::Pipe(path), None));
        }
        File::open(&path).map_err(fault)?;
        Ok((Place::File(path), Some(about.len())))
    }

    /// Opens a file so that its decoded bytes from `offset` on come next, if it can be sought in
    /// (it is not compressed); else from its start. True when it was sought in.
    pub(crate) fn open_file(path: &Path, offset: u64) -> io::Result<(File, bool)> {
        let mut file = File::open(path)?;
        if offset == 0 {
            return Ok((file, false));
        }
        let plain = Decoder::new((&mut file).take(64)).compression()? == Compression::None;
        file.seek(SeekFrom::Start(if plain { offset } else { 0 }))?;
        Ok((file, plain))
    }
}

/// A stream that is received by a tokio task, for a thread to read.
pub(crate) struct StreamReader {
    receiver: mpsc::Receiver<Result<Option<Bytes>, Fault>>,
    rest: Bytes,
    ended: bool,
}

/// Received chunks that wait for the thread.
const CHUNKS: usize = 4;

/// Ends the receiving when it is dropped.
pub(crate) struct Receiving(tokio::task::JoinHandle<()>);

impl Drop for Receiving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl StreamReader {
    /// Starts receiving `stream` on the runtime at hand.
    pub(crate) fn start(mut stream: Box<dyn ByteStream>) -> (Self, Receiving) {
        let (sender, receiver) = mpsc::channel(CHUNKS);
        let receiving = tokio::spawn(async move {
            loop {
                let next = stream.next().await;
                let over = !matches!(next, Ok(Some(_)));
                if sender.send(next).await.is_err() || over {
                    return;
                }
            }
        });
        (StreamReader { receiver, rest: Bytes::new(), ended: false }, Receiving(receiving))
    }
}

impl Read for StreamReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() && !self.ended {
            match self.receiver.blocking_recv() {
                Some(Ok(Some(bytes))) => self.rest = bytes,
                Some(Ok(None)) => self.ended = true,
                Some(Err(fault)) => return Err(io::Error::other(fault)),
                None => return Err(io::Error::other("receiving it was cancelled")),
            }
        }
        let n = self.rest.len().min(out.len());
        out[..n].copy_from_slice(&self.rest.split_to(n));
        Ok(n)
    }
}
