//! A body that only takes members of each item is cut out of their bytes, as expressions over a
//! record are: numbers and strings stay as the services wrote them, and no tree is built of a batch.

use bytes::Bytes;

use crate::expr::{EvalError, Expr};

/// `.items[] | A, B`: what is written of every item.
pub(super) struct Each(Vec<Expr>);

impl Each {
    /// Reads `.items[] | A, B`, or with brackets around it for a list; `None` for anything else, and
    /// where one of them needs more than its members.
    pub(super) fn compile(body: &str, in_list: bool) -> Option<Each> {
        let body = body.trim();
        let inner = if in_list { body.strip_prefix('[')?.strip_suffix(']')? } else { body };
        let shapes = inner.trim().strip_prefix(".items[]")?.trim_start().strip_prefix('|')?;
        let pieces = pieces(shapes)?;
        let exprs: Option<Vec<Expr>> =
            pieces.into_iter().map(|text| Expr::compile(text).ok().filter(Expr::is_spliced)).collect();
        exprs.map(Each)
    }

    /// What is written of one item, in order.
    pub(super) fn values(&self, part: &Bytes) -> Result<Vec<Bytes>, EvalError> {
        self.0.iter().map(|expr| expr.eval_json(part)).collect()
    }
}

/// Splits at commas that stand in no bracket and no string. `None` where a pipe beside a comma, or a
/// comment, would make them mean something else.
fn pieces(text: &str) -> Option<Vec<&str>> {
    let (mut depth, mut in_string, mut escaped, mut pipe) = (0_i32, false, false, false);
    let (mut found, mut start) = (Vec::new(), 0);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' => in_string = !in_string,
            _ if in_string => {}
            '{' | '[' | '(' => depth += 1,
            '}' | ']' | ')' => depth -= 1,
            '#' => return None,
            '|' if depth == 0 => pipe = true,
            ',' if depth == 0 => {
                found.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
        if depth < 0 {
            return None;
        }
    }
    found.push(&text[start..]);
    (found.len() == 1 || !pipe).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_each_item_are_cut_out() {
        let part = Bytes::from_static(b"{\"k\": \"a,b\", \"n\": 1.50, \"u\": {\"x\": \"\\u00e9\"}}");
        for (body, in_list, wanted) in [
            (
                ".items[] | {index: {_id: .k}}, {n, u}",
                false,
                "{\"index\":{\"_id\":\"a,b\"}} {\"n\":1.50,\"u\":{\"x\": \"\\u00e9\"}}",
            ),
            ("[ .items[]|.u.x ]", true, "\"\\u00e9\""),
            (".items[] | .u | {x}", false, "{\"x\":\"\\u00e9\"}"),
        ] {
            let each = Each::compile(body, in_list).unwrap();
            let values = each.values(&part).unwrap();
            let text: Vec<_> = values.iter().map(|v| String::from_utf8_lossy(v)).collect();
            assert_eq!(text.join(" "), wanted, "{body}");
        }
    }

    #[test]
    fn what_says_more_is_left_to_the_engine() {
        for body in [
            ".items",
            ".items[] | .u | .x, .y",
            ".items[] | .n + 1",
            ".items[] | select(.n > 1)",
            "[.items[] | .n] + [1]",
            "{user: .items[0].u, all: [.items[] | .n]}",
            ".items[] | {n} # , {u}",
        ] {
            assert!(Each::compile(body, false).is_none() && Each::compile(body, true).is_none(), "{body}");
        }
    }
}
