//! A part of a store, and what stands for its keys elsewhere.

use std::fmt;
use std::sync::Arc;

use haul_core::Key;
use haul_core::store::Store;

/// The keys of a store that begin with a prefix.
#[derive(Clone)]
pub struct Place {
    /// The store.
    pub store: Arc<dyn Store>,
    /// What the keys begin with; may be empty.
    pub prefix: Key,
}

impl Place {
    /// The same place as one that keys of another are copied to: when either prefix is whole directories
    /// (empty, or `…/`), so is the other.
    pub fn facing(self, from: &Place) -> Place {
        let mut prefix = self.prefix.0.to_vec();
        if is_partial(&prefix) && !is_partial(&from.prefix.0) {
            prefix.push(b'/');
        }
        Place { prefix: prefix.into(), ..self }
    }

    /// The same place as a directory: its keys come after a `/`.
    pub fn directory(self) -> Place {
        let mut prefix = self.prefix.0.to_vec();
        if is_partial(&prefix) {
            prefix.push(b'/');
        }
        Place { prefix: prefix.into(), ..self }
    }

    /// The key of another place, which faces this one, that stands for one of this. In between two
    /// prefixes that end within a name, these are exchanged as text; else names stay whole.
    pub fn counterpart(&self, key: &Key, other: &Place) -> Key {
        let prefix = &self.prefix.0;
        let cut = match is_partial(&other.prefix.0) {
            true => prefix.len(),
            false => prefix.iter().rposition(|b| *b == b'/').map_or(0, |at| at + 1),
        };
        let rest = key.0.get(cut..).unwrap_or_default();
        [&other.prefix.0[..], rest].concat().into()
    }
}

/// A prefix that ends within a name.
fn is_partial(prefix: &[u8]) -> bool {
    !prefix.is_empty() && !prefix.ends_with(b"/")
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix.0.is_empty() {
            true => write!(f, "{}", self.store.name()),
            false => write!(f, "{}/{}", self.store.name(), self.prefix),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::Directory;

    #[test]
    fn prefixes_are_exchanged_and_names_stay_whole() {
        let place = |prefix: &str| Place {
            store: Arc::new(Directory::new("x".into())),
            prefix: prefix.to_owned().into(),
        };
        for (from, to, key, wanted) in [
            ("", "", "a/b", "a/b"),
            ("", "p", "a/b", "p/a/b"),
            ("", "p/", "a/b", "p/a/b"),
            ("2023/", "p", "2023/a", "p/a"),
            ("2023/", "", "2023/a", "a"),
            ("2023", "", "2023/a", "2023/a"),
            ("x/2023", "", "x/2023b", "2023b"),
            ("x/2023", "p/", "x/2023b", "p/2023b"),
            ("a", "b", "ac", "bc"),
        ] {
            let from = place(from);
            let to = place(to).facing(&from);
            let key = Key::from(key.to_owned());
            assert_eq!(from.counterpart(&key, &to).to_string(), wanted);
        }
    }
}
