//! Finds any number of paths in a document in one pass, and remembers where their values stand.
//!
//! The wanted paths form a trie. The walk validates the whole document (a member that comes later
//! under the same name replaces the earlier one, so nothing can be left unread), compares member
//! names as text (`"\u0069d"` is `id`) and builds nothing: what is found are byte ranges.

use std::fmt;

use bytes::Bytes;
use haul_core::Record;
use smallvec::SmallVec;

use super::error::NotJson;
use super::walk::Walk;

/// One step of a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Seg {
    /// A member of an object.
    Field(String),
    /// An element of an array, from 0; negative from the end.
    Index(i64),
}

impl fmt::Display for Seg {
    /// As jq's messages show it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Seg::Field(name) => write!(f, "\"{name}\""),
            Seg::Index(_) => f.write_str("number"),
        }
    }
}

/// What stands at a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Found {
    /// Nothing, or below a `null`: the value is `null`.
    #[default]
    Missing,
    /// A value, as the byte range of a document.
    Value {
        /// Which document: see [`Documents`].
        document: usize,
        /// First byte.
        start: usize,
        /// Byte after the last.
        end: usize,
    },
    /// The path goes through a value of a kind that cannot be indexed like this.
    Clash {
        /// Kind of that value.
        kind: &'static str,
        /// Node of the step that does not fit it.
        node: usize,
    },
}

/// One entry for every wanted path.
pub(crate) type Findings = SmallVec<[Found; 8]>;

/// The documents that findings refer to: the record's own bytes first, then what steps attached.
pub(crate) type Documents = SmallVec<[Bytes; 4]>;

#[derive(Debug, Default)]
pub(super) struct Node {
    /// The step that leads here.
    seg: Option<Seg>,
    /// Paths that end here.
    pub(super) ends: SmallVec<[usize; 1]>,
    /// Paths that go on below.
    pub(super) below: Vec<usize>,
    /// Nodes one step further: members, elements from the start, elements from the end.
    pub(super) fields: Vec<usize>,
    pub(super) items: Vec<usize>,
    pub(super) back: Vec<usize>,
}

impl Node {
    pub(super) fn name(&self) -> &str {
        match &self.seg {
            Some(Seg::Field(name)) => name,
            _ => "",
        }
    }

    pub(super) fn index(&self) -> i64 {
        match self.seg {
            Some(Seg::Index(i)) => i,
            _ => 0,
        }
    }
}

/// Wanted paths as a trie. Node 0 is the document itself.
#[derive(Debug)]
pub(crate) struct Lookup {
    pub(super) nodes: Vec<Node>,
    /// How many are wanted.
    pub(super) paths: usize,
}

