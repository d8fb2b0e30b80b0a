//! The paging keys of `[source]`, and `[aggregate.NAME]`.

use super::reader::{self, Bad, Reader};
use super::tree::{Node, Table, Value};
use crate::job::diagnose::{Diagnostic, Place};
use crate::job::{AggregateKind, AggregateSpec, IdRange, PageSize, PagesSpec, Paging};

/// The styles, as keys.
const STYLES: [&str; 5] = ["offset", "page", "cursor", "next_url", "link"];

/// What `get` needs beside it; `None` when something is missing, which has been said.
pub(super) fn read(r: &mut Reader<'_>, out: &mut Vec<Diagnostic>) -> Option<PagesSpec> {
    let items = r.need("items", "\".data\"", out, reader::text);
    let next = r.take("next", out, reader::text);
    let paging = paging(r, next, out);
    let size = r.take("page_size", out, page_size);
    let range = r.take("range", out, |n| reader::parsed(n, "text like \"1..1000\"", IdRange::parse));
    let id = r.take("id", out, reader::text);
    Some(PagesSpec { items: items?, paging: paging?, size, range, id })
}

fn paging(r: &mut Reader<'_>, next: Option<String>, out: &mut Vec<Diagnostic>) -> Option<Paging> {
    let said: Vec<&'static str> = STYLES.into_iter().filter(|key| r.node(key).is_some()).collect();
    let style = match said.as_slice() {
        [one] => *one,
        [] => {
            out.push(
                Diagnostic::new("it does not say how pages follow each other", r.place().clone()).with_hint(
                    "add exactly one of offset = PARAM, page = PARAM, cursor = PARAM with next = EXPR, next_url = EXPR, link = \"next\"",
                ),
            );
            return None;
        }
        [first, second, ..] => {
            let place = r.node(second).map_or_else(|| r.place().clone(), |n| n.place.clone());
            out.push(Diagnostic::new(
                format!("there is {first} already: only one of {}", STYLES.join(", ")),
                place,
            ));
            return None;
        }
    };
    if style == "link" {
        return r.take("link", out, |node| reader::word(node, &[("next", ())])).map(|()| Paging::Link);
    }
    let value = r.take(style, out, reader::text)?;
    Some(match style {
        "offset" => Paging::Offset { param: value, next },
        "page" => Paging::Page { param: value },
        "next_url" => Paging::NextUrl { path: value },
        _ => match next {
            Some(next) => Paging::Cursor { param: value, next },
            None => {
                out.push(
                    Diagnostic::new("a cursor needs next: where a page says it", r.place().clone())
                        .with_hint("add next = \".meta.next_cursor\""),
                );
                return None;
            }
        },
    })
}

/// `{ limit = 100 }`
fn page_size(node: &Node) -> Result<PageSize, Bad> {
    let form = "write it like page_size = { limit = 100 }";
    let Value::Table(table) = &node.value else {
        return Err(reader::wrong_type("a table of one parameter", node).or_hint(form));
    };
    let [entry] = table.entries.as_slice() else {
        return Err(Bad::hinted("{key} names exactly one parameter".to_owned(), form.to_owned()));
    };
    let count = reader::whole(&entry.node, 1, u64::from(u32::MAX))?;
    Ok(PageSize { param: entry.key.clone(), count })
}

/// Every `[aggregate.NAME]`, in the order of the file.
pub(super) fn aggregates(table: &Table, out: &mut Vec<Diagnostic>) -> Vec<AggregateSpec> {
    let mut all = Vec::new();
    for entry in &table.entries {
        let title = format!("[aggregate.{}]", entry.key);
        match &entry.node.value {
            Value::Table(inner) => {
                let kind = aggregate(inner, &title, entry.node.place.clone(), out);
                all.extend(kind.map(|kind| AggregateSpec { name: entry.key.clone(), kind }));
            }
            other => out.push(
                Diagnostic::new(
                    format!("{} must be a table, not {}", entry.key, other.kind()),
                    entry.node.place.clone(),
                )
                .with_hint(format!("write {title}")),
            ),
        }
    }
    all
}

fn aggregate(table: &Table, title: &str, place: Place, out: &mut Vec<Diagnostic>) -> Option<AggregateKind> {
    let mut r = Reader::new(table, title, place);
    let kinds = ["count", "top", "stats"];
    let said: Vec<&'static str> = kinds.into_iter().filter(|key| r.node(key).is_some()).collect();
    let path = match said.as_slice() {
        [one] => r.take(one, out, reader::text),
        _ => {
            let message =
                if said.is_empty() { "it does not say what to sum up" } else { "it says two things" };
            out.push(
                Diagnostic::new(message, r.place().clone())
                    .with_hint("give exactly one of count, top, stats, such as count = \".country\""),
            );
            None
        }
    };
    let n = r.take("n", out, |n| reader::whole(n, 1, AggregateSpec::N_MAX)).unwrap_or(AggregateSpec::N);
    let kind = match (said.as_slice(), path) {
        (["count"], Some(path)) => Some(AggregateKind::Count { path, n }),
        (["stats"], Some(path)) => Some(AggregateKind::Stats { path }),
        (["top"], path) => {
            let id = r.take("id", out, reader::text).unwrap_or_else(|| AggregateSpec::ID.to_owned());
            let order = [("highest", false), ("lowest", true)];
            let lowest = r.take("order", out, |n| reader::word(n, &order)).unwrap_or(false);
            path.map(|path| AggregateKind::Top { path, id, n, lowest })
        }
        _ => None,
    };
    r.finish(out);
    kind
}
