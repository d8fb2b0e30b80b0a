//! What could be typed for a JSON document: how its pages follow each other, which files it names, what
//! could be looked up.

use serde_json::{Map, Value};

/// How deep a list of items is looked for.
const DEPTH: usize = 3;
/// Endings of URLs that lead to pages and services rather than to files.
const PAGES: [&str; 9] = ["html", "htm", "json", "php", "asp", "aspx", "jsp", "xml", "cgi"];

/// What could be typed for a JSON document at a URL (with the `Link` header of the reply) or in a file.
pub fn commands(place: &str, link: Option<&str>, value: &Value) -> Vec<String> {
    let is_url = place.contains("://");
    if let Some((each, files)) = manifest(value) {
        let urls: Vec<String> = files.iter().map(|(name, path)| format!("--url {name}={path}")).collect();
        return vec![format!("haul try get '{place}' --each '{each}' {} --to files", urls.join(" "))];
    }
    if let Some((path, count, record)) = items(value) {
        let flags = if link.is_some_and(has_next) {
            Some((place.to_owned(), "--link".to_owned()))
        } else {
            paging(place, value).filter(|_| is_url)
        };
        if let Some((base, flags)) = flags {
            return vec![format!("haul try crawl '{base}' --items {path} {flags} --to rows.jsonl")];
        }
        let field = record.keys().find(|k| k.ends_with("id")).or(record.keys().next());
        let field = field.map_or("id", String::as_str);
        let each = format!("{}[]", if path == "." { ".".into() } else { path });
        return vec![format!(
            "haul try enrich '{place}' --each '{each}' --lookup thing='https://HOST/things/{{{field}}}' --to out.jsonl   the {count} items of this one page"
        )];
    }
    if !is_url {
        return vec![format!(
            "haul try enrich '{place}' --jsonl --lookup thing='https://HOST/things/{{id}}' --to out.jsonl"
        )];
    }
    let (pattern, field) = pattern(place);
    let name = name(place);
    let inner = value.as_object().and_then(|o| o.iter().find(|(_, v)| v.is_object()).map(|(k, _)| k));
    let take = inner.map_or(String::new(), |inner| {
        format!(" --take {}", quoted(&format!("{name}={}", member("", inner))))
    });
    vec![format!(
        "haul try enrich {field}s.csv --columns {field} --lookup {name}='{pattern}'{take} --to out.jsonl   one request for each {field} in {field}s.csv, a file with one a line"
    )]
}

/// Whether a `Link` header has the next page.
fn has_next(link: &str) -> bool {
    link.split(';').any(|part| {
        let part = part.trim().to_ascii_lowercase();
        part.starts_with("rel=") && part.contains("next")
    })
}

/// The first list of objects: its path, how many it has, and the first of them.
fn items(value: &Value) -> Option<(String, usize, &Map<String, Value>)> {
    fn find<'a>(
        value: &'a Value,
        path: &str,
        depth: usize,
    ) -> Option<(String, usize, &'a Map<String, Value>)> {
        match value {
            Value::Array(list) => {
                let first = list.iter().find_map(Value::as_object)?;
                Some((if path.is_empty() { ".".to_owned() } else { path.to_owned() }, list.len(), first))
            }
            Value::Object(members) if depth > 0 => {
                members.iter().find_map(|(name, v)| find(v, &member(path, name), depth - 1))
            }
            _ => None,
        }
    }
    find(value, "", DEPTH)
}

/// The path to a member, quoted where a name alone would mean something else.
fn member(path: &str, name: &str) -> String {
    let plain = name
        .bytes()
        .enumerate()
        .all(|(i, b)| b == b'_' || b.is_ascii_alphabetic() || i > 0 && b.is_ascii_digit());
    if plain && !name.is_empty() { format!("{path}.{name}") } else { format!("{path}.{}", Value::from(name)) }
}

