//! Buffers that stand for a content that is not held: as long as it, without its bytes. What sends them
//! puts the content there, piece by piece.

use bytes::Bytes;
use opendal::Buffer;

/// Never written and never read: no memory is behind it.
static NOTHING: [u8; 1 << 22] = [0; 1 << 22];

/// A part of a body.
pub(super) enum Piece {
    /// As it is.
    Bytes(Bytes),
    /// So many bytes of content.
    Hole(u64),
}

/// A buffer that stands for so many bytes.
pub(super) fn hole(len: u64) -> Buffer {
    let size = NOTHING.len() as u64;
    let whole = usize::try_from(len / size).unwrap_or(usize::MAX);
    let rest = usize::try_from(len % size).unwrap_or_default();
    let mut all = vec![Bytes::from_static(&NOTHING); whole];
    if rest > 0 {
        all.push(Bytes::from_static(&NOTHING[..rest]));
    }
    Buffer::from(all)
}

/// The parts of a body.
pub(super) fn pieces(body: Buffer) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for bytes in body {
        match (NOTHING.as_ptr_range().contains(&bytes.as_ptr()), pieces.last_mut()) {
            (true, Some(Piece::Hole(len))) => *len += bytes.len() as u64,
            (true, _) => pieces.push(Piece::Hole(bytes.len() as u64)),
            (false, _) if bytes.is_empty() => {}
            (false, _) => pieces.push(Piece::Bytes(bytes)),
        }
    }
    pieces
}

/// A body without holes, in one.
pub(super) fn whole(pieces: &[Piece]) -> Bytes {
    match pieces {
        [Piece::Bytes(bytes)] => bytes.clone(),
        pieces => {
            let bytes = pieces.iter().flat_map(|piece| match piece {
                Piece::Bytes(bytes) => &bytes[..],
                Piece::Hole(_) => &[],
            });
            bytes.copied().collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_is_as_long_as_what_it_stands_for() {
        for len in [1, 1 << 22, (1 << 22) + 1, 5 << 30] {
            assert_eq!(hole(len).len() as u64, len);
            assert!(matches!(pieces(hole(len))[..], [Piece::Hole(n)] if n == len));
        }
        assert!(pieces(hole(0)).is_empty());
        let body: Buffer =
            [Buffer::from("head"), hole(9), Buffer::from("tail")].into_iter().flatten().collect();
        let pieces = pieces(body);
        assert!(
            matches!(&pieces[..], [Piece::Bytes(a), Piece::Hole(9), Piece::Bytes(b)] if a == "head" && b == "tail")
        );
    }
}
