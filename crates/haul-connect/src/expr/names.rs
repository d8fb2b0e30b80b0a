//! Which members of the record an expression reads, where that can be told.
//!
//! Lookups that do not name each other run at the same time, so a name that is missing here would
//! be a wrong result: whatever is not understood counts as "may read anything".

use std::collections::BTreeSet;

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Pattern, Term};
use jaq_core::path::Part;

type Names<'s> = BTreeSet<&'s str>;

/// The members read by a jq expression; `None` when it may read any.
pub(crate) fn names(source: &str) -> Option<BTreeSet<&str>> {
    let term = jaq_core::load::parse(source, |p| p.term())?;
    let mut names = Names::new();
    // An empty argument means that the input itself is the record.
    reads(&term, &mut names)?;
    Some(names)
}

/// True when the value of a filter is that of an assignment: the record, which is always true.
pub(crate) fn assigns(source: &str) -> bool {
    fn is_assignment(term: &Term<&str>) -> bool {
        match term {
            Term::BinOp(_, BinaryOp::Assign, _) => true,
            Term::BinOp(left, BinaryOp::And | BinaryOp::Or, right) => {
                is_assignment(left) || is_assignment(right)
            }
            Term::BinOp(_, BinaryOp::Pipe(_), right) => is_assignment(right),
            _ => false,
        }
    }
    jaq_core::load::parse(source, |p| p.term()).is_some_and(|term| is_assignment(&term))
}

/// Adds what `term`, applied to the record itself, reads of it.
fn reads<'s>(term: &Term<&'s str>, names: &mut Names<'s>) -> Option<()> {
    match term {
        Term::Num(_) => Some(()),
        // A variable was bound to something that has been counted where it was bound.
        Term::Var(name) if *name != "$__loc__" => Some(()),
        Term::Str(_, parts) => parts.iter().try_for_each(|part| match part {
            StrPart::Term(term) => reads(term, names),
            StrPart::Str(_) | StrPart::Char(_) => Some(()),
        }),
        Term::Arr(None) => Some(()),
        Term::Arr(Some(term)) | Term::Neg(term) => reads(term, names),
        Term::Obj(members) => members.iter().try_for_each(|(name, value)| match value {
            Some(value) => {
                reads(name, names)?;
                reads(value, names)
            }
            // `{a}` reads `.a`; `{$x}` reads a variable.
            None => match name {
                Term::Var(_) => Some(()),
                name => {
                    names.insert(field(name)?);
                    Some(())
                }
            },
        }),
        Term::BinOp(left, op, right) => binary(left, op, right, names),
        Term::IfThenElse(cases, otherwise) => {
            // Without an else the record itself is the result.
            let otherwise = otherwise.as_ref()?;
            for (condition, then) in cases {
                reads(condition, names)?;
                reads(then, names)?;
            }
            reads(otherwise, names)
        }
        Term::TryCatch(body, None) => reads(body, names),
        Term::Path(head, path) => {
            let mut parts = path.0.iter().map(|(part, _)| part);
            match &**head {
                Term::Id => match parts.next() {
                    Some(Part::Index(index)) => {
                        names.insert(field(index)?);
                    }
                    _ => return None,
                },
                head => reads(head, names)?,
            }
            parts.try_for_each(|part| match part {
                Part::Index(index) => reads(index, names),
                Part::Range(from, to) => from.iter().chain(to).try_for_each(|t| reads(t, names)),
            })
        }
        Term::Call(name, arguments) => call(name, arguments, names),
        _ => None,
    }
}

fn binary<'s>(
    left: &Term<&'s str>,
    op: &BinaryOp<&'s str>,
    right: &Term<&'s str>,
    names: &mut Names<'s>,
) -> Option<()> {
    match op {
        // The right side sees only what the left side read.
        BinaryOp::Pipe(None) => reads(left, names),
        BinaryOp::Pipe(Some(Pattern::Var(_))) => {
            reads(left, names)?;
            reads(right, names)
        }
        BinaryOp::Comma
        | BinaryOp::Alt
        | BinaryOp::Or
        | BinaryOp::And
        | BinaryOp::Math(_)
        | BinaryOp::Cmp(_) => {
            reads(left, names)?;
            reads(right, names)
        }
        // Patterns hold expressions of their own; assignments yield the record.
        _ => None,
    }
}

/// Calls that never look at their input itself. (A call may also be to an argument of a local
/// definition, but definitions are not understood anyway.)
fn call<'s>(name: &str, arguments: &[Term<&'s str>], names: &mut Names<'s>) -> Option<()> {
    match (name, arguments.len()) {
        ("true" | "false" | "null" | "empty" | "now" | "nan" | "infinite", 0) => Some(()),
        ("isempty" | "add" | "first" | "last" | "range", 1)
        | ("any" | "all" | "range" | "limit", 2)
        | ("range", 3) => {
            // The condition of any/2 and all/2 sees elements of the first argument only.
            let seen = if matches!(name, "any" | "all") { 1 } else { arguments.len() };
            arguments.iter().take(seen).try_for_each(|a| reads(a, names))
        }
        _ => None,
    }
}

/// The text of a string without interpolation.
fn field<'s>(term: &Term<&'s str>) -> Option<&'s str> {
    match term {
        Term::Str(None, parts) => match &parts[..] {
            [StrPart::Str(name)] => Some(name),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_where_the_record_is_only_read_by_name() {
        for (source, expected) in [
            (".a > 3", &["a"][..]),
            (".a.b[0].c == .d[\"x\"]", &["a", "d"]),
            (".a | length", &["a"]),
            ("(.a // .b) as $x | $x + .c", &["a", "b", "c"]),
            ("{user, v: .video.id, s: \"\\(.n)!\", (.k): 1}", &["k", "n", "user", "video"]),
            ("if .a then .b elif .c then 1 else .d end", &["a", "b", "c", "d"]),
            ("[.a[] | select(. > 3)]", &["a"]),
            (".a[.b]", &["a", "b"]),
            (".a[.b:.c]", &["a", "b", "c"]),
            ("any(.tags[]; . == \"x\")", &["tags"]),
            ("first(.a[]) and true", &["a"]),
            ("-.a", &["a"]),
            ("try .a", &["a"]),
            (".a?", &["a"]),
            ("1", &[]),
        ] {
            let names: Vec<_> = names(source).unwrap_or_else(|| panic!("{source}")).into_iter().collect();
            assert_eq!(names, expected, "{source}");
        }
    }

    #[test]
    fn whatever_may_see_the_whole_record_has_no_names() {
        for source in [
            ".",
            "..",
            ".[]",
            "select(.a)",
            "del(.a)",
            ".a = 1",
            ".a |= 2",
            "keys",
            "length",
            "map(.a)",
            "if .a then .b end",
            ".[.a]",
            "to_entries",
            "def f: .; f",
            "$__loc__",
            "has(\"a\")",
            "tojson",
            "reduce .a[] as $x (.; .)",
            ". as {a: $x} | $x",
            "[.]",
            "{a: .}",
            "label $f | .a",
            "getpath([\"a\"])",
            "try error catch .",
            "\"\\(.)\"",
            "any(.a)",
            ".a, .",
            "@base64",
            "@text \"\\(.)\"",
            "paths",
            "input",
        ] {
            assert_eq!(names(source), None, "{source}");
        }
    }
}