/// How the next page is asked for: the URL without that parameter, and the flags.
fn paging(url: &str, value: &Value) -> Option<(String, String)> {
    let mut found = Vec::new();
    scalars(value, "", DEPTH, &mut found);
    let next = found.iter().find(|(name, _, v)| is_next(name) && !v.is_boolean());
    let asked = |names: &[&str]| {
        let query = url.split_once('?').map_or("", |(_, q)| q);
        query.split('&').filter_map(|p| p.split('=').next()).find(|p| names.contains(p)).map(str::to_owned)
    };
    if let Some((name, path, value)) = next {
        let text = value.as_str().unwrap_or_default();
        if text.starts_with("http") || text.starts_with('/') {
            return Some((url.to_owned(), format!("--next-url {}", quoted(path))));
        }
        let word = parameter(name);
        let param =
            asked(&[&word, "offset", "cursor", "after", "start", "page_token"]).unwrap_or(word.clone());
        let flag = if value.is_number() || word == "offset" || value.is_null() && param == "offset" {
            "offset"
        } else {
            "cursor"
        };
        return Some((without(url, &param), format!("--{flag} {param} --next {}", quoted(path))));
    }
    // Hypermedia: {"_links": {"next": {"href": …}}}.
    let link = |(_, path, v): &&(String, String, Value)| path.ends_with(".next.href") && v.is_string();
    if let Some((_, path, _)) = found.iter().find(link) {
        return Some((url.to_owned(), format!("--next-url {}", quoted(path))));
    }
    let number = |wanted: &str| found.iter().find(|(name, _, v)| name == wanted && v.is_number());
    if number("offset").is_some() || asked(&["offset"]).is_some() {
        let size = number("limit").map_or(String::new(), |(_, _, n)| format!(" --page-size limit={n}"));
        let base = without(url, "offset");
        let base = if size.is_empty() { base } else { without(&base, "limit") };
        return Some((base, format!("--offset offset{size}")));
    }
    let more = found.iter().find(|(name, _, v)| name == "has_more" && v.is_boolean());
    if let (Some((_, more, _)), Some((items, _, record))) = (more, items(value))
        && let Some(id) = record.keys().find(|name| *name == "id")
    {
        let next = format!("--next 'if {more} then {items}[-1].{id} else null end'");
        return Some((without(url, "starting_after"), format!("--cursor starting_after {next}")));
    }
    let page = found.iter().any(|(name, ..)| matches!(name.as_str(), "page" | "pages" | "total_pages"));
    let param = asked(&["page", "p"]).or_else(|| page.then(|| "page".to_owned()))?;
    Some((without(url, &param), format!("--page {param}")))
}

/// The parameter that takes the value of `nextPageToken`, `next_cursor`, `next`: services hand out a
/// name, and mean it as it is written.
fn parameter(name: &str) -> String {
    let rest = name.strip_prefix("next").or(name.strip_prefix("Next")).unwrap_or(name);
    let rest = rest.trim_start_matches('_');
    let mut letters = rest.chars();
    match letters.next() {
        None => "cursor".to_owned(),
        Some(first) => first.to_lowercase().chain(letters).collect(),
    }
}

/// A path as a shell takes it.
fn quoted(path: &str) -> String {
    if path.contains('"') { format!("'{path}'") } else { path.to_owned() }
}

fn is_next(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with("next")
        || name.ends_with("nextlink")
        || matches!(name.as_str(), "cursor" | "continuation" | "continue")
}

/// Members that are no list and no object: name, path, value.
fn scalars(value: &Value, path: &str, depth: usize, out: &mut Vec<(String, String, Value)>) {
    let Value::Object(members) = value else { return };
    for (name, v) in members {
        let path = member(path, name);
        match v {
            Value::Object(_) if depth > 0 => scalars(v, &path, depth - 1, out),
            Value::Object(_) | Value::Array(_) => {}
            v => out.push((name.clone(), path, v.clone())),
        }
    }
}

/// The URL without a parameter.
fn without(url: &str, param: &str) -> String {
    let Some((base, query)) = url.split_once('?') else { return url.to_owned() };
    let rest: Vec<&str> = query.split('&').filter(|p| p.split('=').next() != Some(param)).collect();
    if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) }
}

