//! Names and types of the columns of a CSV, and whether its first line is a header.
//!
//! | `--csv-header` | `--columns` | the first line is a header when |
//! |---|---|---|
//! | `yes`, `no` | any | as said |
//! | `auto` | declared | a field of it is the name of a declared column, or no field of a typed column fits its type |
//! | `auto` | none, several columns | every field is a name: it starts with a letter or `_` and holds letters, digits and ` _-.()/#%` only; no two are equal |
//! | `auto` | none, one column | it is a name, and the second line is none (a list of words has no header) |
//!
//! Without header and declaration the columns are `c1`, `c2`, … With both, columns are matched by
//! name; those of the header that are not declared are text.

use haul_core::Fault;
use haul_core::item::Position;
use haul_core::job::{Column, ColumnType, HeaderMode, nearest};

use super::Needed;
use super::layout::{Layout, fits};
use super::page::PageBuf;
use super::split::shown;
use crate::template::Template;

/// One row, cut into fields.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    /// All fields, each followed by `gap` bytes that belong to none.
    pub(crate) text: &'a [u8],
    /// Where each field ends.
    pub(crate) ends: &'a [usize],
    pub(crate) gap: usize,
    /// The row as it stood in the input.
    pub(crate) raw: &'a [u8],
    pub(crate) position: Position,
}

impl<'a> Row<'a> {
    /// The fields in order.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let (text, ends, gap) = (self.text, self.ends, self.gap);
        let mut start = 0;
        ends.iter().map(move |&end| {
            let field = &text[start..end];
            start = end + gap;
            field
        })
    }
}

/// A row kept until the next one tells what it is.
struct Held {
    text: Vec<u8>,
    ends: Vec<usize>,
    gap: usize,
    raw: Vec<u8>,
    position: Position,
}

impl Held {
    fn new(row: &Row<'_>) -> Self {
        Held {
            text: row.text.to_vec(),
            ends: row.ends.to_vec(),
            gap: row.gap,
            raw: row.raw.to_vec(),
            position: row.position,
        }
    }

    fn row(&self) -> Row<'_> {
        Row { text: &self.text, ends: &self.ends, gap: self.gap, raw: &self.raw, position: self.position }
    }
}

