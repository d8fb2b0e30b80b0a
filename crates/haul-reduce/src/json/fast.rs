//! Validates whole lines of JSON at the speed of memory and notes where wanted members stand.
//!
//! Says yes or no, never why: a line it refuses is explained by [`super::stream`], which is the
//! slow twin of this file. Grammar: RFC 8259 without line breaks between tokens, any depth, any
//! number; lone surrogate escapes are well-formed; text is UTF-8.

use super::simd::{Simd, WIDTH};
use super::text;

/// Where a value stands: `text[start..end]`. `end` is 0 when the member is absent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Span {
    /// First byte.
    pub(crate) start: usize,
    /// Behind the last byte.
    pub(crate) end: usize,
}

impl Span {
    /// The bytes it stands for; `None` when the member is absent.
    #[inline(always)]
    pub(crate) fn of(self, text: &[u8]) -> Option<&[u8]> {
        if self.end == 0 { None } else { text.get(self.start..self.end) }
    }
}

/// Names of the top-level members that are wanted.
#[derive(Clone, Debug)]
pub(crate) struct Names<const K: usize>([Name; K]);

#[derive(Clone, Debug, Default)]
struct Name {
    bytes: Box<[u8]>,
    /// The first eight bytes and the bits of them that count.
    head: u64,
    mask: u64,
}

impl<const K: usize> Names<K> {
    /// From decoded names (UTF-8).
    pub(crate) fn new(names: [&[u8]; K]) -> Self {
        Names(names.map(|n| {
            let mut head = [0; 8];
            let mut mask = [0; 8];
            for (i, b) in n.iter().take(8).enumerate() {
                head[i] = *b;
                mask[i] = 0xff;
            }
            Name { bytes: n.into(), head: u64::from_le_bytes(head), mask: u64::from_le_bytes(mask) }
        }))
    }

    /// Which name a key without escapes is; `K` for none.
    #[inline(always)]
    fn which(&self, text: &[u8], start: usize, end: usize) -> usize {
        for (k, name) in self.0.iter().enumerate() {
            if end - start != name.bytes.len() {
                continue;
            }
            let Some(eight) = text.get(start..).and_then(|t| t.first_chunk::<8>()) else {
                if text.get(start..end) == Some(&name.bytes) {
                    return k;
                }
                continue;
            };
            let same_head = (u64::from_le_bytes(*eight) & name.mask) == name.head;
            if same_head && (name.bytes.len() <= 8 || text.get(start + 8..end) == name.bytes.get(8..)) {
                return k;
            }
        }
        K
    }

    #[cold]
    fn which_escaped(&self, key: &[u8]) -> usize {
        let mut decoded = Vec::new();
        text::decode(key, &mut decoded);
        self.0.iter().position(|n| *n.bytes == *decoded).unwrap_or(K)
    }
}

/// A reader of one piece of text: whole lines, the last byte of each a newline.
pub(crate) struct Fast<'a, S> {
    text: &'a [u8],
    simd: S,
    /// `bits` classifies `text[base..base + 64]`.
    base: usize,
    bits: u64,
    /// What is not ASCII has been seen on this line: it is checked at the end of the line, and the
    /// masks no longer stop at it.
    wide: bool,
    deep: Vec<u64>,
}

impl<'a, S: Simd> Fast<'a, S> {
    #[inline(always)]
    pub(crate) fn new(text: &'a [u8], simd: S) -> Self {
        Fast { text, simd, base: 0, bits: 0, wide: false, deep: Vec::new() }
    }

    /// Byte at `p`; a newline behind the end, which nothing but the end of a line accepts.
    #[inline(always)]
    pub(crate) fn byte(&self, p: usize) -> u8 {
        match self.text.get(p) {
            Some(b) => *b,
            None => b'\n',
        }
    }

    /// Skips blanks; stops at a newline.
    #[inline(always)]
    pub(crate) fn blanks(&self, p: usize) -> usize {
        if self.byte(p) > b' ' { p } else { self.blanks_slowly(p) }
    }

    #[inline(always)]
    fn blanks_slowly(&self, mut p: usize) -> usize {
        while matches!(self.byte(p), b' ' | b'\t' | b'\r') {
            p += 1;
        }
        p
    }

