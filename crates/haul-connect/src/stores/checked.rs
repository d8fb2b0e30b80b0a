//! A content that is counted and digested as it passes: its end is handed on only when it is what it
//! should be.

use async_trait::async_trait;
use bytes::Bytes;
use haul_core::store::{self, Content, Meta};
use haul_core::{Cx, Fault};
use md5::{Digest, Md5};

/// The last piece is held back until all of it is known to be right, so that whoever takes it never has
/// the whole of something wrong.
pub(crate) struct Checked<'a> {
    content: &'a mut dyn Content,
    wanted: &'a Meta,
    held: Option<Bytes>,
    ended: bool,
    len: u64,
    crc32c: Option<u32>,
    md5: Option<Md5>,
}

/// What passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Passed {
    pub(crate) len: u64,
    pub(crate) crc32c: Option<u32>,
    /// Where somebody wanted it.
    pub(crate) md5: Option<store::Md5>,
}

impl<'a> Checked<'a> {
    /// Holds a content to the length and the MD5 that are said of it.
    pub(crate) fn new(content: &'a mut dyn Content, wanted: &'a Meta) -> Self {
        let md5 = wanted.md5.map(|_| Md5::new());
        Checked { content, wanted, held: None, ended: false, len: 0, crc32c: Some(0), md5 }
    }

    /// Digests it by MD5 in any case, and by nothing else.
    pub(crate) fn by_md5(self) -> Self {
        Checked { md5: Some(Md5::new()), crc32c: None, ..self }
    }

    /// Holds it to its length only, and digests nothing: whoever takes it compares the rest.
    pub(crate) fn by_length(self) -> Self {
        Checked { md5: None, crc32c: None, ..self }
    }

    /// What has passed so far, or in all.
    pub(crate) fn passed(&self) -> Passed {
        let md5 = self.md5.clone().map(|md5| md5.finalize().into());
        Passed { len: self.len, crc32c: self.crc32c, md5 }
    }

    fn is_right(&self) -> Result<(), Fault> {
        check(&self.passed(), self.wanted)
    }
}

/// Whether what passed is what it should be.
pub(crate) fn check(passed: &Passed, wanted: &Meta) -> Result<(), Fault> {
    if passed.len != wanted.len {
        let message = format!("its content has {} bytes and should have {}", passed.len, wanted.len);
        return Err(Fault::transient("truncated", message));
    }
    match (passed.md5, wanted.md5) {
        (Some(found), Some(wanted)) if found != wanted => {
            let hex = haul_core::cx::hex;
            let message = format!("what arrived has the MD5 {}, not {}", hex(&found), hex(&wanted));
            Err(Fault::transient("checksum", message))
        }
        _ => Ok(()),
    }
}

#[async_trait]
impl Content for Checked<'_> {
    async fn next(&mut self, cx: &Cx<'_>) -> Result<Option<Bytes>, Fault> {
        while !self.ended {
            let Some(piece) = self.content.next(cx).await? else {
                self.ended = true;
                self.is_right()?;
                break;
            };
            self.len += piece.len() as u64;
            if self.len > self.wanted.len {
                return self.is_right().map(|()| None);
            }
            if let Some(crc) = &mut self.crc32c {
                *crc = crc32c::crc32c_append(*crc, &piece);
            }
            if let Some(md5) = &mut self.md5 {
                md5.update(&piece);
            }
            if let Some(before) = self.held.replace(piece) {
                return Ok(Some(before));
            }
        }
        Ok(self.held.take())
    }
}
