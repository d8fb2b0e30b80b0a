//! One pass over a document that notes where the values of wanted paths stand.

use super::error::NotJson;
use super::lookup::{Findings, Found, Lookup, Node};
use super::scan::Scanner;
use super::text::unescape;

/// One pass over one document.
pub(super) struct Walk<'a> {
    lookup: &'a Lookup,
    document: usize,
    pub(super) scanner: Scanner<'a>,
    pub(super) found: Findings,
}

impl<'a> Walk<'a> {
    pub(super) fn new(lookup: &'a Lookup, document: usize, text: &'a [u8]) -> Self {
        let found = Findings::from_elem(Found::Missing, lookup.paths);
        Walk { lookup, document, scanner: Scanner::new(text), found }
    }

    /// Passes the value of a node that stands `depth` arrays and objects deep.
    pub(super) fn node(&mut self, node: usize, depth: usize) -> Result<(), NotJson> {
        let lookup = self.lookup;
        let this = &lookup.nodes[node];
        self.scanner.space();
        let start = self.scanner.at;
        if this.below.is_empty() {
            self.scanner.value(depth)?;
        } else {
            // An earlier member of the same name may have left findings.
            for &path in &this.below {
                self.found[path] = Found::Missing;
            }
            match self.scanner.peek() {
                Some(b'{') => self.object(this, depth)?,
                Some(b'[') => self.array(this, depth)?,
                first => {
                    self.scanner.scalar()?;
                    let kind = match first {
                        Some(b'n') => None,
                        Some(b'"') => Some("string"),
                        Some(b't' | b'f') => Some("boolean"),
                        _ => Some("number"),
                    };
                    if let Some(kind) = kind {
                        self.clash(kind, [&this.fields, &this.items, &this.back]);
                    }
                }
            }
        }
        for &path in &this.ends {
            self.found[path] = Found::Value { document: self.document, start, end: self.scanner.at };
        }
        Ok(())
    }

    fn clash<const N: usize>(&mut self, kind: &'static str, children: [&Vec<usize>; N]) {
        for &child in children.into_iter().flatten() {
            let node = &self.lookup.nodes[child];
            for &path in node.ends.iter().chain(&node.below) {
                self.found[path] = Found::Clash { kind, node: child };
            }
        }
    }

    fn object(&mut self, this: &Node, depth: usize) -> Result<(), NotJson> {
        self.clash("object", [&this.items, &this.back]);
        self.scanner.at += 1;
        self.scanner.space();
        if self.scanner.peek() == Some(b'}') {
            self.scanner.at += 1;
            return Ok(());
        }
        loop {
            self.scanner.space();
            if self.scanner.peek() != Some(b'"') {
                return Err(self.scanner.wrong("expected a member name in quotes"));
            }
            let start = self.scanner.at + 1;
            let escaped = self.scanner.string()?;
            let name = &self.scanner.text()[start..self.scanner.at - 1];
            self.scanner.space();
            self.scanner.take(b':', "expected : after the member name")?;
            match self.wanted(this, name, escaped) {
                Some(child) => self.node(child, depth + 1)?,
                None => self.scanner.value(depth + 1)?,
            }
            self.scanner.space();
            match self.scanner.peek() {
                Some(b',') => self.scanner.at += 1,
                Some(b'}') => {
                    self.scanner.at += 1;
                    return Ok(());
                }
                _ => return Err(self.scanner.wrong("expected , or }")),
            }
        }
    }

    fn wanted(&self, this: &Node, name: &[u8], escaped: bool) -> Option<usize> {
        let decoded;
        let name = if escaped {
            decoded = unescape(name);
            &decoded
        } else {
            name
        };
        this.fields.iter().copied().find(|&c| self.lookup.nodes[c].name().as_bytes() == name)
    }

    fn array(&mut self, this: &Node, depth: usize) -> Result<(), NotJson> {
        self.clash("array", [&this.fields]);
        self.scanner.at += 1;
        self.scanner.space();
        if self.scanner.peek() == Some(b']') {
            self.scanner.at += 1;
            return Ok(());
        }
        // Only as many starts are kept as the furthest index from the end needs.
        let nodes = &self.lookup.nodes;
        let keep = this.back.iter().map(|&c| nodes[c].index().unsigned_abs()).max().unwrap_or(0);
        let mut starts = std::collections::VecDeque::new();
        let mut index = 0;
        loop {
            if keep > 0 {
                if starts.len() as u64 == keep {
                    starts.pop_front();
                }
                starts.push_back(self.scanner.at);
            }
            match this.items.iter().copied().find(|&c| nodes[c].index() == index) {
                Some(child) => self.node(child, depth + 1)?,
                None => self.scanner.value(depth + 1)?,
            }
            index += 1;
            self.scanner.space();
            match self.scanner.peek() {
                Some(b',') => self.scanner.at += 1,
                Some(b']') => {
                    self.scanner.at += 1;
                    break;
                }
                _ => return Err(self.scanner.wrong("expected , or ]")),
            }
        }
        let end = self.scanner.at;
        for &child in &this.back {
            let from_end = usize::try_from(nodes[child].index().unsigned_abs()).unwrap_or(usize::MAX);
            if let Some(&start) = starts.len().checked_sub(from_end).and_then(|i| starts.get(i)) {
                self.scanner.at = start;
                self.node(child, depth + 1)?;
            }
        }
        self.scanner.at = end;
        Ok(())
    }
}
