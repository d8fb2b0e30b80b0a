//! Templates of URLs and keys.

use haul_connect::template::Template;
use haul_core::Record;
use haul_core::item::{Item, Key, Position, Seq, SliceId};
use proptest::prelude::*;

fn item(record: &str) -> Item {
    Item {
        slice: SliceId(0),
        seq: Seq(0),
        key: Key::from("the key"),
        position: Position::default(),
        record: Record::new(record.to_owned()),
    }
}

fn url(template: &str, record: &str) -> Result<String, String> {
    Template::compile(template).unwrap().url(&item(record)).map_err(|e| e.to_string())
}

#[test]
fn values_are_percent_encoded_in_urls_and_not_in_keys() {
    let record =
        r#"{"id":12345678901234567890123,"name":"a/b \u00e9&c?","ok":true,"d":{"x":[1.50]},"b c":"~"}"#;
    let u = |t| url(t, record).unwrap();
    assert_eq!(
        u("http://h/users/{id}?n={name}"),
        "http://h/users/12345678901234567890123?n=a%2Fb%20%C3%A9%26c%3F"
    );
    assert_eq!(u("http://h/{.d.x[0]}/{d.x[-1]}/{ok}/{b c}"), "http://h/1.50/1.50/true/~");
    assert_eq!(u("http://h/{{{id}}}"), "http://h/{12345678901234567890123}");
    assert_eq!(u("http://h/{key}"), "http://h/the%20key");
    let key = Template::compile("{id},{name}").unwrap().key(&Record::new(record.to_owned())).unwrap();
    assert_eq!(key, Key::from("12345678901234567890123,a/b é&c?"));
}

#[test]
fn a_member_named_key_comes_before_the_item_s_key() {
    assert_eq!(url("http://h/{key}", r#"{"key":7}"#).unwrap(), "http://h/7");
}

#[test]
fn a_field_at_the_start_is_a_url_itself() {
    let record = r#"{"url":"https://h:1/a%20b c?x=1&y=é"}"#;
    assert_eq!(url("{url}", record).unwrap(), "https://h:1/a%20b%20c?x=1&y=%C3%A9");
}

#[test]
fn what_has_no_value_is_an_error_that_names_the_field() {
    let record = r#"{"n":null,"o":{},"a":[1],"s":"x","e":"","dots":"..","half":"\ud800"}"#;
    for (template, message) in [
        ("http://h/{n}", "{n} is null"),
        ("http://h/{o}", "{o} is an object, not one value"),
        ("http://h/{a}", "{a} is an array, not one value"),
        ("http://h/{.s.x}", "{.s.x} Cannot index string with \"x\""),
        ("http://h/{.o.x}", "{.o.x} is missing in the record"),
        ("http://h/{id}", "{id} is missing: the record has n, o, a, s, e, dots, half"),
        ("http://h/{e}", "{e} is \"\", which would change the path of the URL"),
        ("http://h/{e}/x", "{e} is \"\", which would change the path of the URL"),
        ("http://h/{dots}?q", "{dots} is \"..\", which would change the path of the URL"),
        ("http://h/{half}", "{half} is no text that a URL can hold (half a surrogate pair)"),
    ] {
        assert_eq!(url(template, record), Err(message.to_owned()), "{template}");
    }
    assert_eq!(url("http://h/x?q={e}&d={dots}", record).unwrap(), "http://h/x?q=&d=..");
    assert_eq!(url("http://h/a{e}", record).unwrap(), "http://h/a");
    let columns = url("http://h/{user_id}", r#"{"c1":"1","c2":"2"}"#).unwrap_err();
    assert_eq!(
        columns,
        "{user_id} is missing: the record has c1, c2 (columns without names: say --columns NAME,…)"
    );
}

#[test]
fn bad_templates_point_at_the_place() {
    for (source, offset, word) in [
        ("a{", 1, "without its }"),
        ("a{b", 1, "without its }"),
        ("ab}c", 2, "without its {"),
        ("{}", 0, "names no field"),
        ("x{.}", 1, "no field of a record"),
        ("{.[0]}", 0, "no field of a record"),
        ("{.a | .b}x{.a +1}", 10, "no path"),
        ("{a{b}", 0, "within a field"),
    ] {
        let error = Template::compile(source).unwrap_err();
        assert_eq!(error.offset, offset, "{source}: {error}");
        assert!(error.message.contains(word), "{source}: {error}");
    }
}

#[test]
fn names_and_base() {
    let t = Template::compile_after("http://h/{x}", "/users/{user_id}/{.user.id}/{user_id}").unwrap();
    assert_eq!(t.names().iter().map(|n| &**n).collect::<Vec<_>>(), ["user_id", "user"]);
    assert_eq!(t.leading_text(), "http://h/{x}/users/");
    assert!(Template::compile("http://h/{{}}").unwrap().is_constant());
    assert_eq!(url("http://h/{{}}", "{}").unwrap(), "http://h/{}");
}

proptest! {
    #[test]
    fn any_text_round_trips_through_a_url(text in any::<String>()) {
        let record = format!("{{\"v\":{}}}", serde_json::to_string(&text).unwrap());
        let url = url("http://h/?v={v}", &record).unwrap();
        let encoded = url.strip_prefix("http://h/?v=").unwrap();
        prop_assert!(encoded.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%".contains(&b)));
        let decoded = percent_encoding::percent_decode_str(encoded).decode_utf8().unwrap();
        prop_assert_eq!(decoded, text.as_str());
        let key = Template::compile("{v}").unwrap().key(&Record::new(record)).unwrap();
        prop_assert_eq!(key, Key::from(text));
    }

    #[test]
    fn any_literal_text_survives_doubled_braces(text in any::<String>()) {
        let source = text.replace('{', "{{").replace('}', "}}");
        let rendered = Template::compile(&source).unwrap().url(&item("{}")).unwrap();
        prop_assert_eq!(rendered, text);
    }
}