    /// Validates the object at `p` (a `{`), which ends on its line, and notes the wanted members
    /// (the last of each name). Returns where it ends.
    #[inline(always)]
    pub(crate) fn object<const K: usize>(
        &mut self,
        p: usize,
        names: &Names<K>,
        found: &mut [Span; K],
    ) -> Option<usize> {
        *found = [Span::default(); K];
        self.anchor(p);
        let end = self.members(p, names, found)?;
        if self.wide {
            self.utf8(p, end)?;
        }
        Some(end)
    }

    #[inline(always)]
    fn members<const K: usize>(
        &mut self,
        p: usize,
        names: &Names<K>,
        found: &mut [Span; K],
    ) -> Option<usize> {
        let mut p = self.blanks(p + 1);
        if self.byte(p) == b'}' {
            return Some(p + 1);
        }
        loop {
            if self.byte(p) != b'"' {
                return None;
            }
            let (key, end, escaped) = self.key(p + 1)?;
            let which = if escaped {
                names.which_escaped(self.text.get(key..end)?)
            } else {
                names.which(self.text, key, end)
            };
            p = self.blanks(end + 1);
            if self.byte(p) != b':' {
                return None;
            }
            let start = self.blanks(p + 1);
            p = match self.byte(start) {
                b'"' => self.string(start + 1)? + 1,
                b'{' | b'[' => self.nested(start)?,
                _ => self.scalar(start)?,
            };
            if let Some(span) = found.get_mut(which) {
                *span = Span { start, end: p };
            }
            p = self.blanks(p);
            match self.byte(p) {
                b',' => p = self.blanks(p + 1),
                b'}' => return Some(p + 1),
                _ => return None,
            }
        }
    }

    /// Starts classifying at `p`, so that lines of one shape fall into blocks in the same way.
    #[inline(always)]
    fn anchor(&mut self, p: usize) {
        self.wide = false;
        self.base = p;
        self.bits = self.classify(p);
    }

    #[inline(always)]
    fn classify(&self, at: usize) -> u64 {
        match self.text.get(at..).and_then(|t| t.first_chunk::<WIDTH>()) {
            Some(bytes) if self.wide => self.simd.enders(bytes),
            Some(bytes) => self.simd.specials(bytes),
            None => self.classify_end(at),
        }
    }

    #[cold]
    #[inline(never)]
    fn classify_end(&self, at: usize) -> u64 {
        let mut bytes = [b'\n'; WIDTH];
        for (to, from) in bytes.iter_mut().zip(self.text.get(at..).unwrap_or_default()) {
            *to = *from;
        }
        if self.wide { self.simd.enders(&bytes) } else { self.simd.specials(&bytes) }
    }

    /// First byte at or behind `p` that is not plain text of a string.
    #[inline(always)]
    fn special(&mut self, p: usize) -> usize {
        let off = p.wrapping_sub(self.base);
        if off < WIDTH {
            let bits = self.bits >> off;
            if bits != 0 {
                return p + bits.trailing_zeros() as usize;
            }
        }
        self.special_beyond(p)
    }

    #[inline(always)]
    fn special_beyond(&mut self, p: usize) -> usize {
        // The common step is to the next block; its address depends on nothing that is being
        // computed, so the processor classifies it ahead of time.
        self.base += WIDTH;
        let off = p.wrapping_sub(self.base);
        if off < WIDTH {
            self.bits = self.classify(self.base);
            let bits = self.bits >> off;
            if bits != 0 {
                return p + bits.trailing_zeros() as usize;
            }
            self.base += WIDTH;
        } else if off < usize::MAX / 2 {
            self.base = p;
        }
        loop {
            self.bits = self.classify(self.base);
            if self.bits != 0 {
                return self.base + self.bits.trailing_zeros() as usize;
            }
            self.base += WIDTH;
        }
    }

    /// The end (the closing quote) of the string whose first byte is `p`.
    #[inline(always)]
    fn string(&mut self, p: usize) -> Option<usize> {
        let e = self.special(p);
        if self.byte(e) == b'"' { Some(e) } else { self.string_slowly(e) }
    }

    /// Start, end, and whether there are escapes in it.
    #[inline(always)]
    fn key(&mut self, p: usize) -> Option<(usize, usize, bool)> {
        let e = self.special(p);
        if self.byte(e) == b'"' {
            return Some((p, e, false));
        }
        let end = self.string_slowly(e)?;
        Some((p, end, self.text.get(p..end)?.contains(&b'\\')))
    }

