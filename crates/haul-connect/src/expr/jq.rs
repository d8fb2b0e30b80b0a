//! The jq engine (jaq) behind every expression that cannot be cut out of the original bytes.
//!
//! Values are read by jaq's own reader, which keeps integers of any size and decimals as written.
//! What would reach outside the item (`env`, `$ENV`, `halt`, `input`) is not there.

use std::panic::{AssertUnwindSafe, catch_unwind};

use haul_core::record::write_json_string;
use jaq_core::data::JustLut;
use jaq_core::load::{self, Arena, File, Loader};
use jaq_core::{Compiler, Ctx, Filter, Vars};
use jaq_json::{Num, Val, read};

use super::bounded;
use super::error::{EvalError, ExprError};

/// Characters of an error's message that are kept: jaq puts whole values into it.
const MESSAGE: usize = 200;

/// A compiled filter.
pub(crate) struct Jq(Filter<JustLut<Val>>);

impl Jq {
    /// Compiles `source`.
    pub(crate) fn compile(source: &str) -> Result<Self, ExprError> {
        let plain = compiled(source)?;
        // Compiled as it was written first, so that its mistakes are where they were made.
        Ok(Jq(bounded::stepping(source).and_then(|text| compiled(&text).ok()).unwrap_or(plain)))
    }

    /// The outputs for a document that has been validated, handed to `visit` until it says stop
    /// (returns false).
    pub(crate) fn run(
        &self,
        text: &[u8],
        mut visit: impl FnMut(Val) -> Result<bool, EvalError>,
    ) -> Result<(), EvalError> {
        let input = parse(text)?;
        bounded::begin();
        let outputs = AssertUnwindSafe(|| {
            let ctx = Ctx::<JustLut<Val>>::new(&self.0.lut, Vars::new([]));
            for output in self.0.id.run((ctx, input)) {
                let value = output.map_err(|e| match e.get_err() {
                    Ok(error) => EvalError::Failed(match error.into_val() {
                        Val::TStr(text) => shortened(&String::from_utf8_lossy(&text)),
                        other => shortened(&other.to_string()),
                    }),
                    Err(_) => EvalError::Failed("the expression stops before it has a value".to_owned()),
                })?;
                if !visit(value)? {
                    break;
                }
            }
            Ok(())
        });
        // A bug of the engine must cost one item, not the worker.
        catch_unwind(outputs).unwrap_or_else(|_| {
            Err(EvalError::Failed("the jq engine failed on this input (a bug of it)".to_owned()))
        })
    }
}

/// A filter of an expression.
fn compiled(source: &str) -> Result<Filter<JustLut<Val>>, ExprError> {
    let defs = bounded::defs()
        .chain(jaq_std::defs())
        .chain(jaq_json::defs())
        .filter(|def| !matches!(def.name, "halt" | "halt_error"));
    let funs = bounded::funs()
        .chain(jaq_std::funs())
        .chain(jaq_json::funs())
        .filter(|fun| !matches!(fun.0, "halt" | "env"));
    let arena = Arena::default();
    let modules = Loader::new(defs)
        .load(&arena, File { code: source, path: () })
        .map_err(|errors| load_error(source, errors.into_iter().map(|(_, e)| e)))?;
    let filter = Compiler::default()
        .with_funs(funs)
        .compile(modules)
        .map_err(|errors| undefined(source, errors.into_iter().flat_map(|(_, e)| e)))?;
    Ok(filter)
}

/// Reads a validated document. jaq's reader refuses escapes of lone surrogates; as in jq, they then
/// stand for U+FFFD.
fn parse(text: &[u8]) -> Result<Val, EvalError> {
    read::parse_single(text)
        .or_else(|_| read::parse_single(&without_lone_surrogates(text)))
        .map_err(|e| EvalError::Failed(shortened(&e.to_string())))
}

fn without_lone_surrogates(text: &[u8]) -> Vec<u8> {
    let code = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let len = match (byte, code(at)) {
            (b'\\', Some(0xd800..=0xdbff)) if matches!(code(at + 6), Some(0xdc00..=0xdfff)) => 12,
            (b'\\', Some(0xd800..=0xdfff)) => {
                out.extend_from_slice(b"\\ufffd");
                at += 6;
                continue;
            }
            (b'\\', _) => 2,
            _ => 1,
        };
        out.extend_from_slice(text.get(at..at + len).unwrap_or(&text[at..]));
        at += len;
    }
    out
}

