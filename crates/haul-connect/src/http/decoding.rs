//! A body that comes in a content coding although it was asked for as it is: undone while it comes, in
//! bounded memory, so that what is saved is the file.

use std::io::{self, Write};

use flate2::write::{MultiGzDecoder, ZlibDecoder};
use haul_core::{Fault, FaultClass};

use super::encoding::Coding;
use super::fetch::{FIRST, FetchHead, Receive};
use super::reply::{bounded, origin_of};
use super::url::Url;

/// A frame of zstd that needs a larger window is none of a content coding (RFC 9659).
const WINDOW_LOG: u32 = 23;

/// See the module.
pub(crate) struct Decoding<'a> {
    decoder: Decoder<'a>,
    url: Url,
    came: bool,
}

enum Decoder<'a> {
    Gzip(Box<MultiGzDecoder<Decoded<'a>>>),
    Deflate(Box<ZlibDecoder<Decoded<'a>>>),
    Brotli(Box<brotli::DecompressorWriter<Decoded<'a>>>),
    Zstd(Box<zstd::stream::write::Decoder<'static, Decoded<'a>>>),
}

/// Where what was decoded goes.
struct Decoded<'a> {
    to: &'a mut dyn Receive,
    url: Url,
    /// First bytes, until they are enough to be looked at.
    beginning: Option<Vec<u8>>,
    /// Why it goes no further.
    fault: Option<Fault>,
}

impl Decoded<'_> {
    fn begin(&mut self) -> Result<(), Fault> {
        let Some(bytes) = self.beginning.take() else { return Ok(()) };
        self.to.first(&bytes, &self.url)?;
        if bytes.is_empty() { Ok(()) } else { self.to.body(&bytes) }
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let Some(beginning) = &mut self.beginning else { return self.to.body(bytes) };
        beginning.extend_from_slice(bytes);
        if beginning.len() < FIRST { Ok(()) } else { self.begin() }
    }
}

impl Write for Decoded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes).map_err(|fault| {
            self.fault = Some(fault);
            io::Error::other("it is not taken")
        })?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> Decoding<'a> {
    /// Undoes a coding of a body that goes to `to`.
    ///
    /// # Errors
    /// `body` when this cannot be done.
    pub(crate) fn new(coding: Coding, to: &'a mut dyn Receive, url: &Url) -> Result<Self, Fault> {
        let decoded = Decoded { to, url: url.clone(), beginning: Some(Vec::new()), fault: None };
        let decoder = match coding {
            Coding::Identity | Coding::Gzip => Decoder::Gzip(Box::new(MultiGzDecoder::new(decoded))),
            Coding::Deflate => Decoder::Deflate(Box::new(ZlibDecoder::new(decoded))),
            Coding::Brotli => Decoder::Brotli(Box::new(brotli::DecompressorWriter::new(decoded, 16 * 1024))),
            Coding::Zstd => {
                let mut decoder = zstd::stream::write::Decoder::new(decoded).map_err(|e| broken(url, &e))?;
                decoder.window_log_max(WINDOW_LOG).map_err(|e| broken(url, &e))?;
                Decoder::Zstd(Box::new(decoder))
            }
        };
        Ok(Decoding { decoder, url: url.clone(), came: false })
    }

    fn decoded(&mut self) -> &mut Decoded<'a> {
        match &mut self.decoder {
            Decoder::Gzip(d) => d.get_mut(),
            Decoder::Deflate(d) => d.get_mut(),
            Decoder::Brotli(d) => d.get_mut(),
            Decoder::Zstd(d) => d.get_mut(),
        }
    }

    /// What the receiver said, or that the body is broken.
    fn judged(&mut self, done: io::Result<()>) -> Result<(), Fault> {
        done.map_err(|e| self.decoded().fault.take().unwrap_or_else(|| broken(&self.url, &e)))
    }
}

fn broken(url: &Url, e: &io::Error) -> Fault {
    let message = bounded(format!("{url}: its coded body is broken or cut off: {e}"));
    Fault::new(FaultClass::Transient, "body", message).with_origin(origin_of(url))
}

impl Receive for Decoding<'_> {
    fn head(&mut self, head: &FetchHead, url: &Url) -> Result<(), Fault> {
        self.decoded().to.head(head, url)
    }

    fn first(&mut self, _: &[u8], _: &Url) -> Result<(), Fault> {
        Ok(())
    }

    fn body(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.came = true;
        let done = match &mut self.decoder {
            Decoder::Gzip(d) => d.write_all(bytes),
            Decoder::Deflate(d) => d.write_all(bytes),
            Decoder::Brotli(d) => d.write_all(bytes),
            Decoder::Zstd(d) => d.write_all(bytes),
        };
        self.judged(done)
    }

    fn end(&mut self) -> Result<(), Fault> {
        let done = match &mut self.decoder {
            // Nothing at all is what an empty file looks like in any coding.
            _ if !self.came => Ok(()),
            Decoder::Gzip(d) => d.try_finish(),
            Decoder::Deflate(d) => d.try_finish(),
            Decoder::Brotli(d) => d.close(),
            Decoder::Zstd(d) => d.flush(),
        };
        self.judged(done)?;
        let decoded = self.decoded();
        decoded.begin()?;
        decoded.to.end()
    }

    fn is_enough(&self) -> bool {
        false
    }
}