/// Where a document has records that name files: the path for `--each`, and name and path of each file of
/// the first record.
fn manifest(value: &Value) -> Option<(String, Vec<(String, String)>)> {
    fn find(value: &Value, path: &str, depth: usize) -> Option<(String, Vec<(String, String)>)> {
        let first = match value {
            Value::Array(list) => list.first(),
            Value::Object(members) => members.values().next(),
            _ => None,
        };
        let files = first.map(files).unwrap_or_default();
        if !files.is_empty() {
            let each = if path.is_empty() { ".[]".to_owned() } else { format!("{path}[]") };
            return Some((each, files));
        }
        let members = value.as_object().filter(|_| depth > 0)?;
        members.iter().find_map(|(name, v)| find(v, &member(path, name), depth - 1))
    }
    find(value, "", DEPTH)
}

/// Members of a record that are URLs of files, by the ending of their path.
fn files(record: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    scalars(record, "", DEPTH, &mut found);
    let file = |(_, path, v): (String, String, Value)| {
        let url = v.as_str().filter(|t| t.starts_with("http://") || t.starts_with("https://"))?;
        let place = url.split_once("://")?.1.split(['?', '#']).next()?;
        let ending = place.split_once('/')?.1.rsplit('/').next()?.rsplit_once('.')?.1.to_ascii_lowercase();
        let is_file = (2..=5).contains(&ending.len()) && ending.bytes().all(|b| b.is_ascii_alphanumeric());
        (is_file && !PAGES.contains(&&*ending)).then_some((ending, path))
    };
    let mut files: Vec<(String, String)> = Vec::new();
    for (ending, path) in found.into_iter().filter_map(file) {
        // A second file of a type goes by the name of its member.
        let taken = files.iter().any(|(other, _)| *other == ending);
        let own = path.rsplit(['.', '"']).find(|w| !w.is_empty()).unwrap_or(&path).to_owned();
        files.push((if taken { own } else { ending }, path));
    }
    files
}

/// The URL with its last number as a field, and what to call that.
fn pattern(url: &str) -> (String, String) {
    let start = url.find("://").map_or(0, |at| at + 3);
    let path = url[start..].find('/').map_or(url.len(), |at| start + at);
    let is_id = |s: &&str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let parts: Vec<&str> = url[path..].split(['/', '=', '&', '?']).collect();
    match parts.iter().rev().find(|s| is_id(s)) {
        Some(id) => {
            let at = url.rfind(id).unwrap_or(url.len());
            (format!("{}{{id}}{}", &url[..at], &url[at + id.len()..]), "id".to_owned())
        }
        None => match url[path..].split(['?', '#']).next().and_then(|p| p.rsplit_once('/')) {
            // A name with a number in it is one of many as well: `u-0003`.
            Some((folder, id)) if id.bytes().any(|b| b.is_ascii_digit()) => {
                let at = path + folder.len() + 1;
                (format!("{}{{id}}{}", &url[..at], &url[at + id.len()..]), "id".to_owned())
            }
            _ => (format!("{}/{{id}}", url.trim_end_matches('/')), "id".to_owned()),
        },
    }
}