/// Where the names of columns come from.
#[derive(Clone, Copy)]
enum Origin<'a> {
    /// This line.
    Header(&'a [u8]),
    /// They were made up; this is the first line.
    Unnamed(&'a [u8]),
    /// A declaration, or a cursor.
    Known,
}

/// The columns: first a decision to be made, then a layout.
pub(crate) struct Columns {
    /// What cannot be done without.
    needed: Vec<Needed>,
    /// Names of lookups: what they bring would hide a column.
    taken: Vec<Box<str>>,
    /// What messages call the source.
    source: String,
    mode: HeaderMode,
    declared: Vec<Column>,
    key: Option<Template>,
    layout: Option<Layout>,
    held: Option<Held>,
    names: Vec<String>,
}

impl Columns {
    /// What is known before the first line; `names` are those of a cursor, if there is one.
    pub(crate) fn new(
        source: &str,
        mode: HeaderMode,
        declared: &[Column],
        key: Option<Template>,
        names: Vec<String>,
        needed: Vec<Needed>,
    ) -> Result<Self, Fault> {
        let mut columns = Columns {
            needed,
            taken: Vec::new(),
            source: source.to_owned(),
            mode,
            declared: declared.to_vec(),
            key,
            layout: None,
            held: None,
            names: Vec::new(),
        };
        if let Some(name) = twice(declared.iter().map(|c| c.name.as_str())) {
            return Err(Fault::fatal("columns", format!("the column {name} is declared twice")));
        }
        if !names.is_empty() {
            columns.settle_on(names, Origin::Known)?;
        }
        Ok(columns)
    }

    /// No column may be called so.
    pub(crate) fn without(mut self, taken: Vec<Box<str>>) -> Self {
        self.taken = taken;
        self
    }

    /// Names in the order of the file; empty while they are not known.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// Takes a row: writes an item or a rejection, or learns the header from it.
    pub(crate) fn row(&mut self, row: &Row<'_>, page: &mut PageBuf) -> Result<(), Fault> {
        if let Some(layout) = &mut self.layout {
            layout.write(row, page);
            return Ok(());
        }
        if let Some(held) = self.held.take() {
            self.decide_held(&held, Some(row), page)?;
            return self.row(row, page);
        }
        let Some(fields) = text_fields(row) else {
            if self.mode == HeaderMode::Yes {
                return Err(self.fault(row, "the header is not text (binary data?)".to_owned()));
            }
            page.reject(row.position, row.raw, "not text (a NUL byte, or invalid UTF-8)".to_owned());
            return Ok(());
        };
        let undeclared_auto = self.mode == HeaderMode::Auto && self.declared.is_empty();
        if undeclared_auto && fields.len() == 1 && is_name(fields[0]) {
            self.held = Some(Held::new(row));
            return Ok(());
        }
        if self.is_header(&fields) {
            return self.take_header(row, &fields);
        }
        self.settle_without_header(row, fields.len())?;
        self.row(row, page)
    }

    /// Decides what is still open: no more rows will come, or bad input came first.
    pub(crate) fn settle(&mut self, page: &mut PageBuf) -> Result<(), Fault> {
        match self.held.take() {
            Some(held) => self.decide_held(&held, None, page),
            None => Ok(()),
        }
    }

    /// The first line is one word: a header if the second line is another kind of thing.
    fn decide_held(&mut self, held: &Held, next: Option<&Row<'_>>, page: &mut PageBuf) -> Result<(), Fault> {
        let first = held.row();
        let fields = text_fields(&first).unwrap_or_default();
        let header = match next.map(text_fields) {
            Some(Some(second)) => !second.iter().copied().all(is_name),
            _ => false,
        };
        if header {
            return self.take_header(&first, &fields);
        }
        self.settle_without_header(&first, fields.len())?;
        self.row(&first, page)
    }

    fn is_header(&self, fields: &[&str]) -> bool {
        match self.mode {
            HeaderMode::Yes => true,
            HeaderMode::No => false,
            HeaderMode::Auto if self.declared.is_empty() => {
                // pandas writes its index under an empty name.
                let names = fields.iter().enumerate().all(|(i, f)| is_name(f) || (i == 0 && f.is_empty()));
                names && fields.len() > 1 && twice(fields.iter().map(|f| f.trim())).is_none()
            }
            HeaderMode::Auto => {
                let declared = |f: &&str| self.declared.iter().any(|c| c.name == f.trim());
                if fields.iter().any(declared) {
                    return true;
                }
                let mut typed = self.declared.iter().zip(fields).filter(|(c, _)| c.kind != ColumnType::Str);
                fields.len() == self.declared.len()
                    && typed.clone().next().is_some()
                    && typed.all(|(c, f)| !fits(c.kind, f.as_bytes()) && is_name(f))
            }
        }
    }

    fn take_header(&mut self, row: &Row<'_>, fields: &[&str]) -> Result<(), Fault> {
        let mut names: Vec<String> = fields.iter().map(|f| f.trim().to_owned()).collect();
        for (i, name) in names.iter_mut().enumerate() {
            if name.is_empty() {
                *name = format!("c{}", i + 1);
            }
        }
        if let Some(name) = twice(names.iter().map(String::as_str)) {
            return Err(self.fault(row, format!("the header names {} twice", shown(name.as_bytes()))));
        }
        if let Some(missing) = self.declared.iter().find(|c| !names.contains(&c.name)) {
            let text = format!(
                "the header has no column {}; it has {}. Declare the columns in its words, or say \
                 --csv-header no if this line is data",
                missing.name,
                names.join(", ")
            );
            return Err(self.fault(row, text));
        }
        self.settle_on(names, Origin::Header(row.raw))
    }

    fn settle_without_header(&mut self, row: &Row<'_>, count: usize) -> Result<(), Fault> {
        if self.declared.is_empty() {
            let names = (1..=count).map(|n| format!("c{n}")).collect();
            return self.settle_on(names, Origin::Unnamed(row.raw));
        }
        let names = self.declared.iter().map(|c| c.name.clone()).collect();
        self.settle_on(names, Origin::Known)
    }

    fn settle_on(&mut self, names: Vec<String>, origin: Origin<'_>) -> Result<(), Fault> {
        if let Some(missing) = self.needed.iter().find(|n| !names.iter().any(|name| **name == *n.name)) {
            let text = format!(
                "{}: {} names {}, {}",
                self.source,
                missing.by,
                missing.name,
                self.hint(missing, &names, origin)
            );
            return Err(Fault::fatal("columns", text));
        }
        if let Some(name) = names.iter().find(|name| self.taken.iter().any(|taken| **taken == ***name)) {
            let text = format!(
                "{}: {name} is a column, and a lookup that would hide it: give the lookup another name",
                self.source
            );
            return Err(Fault::fatal("columns", text));
        }
        let columns: Vec<Column> = names
            .iter()
            .map(|name| {
                let declared = self.declared.iter().find(|c| c.name == *name);
                declared.cloned().unwrap_or(Column { name: name.clone(), kind: ColumnType::Str })
            })
            .collect();
        self.layout = Some(
            Layout::new(&columns, self.key.take())
                .map_err(|text| Fault::fatal("columns", format!("{}: {text}", self.source)))?,
        );
        self.names = names;
        Ok(())
    }

    /// What is there instead of a column that is missing, and a way out.
    fn hint(&self, missing: &Needed, names: &[String], origin: Origin<'_>) -> String {
        let known = names.join(", ");
        if let (Origin::Header(line) | Origin::Unnamed(line), 1) = (origin, names.len()) {
            if line.contains(&b'\t') {
                return "but there is one column: its fields seem to be separated by tabs: --tsv".to_owned();
            }
            if let Some(c) = [';', '|'].into_iter().find(|c| line.contains(&(*c as u8))) {
                return format!(
                    "but there is one column: its fields seem to be separated by '{c}', and commas are read: tr '{c}' ',' < FILE | haul … -"
                );
            }
        }
        if let Origin::Unnamed(_) = origin {
            let mut wanted: Vec<&str> = Vec::new();
            for needed in &self.needed {
                if !wanted.contains(&&*needed.name) {
                    wanted.push(&needed.name);
                }
            }
            wanted.resize(names.len().max(wanted.len()), "NAME");
            let s = if names.len() == 1 { "" } else { "s" };
            return format!(
                "but there is no header, and no name for the {} column{s}: --columns {}",
                names.len(),
                wanted.join(",")
            );
        }
        match nearest(&missing.name, names.iter().map(String::as_str)) {
            Some(near) => format!("but the columns are {known}: did you mean {near}?"),
            None => format!("but the columns are {known}: use one of these"),
        }
    }

    fn fault(&self, row: &Row<'_>, text: String) -> Fault {
        Fault::fatal("columns", format!("{}:{}: {text}", self.source, row.position.line))
    }
}

/// The fields as text; `None` when they are none.
fn text_fields<'a>(row: &Row<'a>) -> Option<Vec<&'a str>> {
    let text = |f: &'a [u8]| std::str::from_utf8(f).ok().filter(|t| !t.contains('\0'));
    row.fields().map(text).collect()
}

/// True for what people call columns: `user_id`, `Price (EUR)`; not for numbers, URLs, dates.
fn is_name(field: &str) -> bool {
    let name = field.trim();
    let first = name.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_');
    first
        && name.chars().count() <= 64
        && name.chars().all(|c| c.is_alphanumeric() || " _-.()/#%".contains(c))
}

fn twice<'n>(names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let mut seen = std::collections::BTreeSet::new();
    names.into_iter().find(|name| !seen.insert(*name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_values() {
        for name in ["user_id", "id", " id ", "Größe", "Price (EUR)", "a.b", "_x", "x-1"] {
            assert!(is_name(name), "{name}");
        }
        for value in
            ["", " ", "1", "-1", "1e5", ".5", "http://x/y", "a@b.c", "2024-01-01", "a:b", "{}", "a\tb"]
        {
            assert!(!is_name(value), "{value}");
        }
    }
}