impl Lookup {
    /// A lookup of these paths; findings come in the same order.
    pub(crate) fn new<'p>(paths: impl IntoIterator<Item = &'p [Seg]>) -> Self {
        let mut lookup = Lookup { nodes: vec![Node::default()], paths: 0 };
        for path in paths {
            let id = lookup.paths;
            lookup.paths += 1;
            let mut node = 0;
            for seg in path {
                lookup.nodes[node].below.push(id);
                node = lookup.child(node, seg);
            }
            lookup.nodes[node].ends.push(id);
        }
        lookup
    }

    fn child(&mut self, parent: usize, seg: &Seg) -> usize {
        let kin = |n: &Node| match seg {
            Seg::Field(_) => n.fields.clone(),
            Seg::Index(0..) => n.items.clone(),
            Seg::Index(_) => n.back.clone(),
        };
        let known = kin(&self.nodes[parent]);
        if let Some(node) = known.into_iter().find(|&c| self.nodes[c].seg.as_ref() == Some(seg)) {
            return node;
        }
        let node = self.nodes.len();
        self.nodes.push(Node { seg: Some(seg.clone()), ..Node::default() });
        let parent = &mut self.nodes[parent];
        match seg {
            Seg::Field(_) => parent.fields.push(node),
            Seg::Index(0..) => parent.items.push(node),
            Seg::Index(_) => parent.back.push(node),
        }
        node
    }

    /// True when some path is the document itself.
    fn wants_whole(&self) -> bool {
        !self.nodes[0].ends.is_empty()
    }

    /// Names of the members of the document that are read; `None` when it is read otherwise.
    pub(crate) fn names(&self) -> Option<Vec<&str>> {
        let root = &self.nodes[0];
        if self.wants_whole() || !root.items.is_empty() || !root.back.is_empty() {
            return None;
        }
        Some(root.fields.iter().map(|&n| self.nodes[n].name()).collect())
    }

    /// Looks through one document, which must be exactly one JSON value.
    pub(crate) fn find(&self, text: &[u8]) -> Result<Findings, NotJson> {
        let mut walk = Walk::new(self, 0, text);
        walk.node(0, 0)?;
        walk.scanner.end()?;
        Ok(walk.found)
    }

    /// Looks through a record: an attached member is found first, and what is attached is never
    /// copied together with the rest unless a path is `.` itself.
    pub(crate) fn find_in_record(&self, record: &Record) -> Result<(Findings, Documents), NotJson> {
        let mut documents = Documents::new();
        if record.members().next().is_none() {
            documents.push(record.base().clone());
            return Ok((self.find(record.base())?, documents));
        }
        if self.names().is_none() {
            let mut whole = Vec::with_capacity(record.len() + 64);
            record.write_json(&mut whole);
            let whole = Bytes::from(whole);
            let found = self.find(&whole)?;
            documents.push(whole);
            return Ok((found, documents));
        }
        documents.push(record.base().clone());
        let mut found = Findings::from_elem(Found::Missing, self.paths);
        let (attached, own): (SmallVec<[usize; 8]>, SmallVec<[usize; 8]>) = self.nodes[0]
            .fields
            .iter()
            .copied()
            .partition(|&n| record.attached(self.nodes[n].name()).is_some());
        if !own.is_empty() {
            found = self.find(record.base())?;
        }
        for node in attached {
            let Some(value) = record.attached(self.nodes[node].name()) else { continue };
            let mut walk = Walk::new(self, documents.len(), value);
            walk.found = found;
            walk.node(node, 0)?;
            walk.scanner.end()?;
            found = walk.found;
            documents.push(value.clone());
        }
        Ok((found, documents))
    }

    /// The message of a [`Found::Clash`], in jq's words.
    pub(crate) fn clash(&self, kind: &str, node: usize) -> String {
        match self.nodes.get(node).and_then(|n| n.seg.as_ref()) {
            Some(seg) => format!("Cannot index {kind} with {seg}"),
            None => format!("Cannot index {kind}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str) -> Seg {
        Seg::Field(name.to_owned())
    }

    fn found<'t>(text: &'t str, paths: &[&[Seg]]) -> Vec<Option<&'t str>> {
        let lookup = Lookup::new(paths.iter().copied());
        let value = |f: &Found| match *f {
            Found::Value { start, end, .. } => Some(&text[start..end]),
            _ => None,
        };
        lookup.find(text.as_bytes()).unwrap().iter().map(value).collect()
    }

    #[test]
    fn a_later_member_replaces_all_of_an_earlier_one() {
        let (a, ab, ac) = ([field("a")], [field("a"), field("b")], [field("a"), field("c")]);
        let text = r#"{"a":{"b":1,"c":2},"a":{"c":3}}"#;
        assert_eq!(found(text, &[&a, &ab, &ac]), [Some(r#"{"c":3}"#), None, Some("3")]);
        let text = r#"{"a":{"b":1},"\u0061":null}"#;
        assert_eq!(found(text, &[&a, &ab]), [Some("null"), None]);
        // A clash in a member that is replaced is no clash.
        let lookup = Lookup::new([&ab[..]]);
        assert_eq!(lookup.find(br#"{"a":7,"a":{}}"#).unwrap()[0], Found::Missing);
    }

    #[test]
    fn elements_count_from_both_ends() {
        let at = |i| [Seg::Index(i)];
        let text = "[10, 20 , {\"x\":[30]}]";
        let deep = [Seg::Index(-1), field("x"), Seg::Index(-1)];
        assert_eq!(
            found(text, &[&at(0), &at(1), &at(-2), &at(-3), &at(-4), &at(3), &deep]),
            [Some("10"), Some("20"), Some("20"), Some("10"), None, None, Some("30")]
        );
        assert_eq!(found("[]", &[&at(0), &at(-1)]), [None, None]);
    }

    #[test]
    fn attached_members_are_found_before_the_record_s_own() {
        let mut record = Record::new(&b"{\"user\":1,\"id\":2}"[..]);
        record.attach("user".into(), Bytes::from_static(b" {\"name\":\"x\"} "));
        let lookup = Lookup::new([&[field("user"), field("name")][..], &[field("id")], &[field("none")]]);
        let (found, documents) = lookup.find_in_record(&record).unwrap();
        let text = |f: &Found| match *f {
            Found::Value { document, start, end } => documents[document].slice(start..end),
            _ => Bytes::new(),
        };
        assert_eq!(text(&found[0]), "\"x\"");
        assert_eq!(text(&found[1]), "2");
        assert_eq!(found[2], Found::Missing);
    }
}