/// Appends a value as JSON. As jq does, NaN becomes `null` and the infinities the largest doubles.
pub(crate) fn write(value: &Val, out: &mut Vec<u8>) -> Result<(), EvalError> {
    match value {
        Val::Null => out.extend_from_slice(b"null"),
        Val::Bool(true) => out.extend_from_slice(b"true"),
        Val::Bool(false) => out.extend_from_slice(b"false"),
        Val::Num(Num::Float(f)) if f.is_nan() => out.extend_from_slice(b"null"),
        Val::Num(Num::Float(f)) if f.is_infinite() => {
            out.extend_from_slice(if *f > 0.0 {
                b"1.7976931348623157e308"
            } else {
                b"-1.7976931348623157e308"
            });
        }
        Val::Num(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Val::TStr(text) => write_json_string(&String::from_utf8_lossy(text), out),
        Val::BStr(_) => {
            return Err(EvalError::Failed(
                "a byte string has no JSON form; pipe it into tostring".to_owned(),
            ));
        }
        Val::Arr(elements) => {
            out.push(b'[');
            for (i, element) in elements.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write(element, out)?;
            }
            out.push(b']');
        }
        Val::Obj(members) => {
            out.push(b'{');
            for (i, (name, member)) in members.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                if !matches!(name, Val::TStr(_)) {
                    let message = format!("Object keys must be strings: {name}");
                    return Err(EvalError::Failed(shortened(&message)));
                }
                write(name, out)?;
                out.push(b':');
                write(member, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

fn shortened(message: &str) -> String {
    match message.char_indices().nth(MESSAGE) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message.to_owned(),
    }
}

/// The first error of loading: what was expected, and where.
fn load_error<'s>(source: &str, errors: impl Iterator<Item = load::Error<&'s str>>) -> ExprError {
    let at = |found: &str| load::span(source, found).start;
    for error in errors {
        match error {
            load::Error::Lex(errors) => {
                if let Some((expected, found)) = errors.into_iter().next() {
                    return expected_but(expected.as_str(), found, at(found));
                }
            }
            load::Error::Parse(errors) => {
                if let Some((expected, found)) = errors.into_iter().next() {
                    return expected_but(expected.as_str(), found, at(found));
                }
            }
            load::Error::Io(errors) => {
                if let Some((path, _)) = errors.into_iter().next() {
                    let message = format!("modules cannot be imported here ({path})");
                    return ExprError { message, offset: at(path) };
                }
            }
        }
    }
    ExprError { message: "it is not a jq expression".to_owned(), offset: 0 }
}

fn expected_but(expected: &str, found: &str, offset: usize) -> ExprError {
    let message = match found.split_whitespace().next() {
        Some(word) => format!("expected {expected}, found {}", shortened(word)),
        None => format!("expected {expected}, found the end"),
    };
    ExprError { message, offset }
}

fn undefined<'s>(
    source: &str,
    mut errors: impl Iterator<Item = (&'s str, jaq_core::compile::Undefined)>,
) -> ExprError {
    use jaq_core::compile::Undefined;
    let Some((name, kind)) = errors.next() else {
        return ExprError { message: "it does not compile".to_owned(), offset: 0 };
    };
    let offset = load::span(source, name).start;
    let message = match kind {
        Undefined::Filter(0) => match outside(name) {
            "" => format!("there is no function {name} (a field is written .{name})"),
            why => format!("there is no function {name}{why}"),
        },
        Undefined::Filter(n) => {
            format!("there is no function {name} with {n} argument{}", if n == 1 { "" } else { "s" })
        }
        kind => format!("undefined {} {name}{}", kind.as_str(), outside(name)),
    };
    ExprError { message, offset }
}

/// Why some names of jq are missing.
fn outside(name: &str) -> &'static str {
    match name {
        "env" | "$ENV" | "input" | "inputs" | "halt" | "halt_error" | "input_filename" => {
            ": an expression sees its item and nothing else"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_can_be_shared_by_workers() {
        fn shared<T: Send + Sync>() {}
        shared::<Jq>();
    }

    #[test]
    fn only_lone_halves_are_replaced() {
        let text = br#"{"a":"\ud83d\ude00 \\ud800 \ud800 \ude00\n"}"#;
        let clean = br#"{"a":"\ud83d\ude00 \\ud800 \ufffd \ufffd\n"}"#;
        assert_eq!(without_lone_surrogates(text), clean);
    }
}
