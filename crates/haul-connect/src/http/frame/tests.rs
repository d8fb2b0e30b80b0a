//! Replies in every split, every early end, and every bound.

use proptest::prelude::*;

use super::*;

/// Pushes `wire` in pieces of `step` bytes.
fn read(wire: &[u8], step: usize) -> Result<(ReplyReader, usize), ReplyError> {
    let mut reader = ReplyReader::new(BodyUse::Keep);
    let mut taken = 0;
    for piece in wire.chunks(step.max(1)) {
        match reader.push(piece)? {
            Progress::Done { used } => return Ok((reader, taken + used)),
            Progress::More => taken += piece.len(),
            Progress::Enough => panic!("a kept body is never enough"),
        }
    }
    reader.eof()?;
    Ok((reader, taken))
}

const CHUNKED: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n\
    HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;ext=\"a\"\r\nhello\r\nA\r\n, world!!!\r\n0\r\nX: y\r\n\r\nrest";

#[test]
fn a_chunked_reply_in_pieces_of_every_size() {
    for step in 1..=CHUNKED.len() {
        let (reader, used) = read(CHUNKED, step).unwrap();
        assert_eq!(used, CHUNKED.len() - 4, "step {step}");
        assert_eq!(reader.into_parts().unwrap().1, b"hello, world!!!");
    }
}

#[test]
fn a_reply_with_a_length_in_pieces_of_every_size() {
    let wire = b"\r\nHTTP/1.1 201 Created\nContent-Length: 5\n\nhellorest";
    for step in 1..=wire.len() {
        let (reader, used) = read(wire, step).unwrap();
        assert_eq!(used, wire.len() - 4, "step {step}");
        let (head, body) = reader.into_parts().unwrap();
        assert_eq!((head.status, &body[..]), (201, &b"hello"[..]));
    }
}

#[test]
fn every_early_end_is_noticed() {
    let done = CHUNKED.len() - 4;
    for end in 0..done {
        assert!(read(&CHUNKED[..end], 7).is_err(), "cut at {end}");
    }
    let e = read(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", 9).err().unwrap();
    assert_eq!(e, ReplyError::BodyCut { got: 3, of: Some(10) });
    assert!(e.to_string().contains("after 3 bytes of its body (of 10)"));
    let (reader, _) = read(b"HTTP/1.0 200 OK\r\n\r\nabc", 9).unwrap();
    assert!(reader.is_done());
}

#[test]
fn nothing_grows_without_bound() {
    let head = format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(HEAD_BYTES + 1));
    assert_eq!(read(head.as_bytes(), 1000).err(), Some(ReplyError::HeadTooLarge));
    let trailer = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n{}",
        "X: y\r\n".repeat(HEAD_BYTES / 4)
    );
    assert_eq!(read(trailer.as_bytes(), 1000).err(), Some(ReplyError::HeadTooLarge));
    let interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(17);
    assert!(matches!(read(interim.as_bytes(), 1000), Err(ReplyError::Framing(_))));
    let long = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", BODY_BYTES + 1);
    assert_eq!(read(long.as_bytes(), 1000).err(), Some(ReplyError::BodyTooLarge));
    let mut reader = ReplyReader::new(BodyUse::Keep);
    reader.push(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
    let mib = vec![b'x'; 1 << 20];
    assert!((0..=BODY_BYTES >> 20).any(|_| reader.push(&mib) == Err(ReplyError::BodyTooLarge)));
}

#[test]
fn drained_bodies_are_read_only_while_it_pays() {
    let mut reader = ReplyReader::new(BodyUse::Drain);
    let small = reader.push(b"HTTP/1.1 500 No\r\nContent-Length: 20\r\n\r\nsorry").unwrap();
    assert_eq!(small, Progress::More);
    assert_eq!(reader.push(&[b'x'; 15]).unwrap(), Progress::Done { used: 15 });
    let mut reader = ReplyReader::new(BodyUse::Drain);
    reader.push(b"HTTP/1.1 500 No\r\nContent-Length: 99999999\r\n\r\n").unwrap();
    assert_eq!(reader.push(&vec![b'x'; DRAINED_KEEP]).unwrap(), Progress::Enough);
    assert_eq!(reader.body_len(), DRAINED_KEEP);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), step in 1usize..40) {
        let _ = read(&bytes, step);
        let mut after_head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        after_head.extend_from_slice(&bytes);
        let _ = read(&after_head, step);
    }

    #[test]
    fn a_body_that_is_put_into_its_room_is_the_one_that_was_sent(
        len in 1usize..700_000,
        sizes in prop::collection::vec(1usize..200_000, 1..40),
        with_head in 0usize..3_000,
    ) {
        let body: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        let wire = [format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n").as_bytes(), &body[..]].concat();
        let mut reader = ReplyReader::streaming();
        prop_assert!(reader.room().is_none(), "nothing is known of it yet");
        let (mut at, mut got) = ((wire.len() - len + with_head).min(wire.len()), Vec::new());
        let mut progress = reader.push(&wire[..at]).unwrap();
        for size in sizes.iter().cycle() {
            if let Progress::Done { used } = progress {
                prop_assert!(used <= at);
                break;
            }
            if reader.body_len() > 128 * 1024 {
                got.extend_from_slice(reader.body());
                reader.clear_body();
            }
            let mut room = reader.room().expect("of a known length");
            let n = room.remaining_mut().min(*size);
            prop_assert!(at + n <= wire.len(), "room for more than the body");
            room.put_slice(&wire[at..at + n]);
            progress = reader.came(n);
            at += n;
        }
        prop_assert!(reader.is_done() && reader.room().is_none());
        got.extend_from_slice(reader.body());
        prop_assert!(at == wire.len() && got == body);
        let mut cut = ReplyReader::streaming();
        cut.push(&wire[..wire.len() - len]).unwrap();
        cut.came(len - 1);
        prop_assert_eq!(cut.eof(), Err(ReplyError::BodyCut { got: len as u64 - 1, of: Some(len as u64) }));
    }

    #[test]
    fn chunks_of_any_sizes_give_the_body(sizes in prop::collection::vec(1usize..600, 0..8), step in 1usize..900) {
        let mut wire = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        let mut body = Vec::new();
        for (i, n) in sizes.iter().enumerate() {
            let data = vec![i as u8; *n];
            wire.extend_from_slice(format!("{n:X}\r\n").as_bytes());
            wire.extend_from_slice(&data);
            wire.extend_from_slice(b"\r\n");
            body.extend_from_slice(&data);
        }
        wire.extend_from_slice(b"0\r\n\r\n");
        let (reader, used) = read(&wire, step).unwrap();
        prop_assert_eq!(used, wire.len());
        prop_assert_eq!(reader.into_parts().unwrap().1, body);
    }
}
