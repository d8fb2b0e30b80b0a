//! Expressions that may go on for ever: what repeats in them takes steps, and there are so many of them.
//!
//! All that repeats without end in jq are definitions that call themselves, and `range`. Those of the standard
//! library are replaced by ones that take a step each time, and those of an expression begin with one.

use std::cell::Cell;

use haul_core::limits::EXPR_STEPS;
use jaq_core::data::JustLut;
use jaq_core::load;
use jaq_core::load::lex::{Lexer, Tok, Token};
use jaq_core::load::parse::Def;
use jaq_core::native::{Fun, bome, run, v};
use jaq_json::Val;

/// Tests need not wait for as many.
const STEPS: u64 = if cfg!(test) { 20_000 } else { EXPR_STEPS };

thread_local! {
    /// Steps that the expression may still take. Evaluation never leaves its thread.
    static LEFT: Cell<u64> = const { Cell::new(0) };
}

/// Definitions of `jaq_core::defs()` and its native `range`, with a step each time around.
const REPEATING: &str = r#"
def bounded: if may_go_on then . else ("it takes too many steps: does it ever end?" | error_empty) as $x | . end;
def range($from; $to; $by): endless_range($from; $to; $by) | bounded;
def repeat(f): def rec: f, (bounded | rec); rec;
def recurse(f): def rec: ., (bounded | f | rec); rec;
def while(cond; update): def rec: if cond then ., (bounded | update | rec) else empty end; rec;
def until(cond; update): def rec: if cond then . else bounded | update | rec end; rec;
"#;

/// A new expression is evaluated from now on.
pub(super) fn begin() {
    LEFT.set(STEPS);
}

/// The definitions that repeat, and those of jaq without them.
pub(super) fn defs() -> impl Iterator<Item = Def<&'static str>> {
    let ours: Vec<Def<&'static str>> = load::parse(REPEATING, |p| p.defs()).unwrap_or_default();
    let same = |a: &Def<&str>, b: &Def<&str>| (a.name, a.args.len()) == (b.name, b.args.len());
    // What ours call comes before them, what calls ours comes after.
    let (first, rest): (Vec<_>, Vec<_>) = jaq_core::defs().partition(|def| def.name == "empty");
    let rest: Vec<_> = rest.into_iter().filter(|def| !ours.iter().any(|our| same(our, def))).collect();
    first.into_iter().chain(ours).chain(rest)
}

/// The functions of jaq, with `range` under the name that ours uses.
pub(super) fn funs() -> impl Iterator<Item = Fun<JustLut<Val>>> {
    let may_go_on = run(("may_go_on", v(0), |_| {
        let left = LEFT.get().saturating_sub(1);
        LEFT.set(left);
        bome(Ok(Val::Bool(left > 0)))
    }));
    let renamed = |fun: Fun<JustLut<Val>>| match fun.0 {
        "range" => ("endless_range", fun.1, fun.2),
        _ => fun,
    };
    jaq_core::funs().map(renamed).chain([may_go_on])
}

/// An expression whose own definitions take a step; `None`: it has none.
pub(super) fn stepping(source: &str) -> Option<String> {
    let tokens = Lexer::new(source).lex().ok()?;
    let mut ends = Vec::new();
    ends_of_heads(source, &tokens, &mut ends);
    let mut text = source.to_owned();
    for at in ends.iter().rev() {
        text.insert_str(*at, " bounded | ");
    }
    (!ends.is_empty()).then_some(text)
}

/// Behind the colon of each `def NAME(ARGS):`, in order.
fn ends_of_heads(source: &str, tokens: &[Token<&str>], ends: &mut Vec<usize>) {
    let mut head = false;
    for (at, Token(text, token)) in tokens.iter().enumerate() {
        match token {
            // A definition has a name; `{def: 1}` is none.
            Tok::Word if *text == "def" => {
                head = matches!(tokens.get(at + 1), Some(Token(_, Tok::Word)));
            }
            Tok::Block(inner) if !head => ends_of_heads(source, inner, ends),
            Tok::Str(parts) => {
                for part in parts {
                    if let load::lex::StrPart::Term(inner) = part {
                        ends_of_heads(source, std::slice::from_ref(inner), ends);
                    }
                }
            }
            Tok::Sym if head && *text == ":" => {
                head = false;
                ends.push(load::span(source, text).end);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::jq::Jq;
    use super::*;

    /// The last output.
    fn last(source: &str, input: &str) -> Result<String, String> {
        let jq = Jq::compile(source).map_err(|e| e.to_string())?;
        let mut seen = String::new();
        let visit = |value: Val| {
            seen = value.to_string();
            Ok(true)
        };
        jq.run(input.as_bytes(), visit).map(|()| seen).map_err(|e| e.to_string())
    }

    #[test]
    fn what_never_ends_is_ended() {
        for endless in [
            "[range(1e12)]",
            "[range(0; 1; 0)]",
            "last(repeat(.))",
            "last(recurse(.))",
            "last(while(true; .))",
            "until(false; .)",
            "def f: f; f",
            "[1] | map(def g($n): if $n < 0 then 0 else g($n + 1) end; g(1))",
            "\"\\(def f: f; f)\"",
            "[limit(1e12; repeat(1))] | length",
        ] {
            let said = last(endless, "{}").unwrap_err();
            assert!(said.contains("too many steps"), "{endless}: {said}");
        }
    }

    #[test]
    fn what_ends_is_as_before() {
        for (source, input, wanted) in [
            ("[range(10000)] | length", "0", "10000"),
            ("[range(3; 0; -1)]", "0", "[3,2,1]"),
            ("[limit(3; repeat(1))]", "0", "[1,1,1]"),
            ("[recurse(.[]?)] | length", "[[1],2]", "4"),
            ("[recurse(if . < 3 then . + 1 else empty end)]", "0", "[0,1,2,3]"),
            ("[while(. < 8; . * 2)]", "1", "[1,2,4]"),
            ("until(. > 100; . * 2)", "1", "128"),
            ("(recurse(.[]?) | numbers) |= . + 1", "[[1],2]", "[[2],3]"),
            ("[path(recurse(.[]?))]", "[[1]]", "[[],[0],[0,0]]"),
            ("def fac: if . < 2 then 1 else . * (. - 1 | fac) end; fac", "5", "120"),
            ("def f($a; g): $a + (. | g); f(1; . * 2)", "3", "7"),
            ("{def: 1} | .def", "0", "1"),
        ] {
            assert_eq!(last(source, input).as_deref(), Ok(wanted), "{source}");
        }
        // Each item begins anew.
        let jq = Jq::compile("[range(15000)] | length").unwrap();
        for _ in 0..4 {
            jq.run(b"0", |_| Ok(true)).unwrap();
        }
    }

    #[test]
    fn a_step_stands_at_the_head_of_each_definition() {
        assert_eq!(stepping(".a | map(.b)"), None);
        assert_eq!(
            stepping("def f($x; g): 1; [def h: 2; h] | f(1; .)").as_deref(),
            Some("def f($x; g): bounded |  1; [def h: bounded |  2; h] | f(1; .)")
        );
        assert_eq!(stepping("{def: 1, a: 2}").as_deref(), None);
    }
}
