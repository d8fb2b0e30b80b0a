//! Asks for one page, and cuts its records out of the reply.

use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use haul_core::{Cx, Fault, FaultClass};

use super::{Plan, shortened};
use crate::expr::{EvalError, Expr, Found, Lookup, Scanner, path};
use crate::http::{BodyUse, Call, Meaning, Method, Reply, Url};
use crate::steps::endpoint::Asked;
use crate::steps::get::without_mark;

/// A page as it came.
pub(super) struct Fetched {
    /// The records, each a slice of the body where that is mostly records.
    pub(super) records: Vec<Bytes>,
    /// The list of them, as it stands.
    pub(super) list: Bytes,
    /// What the page says of the next; `null` at the end.
    pub(super) next: Option<Bytes>,
    /// Something stands where the next is looked for, if only `null`.
    pub(super) says_next: bool,
    /// The `Link` header.
    pub(super) link: Option<Box<str>>,
    /// Where it was asked for.
    pub(super) url: Url,
    /// All of it.
    body: Bytes,
}

impl Plan {
    /// One page. A reply that is no page is a fault: until the first page came, one that ends the run.
    pub(super) async fn fetch(&self, url: Url, cx: &Cx<'_>) -> Result<Fetched, Fault> {
        let asked = Asked {
            method: Method::Get,
            own: &self.own,
            idempotency: None,
            body: None,
            body_use: BodyUse::Keep,
        };
        let aim = self.endpoint.aim_at(url, cx);
        let (body, link) = self.endpoint.ask(&aim, asked, cx, |reply, call| self.judge(reply, call)).await?;
        let fetched = self.take_apart(aim.url, body, link)?;
        self.told.pages.fetch_add(1, Relaxed);
        Ok(fetched)
    }

    fn judge(&self, mut reply: Reply, call: &Call<'_>) -> Result<(Bytes, Option<Box<str>>), Fault> {
        let rules = self.endpoint.rules();
        if let Meaning::Fault(class) = rules.meaning(reply.status) {
            return Err(reply.status_fault(class, call, rules));
        }
        if reply.looks_like_html() {
            // Later it may be something that stands before the service for a while.
            let first = !self.told.started.load(Relaxed);
            let class = if first { FaultClass::Permanent } else { FaultClass::Transient };
            let what = if first {
                "with HTML instead of JSON (is this the address of the API?)"
            } else {
                "with HTML instead of JSON"
            };
            return Err(reply.body_fault(class, "json", what, call));
        }
        Ok((without_mark(&reply.body), reply.link.take()))
    }

    fn take_apart(&self, url: Url, body: Bytes, link: Option<Box<str>>) -> Result<Fetched, Fault> {
        let list = self.items.eval_json(&body).map_err(|e| unreadable(&url, "items", &e))?;
        if list.first() != Some(&b'[') {
            return Err(self.no_list(&url, &list, &body));
        }
        let records = elements(&list).map_err(|what| {
            Fault::permanent("json", format!("{url}: the list of records is damaged ({what})"))
        })?;
        let next = match &self.next {
            Some(next) => match next.eval_json(&body) {
                Ok(value) => Some(value),
                Err(e) => return Err(unreadable(&url, "next", &e)),
            },
            None => None,
        };
        let says_next = next.as_deref() != Some(b"null") || self.has_next(&body);
        Ok(Fetched { records, list, next, says_next, link, url, body })
    }

    /// True unless the path to the next leads to nothing at all.
    fn has_next(&self, body: &Bytes) -> bool {
        let Some(path) = self.next.as_ref().and_then(|next| path(next.source())) else { return true };
        let found = Lookup::new([path.as_slice()]).find(body);
        found.is_ok_and(|found| !matches!(found.first(), None | Some(Found::Missing)))
    }

    /// A full first page that says nothing where the next is looked for: a mistake in the path.
    pub(super) fn no_next(&self, page: &Fetched) -> Fault {
        let next = self.next.as_ref().map_or("next", Expr::source);
        let message = format!(
            "{}: there is nothing at {next}{}: --next (next in a job) names where a page says what follows",
            page.url,
            members(&page.body)
        );
        Fault::permanent("next", message)
    }

    fn no_list(&self, url: &Url, value: &[u8], body: &[u8]) -> Fault {
        let items = self.items.source();
        let found = if value == b"null" {
            format!("there is nothing at {items}{}", members(body))
        } else {
            format!("{items} is {}, not a list", shortened(value))
        };
        let message = format!("{url}: {found}: --items (items in a job) names the list of records");
        Fault::permanent("items", message)
    }
}

/// A page that is not JSON, or that an expression does not fit.
fn unreadable(url: &Url, key: &str, e: &EvalError) -> Fault {
    match e {
        EvalError::NotJson(bad) => {
            let message = format!("{url}: the page is not JSON ({} at byte {})", bad.what, bad.offset);
            Fault::transient("json", message)
        }
        EvalError::Failed(why) => Fault::permanent(key.to_owned(), format!("{url}: {key}: {why}")),
    }
}

/// The members of an object, for a person who named one that is not there.
pub(super) fn members(object: &[u8]) -> String {
    const SHOWN: usize = 12;
    let Ok(map) = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(object) else {
        return match object.trim_ascii().first() {
            Some(b'[') => " (the reply is a list itself: .)".to_owned(),
            _ => String::new(),
        };
    };
    let mut names: Vec<String> = map.keys().map(|name| format!(".{name}")).collect();
    names.sort_unstable();
    names.truncate(SHOWN);
    if map.len() > SHOWN {
        names.push("…".to_owned());
    }
    format!("; it has {}", names.join(", "))
}

/// The elements of a valid array.
fn elements(list: &Bytes) -> Result<Vec<Bytes>, &'static str> {
    let mut all = Vec::new();
    let mut scanner = Scanner::new(list);
    scanner.at = 1;
    scanner.space();
    if scanner.peek() == Some(b']') {
        return Ok(all);
    }
    loop {
        scanner.space();
        let start = scanner.at;
        scanner.value(1).map_err(|e| e.what)?;
        all.push(list.slice(start..scanner.at));
        scanner.space();
        match scanner.peek() {
            Some(b',') => scanner.at += 1,
            _ => return Ok(all),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_cut_out_as_they_stand() {
        let of = |text: &'static str| -> Vec<String> {
            let all = elements(&Bytes::from_static(text.as_bytes())).unwrap();
            all.into_iter().map(|b| String::from_utf8(b.to_vec()).unwrap()).collect()
        };
        assert_eq!(of("[]"), Vec::<String>::new());
        assert_eq!(of("[ ]"), Vec::<String>::new());
        assert_eq!(of(r#"[ {"a": "],"} , [1, 2],3 ]"#), [r#"{"a": "],"}"#, "[1, 2]", "3"]);
    }

    #[test]
    fn members_are_named() {
        assert_eq!(members(b"{\"meta\":1,\"data\":[]}"), "; it has .data, .meta");
        assert_eq!(members(b"[1]"), " (the reply is a list itself: .)");
        assert_eq!(members(b"5"), "");
    }
}
