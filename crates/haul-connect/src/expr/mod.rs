//! Expressions are jq.
//!
//! Paths, objects of paths, and pipes of these (`.data | {id, name: .fullName}`) are *spliced*: cut
//! out of the original bytes in one pass, so that numbers and strings stay exactly as the service
//! wrote them (white space inside a value stays as well). Everything else runs in jaq.
//!
//! jq's rules hold for both: what is missing is `null`, a member of `null` is `null`, a member of a
//! string is an error, the last of equal member names wins, and names are compared as text.

mod bounded;
mod error;
mod jq;
mod lookup;
mod names;
mod parse;
mod scan;
mod text;
mod walk;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use haul_core::Record;

pub use error::{EvalError, ExprError, JsonErrorKind, NotJson};
pub(crate) use lookup::{Documents, Found, Lookup, Seg};
pub(crate) use parse::path;
pub use scan::{DEPTH, validate};
pub(crate) use scan::{Scanner, utf8};
pub(crate) use text::unescape;

use jq::Jq;
use parse::Shape;

/// A compiled expression. Cheap to share between workers by reference.
pub struct Expr {
    source: String,
    names: Option<Vec<Arc<str>>>,
    plan: Plan,
}

enum Plan {
    Splice(Splice),
    /// The engine. Where it is known which members it reads, it is given these alone: building a
    /// value of a whole record costs far more than most filters.
    Jq {
        jq: Jq,
        view: Option<Splice>,
    },
}

/// What is cut out of a document, and how it is put together.
struct Splice {
    shape: Shape,
    lookup: Lookup,
}

impl fmt::Debug for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expr({})", self.source)
    }
}

impl Expr {
    /// Compiles an expression.
    ///
    /// # Errors
    /// Says what is wrong and at which byte.
    pub fn compile(source: &str) -> Result<Self, ExprError> {
        if let Some(shape) = parse::shape(source) {
            let splice = Splice::new(shape);
            let names = splice.lookup.names();
            let names = names.map(|names| names.into_iter().map(Arc::from).collect());
            return Ok(Expr { source: source.to_owned(), names, plan: Plan::Splice(splice) });
        }
        if source.trim().is_empty() {
            return Err(ExprError { message: "the expression is empty".to_owned(), offset: 0 });
        }
        let jq = Jq::compile(source)?;
        let names = names::names(source);
        let view = names.as_ref().map(|names| Splice::new(Shape::members(names.iter().copied())));
        let names = names.map(|names| names.into_iter().map(Arc::from).collect());
        Ok(Expr { source: source.to_owned(), names, plan: Plan::Jq { jq, view } })
    }

    /// The expression as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The members of the record that it reads; `None` when it may read any.
    pub fn names(&self) -> Option<&[Arc<str>]> {
        self.names.as_deref()
    }

    /// True when its value is cut out of the original bytes.
    pub fn is_spliced(&self) -> bool {
        matches!(self.plan, Plan::Splice(_))
    }

    /// True for a filter that lets everything pass because it assigns: `.a = 1`, meant to compare.
    pub fn assigns(&self) -> bool {
        names::assigns(&self.source)
    }

    /// Its value for a record, as JSON.
    ///
    /// # Errors
    /// When it does not fit the record, or does not have exactly one value.
    pub fn eval_record(&self, record: &Record) -> Result<Bytes, EvalError> {
        match &self.plan {
            Plan::Splice(splice) => splice.record(record),
            Plan::Jq { jq, view } => one_output(jq, &input(view.as_ref(), record)?),
        }
    }

    /// Its value for a document, as JSON: where it is a path to half of the document or more, a
    /// slice of it; what is smaller is copied, so that it does not keep the whole document alive.
    ///
    /// # Errors
    /// When the document is not exactly one JSON value in UTF-8 (it is checked completely), when the
    /// expression does not fit it, or does not have exactly one value.
    pub fn eval_json(&self, document: &Bytes) -> Result<Bytes, EvalError> {
        let blame = |e: NotJson| e.beginning(document);
        match &self.plan {
            Plan::Splice(splice) => {
                utf8(document).map_err(blame)?;
                let found = splice.lookup.find(document).map_err(blame)?;
                let value = splice.put_together(&found, std::slice::from_ref(document))?;
                Ok(if value.len() < document.len() / 2 { Bytes::copy_from_slice(&value) } else { value })
            }
            Plan::Jq { jq, .. } => {
                validate(document).map_err(blame)?;
                one_output(jq, document)
            }
        }
    }

