//! Passes a JSON value that is too long to be held, piece by piece: its brackets and strings are
//! checked, what stands between them is not.

use crate::expr::DEPTH;

/// How far it is.
#[derive(Default)]
pub(crate) struct Passing {
    /// Closing brackets that are due.
    due: Vec<u8>,
    in_string: bool,
    escaped: bool,
    begun: bool,
}

impl Passing {
    /// Takes bytes of the value: how many, and whether it ended there.
    pub(crate) fn take(&mut self, input: &[u8]) -> Result<(usize, bool), &'static str> {
        for (i, &byte) in input.iter().enumerate() {
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => {
                        self.in_string = false;
                        if self.due.is_empty() {
                            return Ok((i + 1, true));
                        }
                    }
                    0..=0x1f => return Err("control character in a string"),
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => {
                    if self.due.len() == DEPTH {
                        return Err("nested deeper than 512 levels");
                    }
                    self.due.push(if byte == b'{' { b'}' } else { b']' });
                }
                b'}' | b']' if self.due.is_empty() && self.begun => return Ok((i, true)),
                b'}' | b']' => {
                    if self.due.pop() != Some(byte) {
                        return Err("a bracket that closes nothing");
                    }
                    if self.due.is_empty() {
                        return Ok((i + 1, true));
                    }
                }
                b',' | b' ' | b'\n' | b'\r' | b'\t' if self.due.is_empty() => return Ok((i, true)),
                _ => {}
            }
            self.begun = true;
        }
        Ok((input.len(), false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_end_where_they_end_in_pieces_of_every_size() {
        for (text, end) in [
            (&br#"{"a": "}\"]", "b": [1, {}]}, 2"#[..], 27),
            (b"[[[]], \"x\"]]", 11),
            (b"\"a\\\\\" ", 5),
            (b"12345, 6", 5),
            (b"12345] 6", 5),
        ] {
            for step in 1..=text.len() {
                let (mut passing, mut at, mut ended) = (Passing::default(), 0, false);
                while !ended {
                    let piece = &text[at..(at + step).min(text.len())];
                    let (n, end) = passing.take(piece).unwrap();
                    (at, ended) = (at + n, end);
                }
                assert_eq!(at, end, "{}", String::from_utf8_lossy(text));
            }
        }
        assert!(Passing::default().take(b"[}").is_err());
    }
}
