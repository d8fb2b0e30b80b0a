//! One list of records, in the paging styles that well-known services document:
//!
//! | path | style | documented at |
//! |---|---|---|
//! | `/github/repos?per_page=&page=` | `Link: <…>; rel="next"` | docs.github.com, "Using pagination in the REST API" |
//! | `/stripe/v1/charges?limit=&starting_after=` | the last id, and `has_more` | docs.stripe.com/api/pagination |
//! | `/elastic/things/_search?source=` | `search_after` with the last `sort` | elastic.co, "Paginate search results" |
//! | `/django/things/?page=` | `next` is a URL | django-rest-framework.org, "Pagination" |
//! | `/list?offset=&limit=`, `/list?page=&limit=` | counts | |

use serde_json::{Value, json};

use super::{Slip, parameter, written};
use crate::http::Head;
use crate::services::{Written, message};
use crate::world::{Live, World};

/// Records of a page of Django and GitHub when nothing is asked for.
const PAGE: u64 = 30;

/// Appends the reply.
pub(super) fn answer(
    world: &World,
    live: &Live,
    (path, query): (&str, &str),
    slip: Slip,
    out: &mut Vec<u8>,
) -> Written {
    let list = List { world, live, query, slip };
    let (headers, body) = match path {
        "/github/repos" => list.github(),
        "/stripe/v1/charges" => match list.stripe() {
            Ok(body) => (vec![], body),
            Err(body) => return refused(out, 400, &body),
        },
        "/elastic/things/_search" => match list.elastic() {
            Ok(body) => (vec![], body),
            Err(body) => return refused(out, 400, &body),
        },
        "/django/things/" => match list.django() {
            Ok(body) => (vec![], body),
            Err(body) => return refused(out, 404, &body),
        },
        "/list" => (vec![], list.counted()),
        _ => return message(out, 404, "no such path"),
    };
    written(out, false, &headers, body.to_string().into_bytes())
}

fn refused(out: &mut Vec<u8>, status: u16, body: &Value) -> Written {
    let body = body.to_string();
    Head::start(out, status).header("content-type", "application/json").end(body.len());
    out.extend_from_slice(body.as_bytes());
    Written { status, body: body.len() }
}