    /// All its values for a document, each on a line of its own.
    ///
    /// # Errors
    /// As [`Expr::eval_json`]; any number of values will do.
    pub fn eval_lines(&self, document: &Bytes) -> Result<Vec<u8>, EvalError> {
        let mut out = Vec::with_capacity(document.len());
        match &self.plan {
            Plan::Splice(_) => {
                out.extend_from_slice(&self.eval_json(document)?);
                end_line(&mut out, 0);
            }
            Plan::Jq { jq, .. } => {
                validate(document).map_err(|e: NotJson| e.beginning(document))?;
                jq.run(document, |value| {
                    let start = out.len();
                    jq::write(&value, &mut out)?;
                    end_line(&mut out, start);
                    Ok(true)
                })?;
            }
        }
        Ok(out)
    }

    /// Whether a filter lets the record pass: `false`, `null` and no output at all do not; of
    /// several outputs one that is neither is enough.
    ///
    /// # Errors
    /// When it does not fit the record.
    pub fn test_record(&self, record: &Record) -> Result<bool, EvalError> {
        match &self.plan {
            Plan::Splice(Splice { shape: Shape::Path(_), .. }) => {
                let value = self.eval_record(record)?;
                Ok(!matches!(&value[..], b"null" | b"false"))
            }
            // An object is neither false nor null, but it may fail.
            Plan::Splice(_) => self.eval_record(record).map(|_| true),
            Plan::Jq { jq, view } => {
                let mut passes = false;
                jq.run(&input(view.as_ref(), record)?, |value| {
                    passes = jaq_core::ValT::as_bool(&value);
                    Ok(!passes)
                })?;
                Ok(passes)
            }
        }
    }
}

/// The record as one document for the engine: what it reads of it, or all.
fn input(view: Option<&Splice>, record: &Record) -> Result<Bytes, EvalError> {
    if let Some(view) = view {
        return view.record(record);
    }
    let mut text = Vec::with_capacity(record.len() + 64);
    record.write_json(&mut text);
    Ok(text.into())
}

fn one_output(jq: &Jq, document: &[u8]) -> Result<Bytes, EvalError> {
    let mut out = Vec::new();
    let mut count = 0;
    jq.run(document, |value| {
        count += 1;
        if count == 1 {
            jq::write(&value, &mut out)?;
        }
        Ok(count < 2)
    })?;
    match count {
        1 => Ok(out.into()),
        0 => Err(EvalError::Failed("the expression has no value here (select or empty?)".to_owned())),
        _ => Err(EvalError::Failed(
            "the expression has more than one value here; [ ] around it makes them one".to_owned(),
        )),
    }
}

/// Ends the line that begins at `start`. Within JSON a line break is white space between tokens.
pub(crate) fn end_line(out: &mut Vec<u8>, start: usize) {
    for byte in out.iter_mut().skip(start).filter(|b| matches!(b, b'\n' | b'\r')) {
        *byte = b' ';
    }
    out.push(b'\n');
}

impl Splice {
    fn new(shape: Shape) -> Self {
        let mut paths = Vec::new();
        shape.paths(&mut paths);
        let lookup = Lookup::new(paths);
        Splice { shape, lookup }
    }

    fn record(&self, record: &Record) -> Result<Bytes, EvalError> {
        let (found, documents) = self.lookup.find_in_record(record)?;
        self.put_together(&found, &documents)
    }

    fn put_together(&self, found: &[Found], documents: &[Bytes]) -> Result<Bytes, EvalError> {
        if let (Shape::Path(_), [Found::Value { document, start, end }]) = (&self.shape, found) {
            return Ok(documents[*document].slice(*start..*end));
        }
        let mut out = Vec::with_capacity(256);
        let mut pieces = Pieces { lookup: &self.lookup, found: found.iter(), documents };
        pieces.write(&self.shape, &mut out)?;
        Ok(out.into())
    }
}

/// Findings in the order of a shape's paths.
struct Pieces<'a> {
    lookup: &'a Lookup,
    found: std::slice::Iter<'a, Found>,
    documents: &'a [Bytes],
}

impl Pieces<'_> {
    fn write(&mut self, shape: &Shape, out: &mut Vec<u8>) -> Result<(), EvalError> {
        match shape {
            Shape::Literal(text) => out.extend_from_slice(text),
            Shape::Path(_) => match self.found.next().copied().unwrap_or_default() {
                Found::Missing => out.extend_from_slice(b"null"),
                Found::Value { document, start, end } => {
                    out.extend_from_slice(&self.documents[document][start..end]);
                }
                Found::Clash { kind, node } => {
                    return Err(EvalError::Failed(self.lookup.clash(kind, node)));
                }
            },
            Shape::Object(members) => {
                out.push(b'{');
                for (i, (name, value)) in members.iter().enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    out.extend_from_slice(name);
                    self.write(value, out)?;
                }
                out.push(b'}');
            }
        }
        Ok(())
    }
}
