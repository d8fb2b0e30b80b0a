//! Two places listed side by side: what is in one, and what stands for it in the other. A thousand keys a
//! request at most services, and not a request for an object.

use std::cmp::Ordering;

use futures_util::future::try_join;
use futures_util::{StreamExt, stream};
use haul_core::limits::REREAD_AT_ONCE;
use haul_core::store::{Listed, Meta};
use haul_core::{Cx, Fault, Key};
use md5::{Digest, Md5};

use super::Place;
use super::keys::Ahead;

/// An object and what stands for it; at least one of both is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pair {
    /// In the place that is copied.
    pub here: Option<Listed>,
    /// In the place that it is copied to.
    pub there: Option<Listed>,
}

/// All pairs of two places, in order.
pub struct Pairs {
    from: Ahead,
    to: Ahead,
}

impl Pairs {
    /// The objects of a place, and those of the place they are copied to.
    pub fn new(from: Place, to: Place) -> Self {
        Pairs { from: Ahead::new(from, None), to: Ahead::new(to, None) }
    }

    /// The next pair; `None` at the end. An `Err` leaves everything unchanged.
    ///
    /// # Errors
    /// What a listing ran into.
    pub async fn next(&mut self, cx: &Cx<'_>) -> Result<Option<Pair>, Fault> {
        try_join(self.from.fill(cx), self.to.fill(cx)).await?;
        let wanted = self.from.peek().map(|o| self.from.place.counterpart(&o.key, &self.to.place));
        let there = self.to.peek().map(|o| &o.key);
        let order = match (&wanted, there) {
            (None, None) => return Ok(None),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(wanted), Some(there)) => wanted.cmp(there),
        };
        let here = (order != Ordering::Greater).then(|| self.from.take()).flatten();
        let there = (order != Ordering::Less).then(|| self.to.take()).flatten();
        Ok(Some(Pair { here, there }))
    }
}

/// Why two objects are held to be the same, the surest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Sameness {
    /// All bytes were read at both ends.
    Bytes,
    /// Both stores say the same MD5.
    Md5,
    /// Both say the same version: an `ETag` that is no MD5, as objects in parts have.
    Version,
    /// As many bytes, and not older: no more can be compared.
    SizeAndTime,
}

impl Sameness {
    /// As it is told.
    pub fn as_str(self) -> &'static str {
        match self {
            Sameness::Bytes => "bytes",
            Sameness::Md5 => "md5",
            Sameness::Version => "etag",
            Sameness::SizeAndTime => "size and time",
        }
    }
}

/// Compares what two listings say of an object.
///
/// # Errors
/// How the other one is different.
pub fn compare(here: &Meta, there: &Meta) -> Result<Sameness, String> {
    if here.len != there.len {
        return Err(format!("it has {} bytes instead of {}", there.len, here.len));
    }
    match (&here.md5, &there.md5) {
        (Some(a), Some(b)) if a == b => return Ok(Sameness::Md5),
        (Some(_), Some(_)) => return Err("it has other bytes, by its MD5".to_owned()),
        _ => {}
    }
    match !here.version.is_empty() && here.version == there.version {
        true => Ok(Sameness::Version),
        false if there.modified_ns >= here.modified_ns => Ok(Sameness::SizeAndTime),
        false => Err("it is older, and no checksum can be compared".to_owned()),
    }
}

/// Reads objects and what stands for them, several at once, and compares all bytes. In order: the fault of
/// either store, or how the other one is different.
pub async fn reread(
    (from, to): (&Place, &Place),
    keys: &[(Key, Key)],
    cx: &Cx<'_>,
) -> Vec<Result<Result<(), String>, Fault>> {
    let one = |(here, there): &(Key, Key)| {
        let (here, there) = (here.clone(), there.clone());
        async move {
            let (here, there) = try_join(digest(from, &here, cx), digest(to, &there, cx)).await?;
            Ok(match (here, there) {
                (None, _) => Err("it is gone from the source".to_owned()),
                (_, None) => Err("it is gone".to_owned()),
                (Some(a), Some(b)) if a == b => Ok(()),
                (Some((a, _)), Some((b, _))) if a != b => {
                    Err(format!("{b} bytes instead of {a} can be read of it"))
                }
                _ => Err("it has other bytes".to_owned()),
            })
        }
    };
    stream::iter(keys.iter().map(one)).buffered(REREAD_AT_ONCE).collect().await
}

/// Length and digest of an object; `None`: there is none.
async fn digest(place: &Place, key: &Key, cx: &Cx<'_>) -> Result<Option<(u64, [u8; 16])>, Fault> {
    let Some((_, mut content)) = place.store.open(key, None, cx).await? else { return Ok(None) };
    let (mut len, mut digest) = (0, Md5::new());
    while let Some(piece) = content.next(cx).await? {
        len += piece.len() as u64;
        digest.update(&piece);
    }
    Ok(Some((len, digest.finalize().into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(len: u64, version: &str, modified_ns: i64) -> Meta {
        let md5 = (version.len() == 32).then(|| [version.as_bytes()[0]; 16]);
        Meta { len, version: version.into(), modified_ns, md5, ..Meta::default() }
    }

    #[test]
    fn the_surest_comparison_decides() {
        let (a, b) = ("900150983cd24fb0d6963f7d28e17f72", "00000000000000000000000000000000");
        let (old, new) = (1, 2);
        for (here, there, by) in [
            (meta(3, a, new), meta(3, a, old), Some(Sameness::Md5)),
            (meta(3, a, old), meta(3, b, new), None),
            (meta(3, a, old), meta(4, a, new), None),
            (meta(3, "abc-2", old), meta(3, a, new), Some(Sameness::SizeAndTime)),
            (meta(3, "abc-2", new), meta(3, a, old), None),
            (meta(3, "abc-2", new), meta(3, "abc-2", old), Some(Sameness::Version)),
            (meta(3, "", new), meta(3, "", old), None),
        ] {
            assert_eq!(compare(&here, &there).ok(), by, "{here:?} {there:?}");
        }
    }
}