/// Headers and body of a page.
type Page = (Vec<(&'static str, String)>, Value);

/// A request for a page of the list.
struct List<'a> {
    world: &'a World,
    live: &'a Live,
    query: &'a str,
    slip: Slip,
}

impl List<'_> {
    fn number(&self, name: &str, usual: u64) -> u64 {
        parameter(self.query, name).and_then(|text| text.parse().ok()).unwrap_or(usual)
    }

    /// Records at the start.
    fn chain(&self) -> u64 {
        self.world.population.spec.chain
    }

    /// Records there are now: those of the start, and those put in before them since.
    fn total(&self) -> u64 {
        self.chain() + self.world.inserted(0)
    }

    /// The records from a place on, counted from 0; the place is noted as served. Before that, some may
    /// be put in at the front.
    fn counted_records(&self, from: u64, count: u64) -> Vec<Value> {
        let inserted = self.world.inserted(self.slip.shift);
        let chain = self.chain();
        self.live.record.served(from);
        let end = (chain + inserted).min(from.saturating_add(count));
        let at = |n: u64| n.checked_sub(inserted).unwrap_or(chain + inserted - 1 - n);
        (from..end).map(|n| self.record(at(n))).collect()
    }

    /// The records after one, in the order of their ids.
    fn records(&self, from: u64, count: u64) -> Vec<Value> {
        self.live.record.served(from);
        let end = self.chain().min(from.saturating_add(count));
        (from..end).map(|n| self.record(n)).collect()
    }

    fn record(&self, n: u64) -> Value {
        let (food, category) = self.world.population.values(n);
        json!({ "id": n + 1, "name": format!("thing {n}"), "food_id": food, "food__category_id": category })
    }

    fn url(&self, path: &str, query: &str) -> String {
        format!("http://{}{path}?{query}", self.live.address)
    }

    fn github(&self) -> Page {
        let per_page = self.number("per_page", PAGE).clamp(1, 100);
        let page = self.number("page", 1).max(1);
        let last = self.total().div_ceil(per_page).max(1);
        let link = |page: u64, rel: &str| {
            let url = self.url("/github/repos", &format!("per_page={per_page}&page={page}"));
            format!("<{url}>; rel=\"{rel}\"")
        };
        let mut links = Vec::new();
        if page > 1 {
            links.push(link(page - 1, "prev"));
        }
        if page < last || self.slip.loops {
            links.push(link(if self.slip.loops { page } else { page + 1 }, "next"));
            links.push(link(last, "last"));
        }
        if page > 1 {
            links.push(link(1, "first"));
        }
        let headers = if links.is_empty() { vec![] } else { vec![("link", links.join(", "))] };
        (headers, Value::Array(self.counted_records((page - 1) * per_page, per_page)))
    }

    fn stripe(&self) -> Result<Value, Value> {
        let limit = self.number("limit", 10).clamp(1, 100);
        let from = match parameter(self.query, "starting_after") {
            None => 0,
            Some(id) => match id.strip_prefix("ch_").and_then(|n| n.parse::<u64>().ok()) {
                Some(n) if n < self.chain() => n + 1,
                _ => {
                    let message = format!("No such charge: '{id}'");
                    return Err(json!({ "error": { "type": "invalid_request_error", "message": message } }));
                }
            },
        };
        let data: Vec<Value> = self
            .records(from, limit)
            .into_iter()
            .zip(from..)
            .map(|(record, n)| json!({ "id": format!("ch_{n:06}"), "object": "charge", "amount": record["food_id"] }))
            .collect();
        let has_more = from + limit < self.chain();
        Ok(json!({ "object": "list", "url": "/v1/charges", "has_more": has_more, "data": data }))
    }

    fn elastic(&self) -> Result<Value, Value> {
        let error = |reason: &str| json!({ "error": { "type": "parsing_exception", "reason": reason }, "status": 400 });
        let source = parameter(self.query, "source").unwrap_or_else(|| "{}".to_owned());
        if self.query.contains("source=") && parameter(self.query, "source_content_type").is_none() {
            return Err(error("source_content_type parameter is missing"));
        }
        let source: Value = serde_json::from_str(&source).map_err(|e| error(&e.to_string()))?;
        let size = source["size"].as_u64().unwrap_or(10);
        let from = match &source["search_after"] {
            Value::Null => 0,
            after => after[0].as_u64().ok_or_else(|| error("search_after must be a list of sort values"))?,
        };
        let hits: Vec<Value> = self
            .records(from, size)
            .into_iter()
            .map(|r| json!({ "_index": "things", "_id": r["id"].to_string(), "_score": null, "sort": [r["id"]], "_source": r }))
            .collect();
        Ok(json!({
            "took": 1,
            "timed_out": false,
            "_shards": { "total": 1, "successful": 1, "skipped": 0, "failed": 0 },
            "hits": { "total": { "value": self.chain(), "relation": "eq" }, "max_score": null, "hits": hits },
        }))
    }

    fn django(&self) -> Result<Value, Value> {
        let page = self.number("page", 1);
        let last = self.total().div_ceil(PAGE).max(1);
        if page == 0 || page > last {
            return Err(json!({ "detail": "Invalid page." }));
        }
        let url = |page: u64| Value::from(self.url("/django/things/", &format!("page={page}")));
        let next = if self.slip.loops { url(page) } else { url(page + 1) };
        let next = if page < last || self.slip.loops { next } else { Value::Null };
        let previous = if page > 1 { url(page - 1) } else { Value::Null };
        let results = self.counted_records((page - 1) * PAGE, PAGE);
        Ok(json!({ "count": self.total(), "next": next, "previous": previous, "results": results }))
    }

    fn counted(&self) -> Value {
        let limit = self.number("limit", 100).clamp(1, 1000);
        let from = match parameter(self.query, "page") {
            Some(page) => (page.parse::<u64>().unwrap_or(1).max(1) - 1).saturating_mul(limit),
            None => self.number("offset", 0),
        };
        let items = self.counted_records(from, limit);
        json!({ "total": self.total(), "items": items })
    }
}