    #[inline(never)]
    fn string_slowly(&mut self, mut e: usize) -> Option<usize> {
        loop {
            match self.byte(e) {
                b'"' => return Some(e),
                b'\\' => e = self.escape(e + 1)?,
                0..=0x1f => return None,
                _ => {
                    self.wide = true;
                    self.base = e;
                    self.bits = self.classify(e);
                }
            }
            e = self.special(e);
        }
    }

    /// Behind the escape whose letter is at `p`.
    #[inline(always)]
    fn escape(&self, p: usize) -> Option<usize> {
        match self.byte(p) {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(p + 1),
            b'u' => {
                let four = self.text.get(p + 1..p + 5)?;
                four.iter().all(u8::is_ascii_hexdigit).then_some(p + 5)
            }
            _ => None,
        }
    }

    #[cold]
    #[inline(never)]
    fn utf8(&self, start: usize, end: usize) -> Option<()> {
        simdutf8::basic::from_utf8(self.text.get(start..end)?).ok().map(|_| ())
    }

    /// Behind the number or word at `p`.
    #[inline(always)]
    fn scalar(&self, p: usize) -> Option<usize> {
        match self.byte(p) {
            b'-' => self.number(p + 1),
            b'0'..=b'9' => self.number(p),
            b't' => self.word(p, b"true"),
            b'n' => self.word(p, b"null"),
            b'f' => self.word(p + 1, b"alse"),
            _ => None,
        }
    }

    #[inline(always)]
    fn word(&self, p: usize, word: &[u8; 4]) -> Option<usize> {
        (self.text.get(p..p + 4)? == word).then_some(p + 4)
    }

    /// Behind the number whose first digit must be at `p`.
    #[inline(always)]
    fn number(&self, p: usize) -> Option<usize> {
        let mut q = match self.byte(p) {
            b'0' => p + 1,
            b'1'..=b'9' => self.digits(p + 1),
            _ => return None,
        };
        if self.byte(q) == b'.' {
            let from = q + 1;
            q = self.digits(from);
            if q == from {
                return None;
            }
        }
        if matches!(self.byte(q), b'e' | b'E') {
            let sign = usize::from(matches!(self.byte(q + 1), b'+' | b'-'));
            let from = q + 1 + sign;
            q = self.digits(from);
            if q == from {
                return None;
            }
        }
        Some(q)
    }

    #[inline(always)]
    fn digits(&self, mut p: usize) -> usize {
        while self.byte(p).is_ascii_digit() {
            p += 1;
        }
        p
    }

    /// Behind the key and the colon of the member at `p`: where its value starts.
    #[inline(always)]
    fn member(&mut self, p: usize) -> Option<usize> {
        if self.byte(p) != b'"' {
            return None;
        }
        let p = self.string(p + 1)?;
        let p = self.blanks(p + 1);
        (self.byte(p) == b':').then(|| self.blanks(p + 1))
    }

    /// Validates a nested object or array at `p`; returns where it ends. Iterative: a level costs
    /// one bit, the last 64 of them in a register.
    #[inline(never)]
    fn nested(&mut self, mut p: usize) -> Option<usize> {
        let mut open: u64 = 0;
        let mut depth: usize = 0;
        self.deep.clear();
        'open: loop {
            if depth > 0 && depth.is_multiple_of(64) {
                self.deep.push(open);
            }
            depth += 1;
            let mut object = self.byte(p) == b'{';
            open = open << 1 | u64::from(object);
            p = self.blanks(p + 1);
            let mut empty = self.byte(p) == if object { b'}' } else { b']' };
            loop {
                if !empty {
                    if object {
                        p = self.member(p)?;
                    }
                    p = match self.byte(p) {
                        b'{' | b'[' => continue 'open,
                        b'"' => self.string(p + 1)? + 1,
                        _ => self.scalar(p)?,
                    };
                    p = self.blanks(p);
                }
                loop {
                    match self.byte(p) {
                        b',' => {
                            p = self.blanks(p + 1);
                            break;
                        }
                        b'}' if object => {}
                        b']' if !object => {}
                        _ => return None,
                    }
                    empty = false;
                    p += 1;
                    depth -= 1;
                    if depth == 0 {
                        return Some(p);
                    }
                    open >>= 1;
                    if depth.is_multiple_of(64) {
                        open = self.deep.pop()?;
                    }
                    object = open & 1 == 1;
                    p = self.blanks(p);
                }
            }
        }
    }
}
