//! Texts between two keys: where a listing might be cut in two.

/// The bytes that the names of a place are made of, as far as they were seen.
#[derive(Clone, Default)]
pub(super) struct Alphabet {
    sorted: Vec<u8>,
}

impl Alphabet {
    /// Takes what a key has after the place's prefix. Only ASCII: what is asked for has to be UTF-8.
    pub(super) fn learn(&mut self, name: &[u8]) {
        for byte in name.iter().filter(|byte| byte.is_ascii()) {
            if let Err(at) = self.sorted.binary_search(byte) {
                self.sorted.insert(at, *byte);
            }
        }
    }

    /// How many known bytes are below it.
    fn rank(&self, byte: u8) -> usize {
        self.sorted.partition_point(|known| *known < byte)
    }

    /// A text between two, about half-way by the bytes that are known; `None` for no end: that of all texts
    /// that begin with the first `prefix` bytes of `lo`.
    pub(super) fn between(&self, prefix: usize, lo: &[u8], hi: Option<&[u8]>) -> Option<Vec<u8>> {
        let same = match hi {
            Some(hi) => lo.iter().zip(hi).take_while(|(a, b)| a == b).count(),
            None => prefix.min(lo.len()),
        };
        // From the first byte that differs on, wherever there is room above that of `lo`.
        for at in same..=lo.len() {
            let low = lo.get(at).map_or(0, |byte| self.rank(*byte) + 1);
            let high = match hi {
                Some(hi) if at == same => self.rank(*hi.get(at)?),
                _ => self.sorted.len(),
            };
            if low < high {
                let mut text = lo[..at].to_vec();
                text.push(self.sorted[low + (high - low) / 2]);
                let inside = *text > *lo && hi.is_none_or(|hi| *text < *hi);
                return inside.then_some(text);
            }
        }
        None
    }

    /// Where a text stands between two others that have `same` bytes in common, as if all texts occurred.
    pub(super) fn fraction(&self, same: usize, text: &[u8]) -> f64 {
        let base = (self.sorted.len() + 1) as f64;
        let digits = text.iter().skip(same).take(16);
        digits.rev().fold(0.0, |below, byte| (self.rank(*byte) as f64 + 1.0 + below) / base)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn alphabet(of: &[&[u8]]) -> Alphabet {
        let mut alphabet = Alphabet::default();
        of.iter().for_each(|name| alphabet.learn(name));
        alphabet
    }

    proptest! {
        #[test]
        fn what_is_between_is_between(lo in "[a-e/]{1,6}", hi in proptest::option::of("[a-e/]{1,6}")) {
            let known = alphabet(&[b"abcde/"]);
            prop_assume!(hi.as_ref().is_none_or(|hi| lo < *hi));
            if let Some(text) = known.between(0, lo.as_bytes(), hi.as_deref().map(str::as_bytes)) {
                prop_assert!(text.as_slice() > lo.as_bytes());
                prop_assert!(hi.as_ref().is_none_or(|hi| text.as_slice() < hi.as_bytes()));
            }
        }

        #[test]
        fn fractions_are_in_order(a in "[a-e]{1,8}", b in "[a-e]{1,8}") {
            let known = alphabet(&[b"abcde"]);
            let (x, y) = (known.fraction(0, a.as_bytes()), known.fraction(0, b.as_bytes()));
            prop_assert_eq!(a.cmp(&b), x.partial_cmp(&y).unwrap());
        }
    }

    #[test]
    fn it_is_about_half_way() {
        let known = alphabet(&[b"0123456789.png"]);
        let between = |lo: &str, hi: Option<&str>| {
            known
                .between(4, lo.as_bytes(), hi.map(str::as_bytes))
                .map(|text| String::from_utf8(text).unwrap())
        };
        assert_eq!(between("img/00000999.png", Some("img/9")).as_deref(), Some("img/5"));
        assert_eq!(between("img/00000999.png", Some("img/1")).as_deref(), Some("img/07"));
        assert_eq!(between("img/00000999.png", None).as_deref(), Some("img/7"));
        assert_eq!(between("img/9", Some("img/9.")), None);
    }
}
