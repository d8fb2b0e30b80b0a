//! The URL of a page: parameters put into a query, and the `Link` header (RFC 8288).

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Everything but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The URL with a parameter of its query set; an equal one is replaced, the fragment goes.
pub(super) fn with_parameter(url: &str, name: &str, value: &str) -> String {
    let url = url.split('#').next().unwrap_or_default();
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let mut out = String::with_capacity(url.len() + name.len() + value.len() + 2);
    out.push_str(path);
    let mut mark = '?';
    for pair in query.split('&').filter(|p| !p.is_empty() && !is_named(p, name)) {
        out.push(mark);
        out.push_str(pair);
        mark = '&';
    }
    out.push(mark);
    out.extend(utf8_percent_encode(name, RESERVED));
    out.push('=');
    out.extend(utf8_percent_encode(value, RESERVED));
    out
}

/// The value that a URL's query gives to a parameter.
pub(super) fn parameter(url: &str, name: &str) -> Option<String> {
    let query = url.split('#').next()?.split_once('?')?.1;
    let pair = query.split('&').find(|p| is_named(p, name))?;
    let value = pair.split_once('=').map_or("", |(_, v)| v);
    Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
}

fn is_named(pair: &str, name: &str) -> bool {
    let own = pair.split('=').next().unwrap_or_default();
    percent_decode_str(own).eq(name.bytes())
}

/// The target of `rel="next"` in a `Link` header.
pub(super) fn next_link(header: &str) -> Option<&str> {
    let mut rest = header;
    loop {
        let (_, from) = rest.split_once('<')?;
        let (target, tail) = from.split_once('>')?;
        // Parameters reach to the next `<`; a comma within quotes belongs to them.
        let end = tail.find('<').unwrap_or(tail.len());
        let (parameters, after) = tail.split_at(end);
        let is_next = parameters.split(';').filter_map(|p| p.trim().split_once('=')).any(|(name, value)| {
            let value = value.trim().trim_end_matches(',').trim().trim_matches('"');
            name.trim().eq_ignore_ascii_case("rel")
                && value.split_whitespace().any(|r| r.eq_ignore_ascii_case("next"))
        });
        if is_next {
            return Some(target.trim());
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_set_and_read() {
        assert_eq!(with_parameter("http://h/a", "offset", "5"), "http://h/a?offset=5");
        assert_eq!(with_parameter("http://h/a?x=1&offset=5#f", "offset", "7"), "http://h/a?x=1&offset=7");
        assert_eq!(with_parameter("http://h/a?x=1", "q", "a b&{c}"), "http://h/a?x=1&q=a%20b%26%7Bc%7D");
        assert_eq!(with_parameter("http://h/a?%6fffset=1", "offset", "2"), "http://h/a?offset=2");
        assert_eq!(parameter("http://h/a?x=1&page=3#f", "page").as_deref(), Some("3"));
        assert_eq!(parameter("http://h/a?q=a%20b", "q").as_deref(), Some("a b"));
        assert_eq!(parameter("http://h/a", "q"), None);
    }

    #[test]
    fn the_next_link_is_found_among_others() {
        let github = "<https://api.github.com/repositories/1/issues?page=2>; rel=\"prev\", <https://api.github.com/repositories/1/issues?page=4>; rel=\"next\", <https://api.github.com/repositories/1/issues?page=515>; rel=\"last\"";
        assert_eq!(next_link(github), Some("https://api.github.com/repositories/1/issues?page=4"));
        assert_eq!(next_link("</x?a=1,2>; title=\"a, b\"; rel=\"last NEXT\""), Some("/x?a=1,2"));
        assert_eq!(next_link("</x>;rel=next"), Some("/x"));
        assert_eq!(next_link("</x>; rel=\"prev\""), None);
        assert_eq!(next_link("nonsense"), None);
    }
}