/// What to call what is looked up.
fn name(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, r)| r);
    let words = rest.split(['/', '?']).skip(1).filter(|w| crate::lower::is_name(w));
    let last = words.last().unwrap_or("thing");
    last.strip_suffix('s').filter(|w| w.len() > 1).unwrap_or(last).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn paging_is_recognised() {
        let page = |url: &str, text: &str| paging(url, &value(text));
        assert_eq!(
            page("http://h/f?offset=5&limit=9", r#"{"meta":{"next_offset":9},"response":[{"id":1}]}"#),
            Some(("http://h/f?limit=9".into(), "--offset offset --next .meta.next_offset".into()))
        );
        assert_eq!(
            page("http://h/f", r#"{"items":[{}],"next_cursor":"abc"}"#),
            Some(("http://h/f".into(), "--cursor cursor --next .next_cursor".into()))
        );
        assert_eq!(
            page("http://h/f", r#"{"items":[{}],"next":"http://h/f?p=2"}"#),
            Some(("http://h/f".into(), "--next-url .next".into()))
        );
        assert_eq!(
            page("http://h/f?page=1", r#"{"items":[{}]}"#),
            Some(("http://h/f".into(), "--page page".into()))
        );
        assert_eq!(page("http://h/f", r#"{"items":[{}]}"#), None);
        let flags = |url: &str, text: &str| page(url, text).unwrap().1;
        assert_eq!(
            flags("http://h/f", r#"{"items":[{}],"nextPageToken":"x1"}"#),
            "--cursor pageToken --next .nextPageToken"
        );
        assert_eq!(
            page("http://h/f?offset=0&limit=50", r#"{"count":237,"offset":0,"limit":50,"results":[{}]}"#),
            Some(("http://h/f".into(), "--offset offset --page-size limit=50".into()))
        );
        assert_eq!(
            flags("http://h/f", r#"{"value":[{}],"@odata.nextLink":"http://h/f?skip=5"}"#),
            "--next-url '.\"@odata.nextLink\"'"
        );
        assert_eq!(
            flags("http://h/f", r#"{"items":[{}],"_links":{"next":{"href":"/f?p=2"}}}"#),
            "--next-url ._links.next.href"
        );
        assert_eq!(
            flags("http://h/f", r#"{"has_more":true,"data":[{"id":"a"}]}"#),
            "--cursor starting_after --next 'if .has_more then .data[-1].id else null end'"
        );
    }

    #[test]
    fn lists_of_items_are_found_by_their_path() {
        let found = |text: &str| items(&value(text)).map(|(path, count, _)| (path, count));
        assert_eq!(found(r#"{"meta":{"a":[1]},"response":[{"id":1},{}]}"#), Some((".response".into(), 2)));
        assert_eq!(found(r#"[{"id":1}]"#), Some((".".into(), 1)));
        assert_eq!(found(r#"{"the data":[{"id":1}]}"#), Some((r#"."the data""#.into(), 1)));
        assert_eq!(found(r#"{"data":{"id":1}}"#), None);
    }

    #[test]
    fn an_id_in_a_url_becomes_a_field() {
        assert_eq!(pattern("http://h:8000/users/42").0, "http://h:8000/users/{id}");
        assert_eq!(pattern("http://h/q?user=7&x=y").0, "http://h/q?user={id}&x=y");
        assert_eq!(pattern("http://h:80/users").0, "http://h:80/users/{id}");
        assert_eq!(pattern("http://h:80/user/u-0003?x=y").0, "http://h:80/user/{id}?x=y");
        assert_eq!(name("http://h:8000/users/42"), "user");
    }

    #[test]
    fn commands_fit_what_is_there() {
        let typed = |place: &str, link, text: &str| commands(place, link, &value(text)).remove(0);
        let manifest = r#"{"1":{"id":1,"page":"http://x/1.html","urls":{"big":"http://x/y.mp4?sig=a","low":"http://x/z.MP4"}}}"#;
        assert_eq!(
            typed("m.json", None, manifest),
            "haul try get 'm.json' --each '.[]' --url mp4=.urls.big --url low=.urls.low --to files"
        );
        let next = r#"<http://h/f?page=2>; rel="next", <http://h/f?page=9>; rel="last""#;
        assert_eq!(
            typed("http://h/f", Some(next), r#"[{"html_url":"http://x/y","id":1}]"#),
            "haul try crawl 'http://h/f' --items . --link --to rows.jsonl"
        );
        let one =
            typed("http://h/f", Some(r#"<http://h/f>; rel="prev""#), r#"{"items":[{"name":"a","id":1}]}"#);
        assert!(
            one.starts_with(
                "haul try enrich 'http://h/f' --each '.items[]' --lookup thing='https://HOST/things/{id}'"
            ),
            "{one}"
        );
    }
}
