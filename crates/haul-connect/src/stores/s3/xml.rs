//! Replies in XML.

use quick_xml::Reader;
use quick_xml::events::Event;

use haul_core::store::{Listed, Meta, Part};

use super::bucket::md5_of;

/// A page of a listing.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct ListPage {
    pub(super) objects: Vec<Listed>,
    pub(super) truncated: bool,
}

/// Reads the elements of a document: `on` is told the path of every element that holds text, and the text;
/// with an empty text at its end.
fn walk(xml: &[u8], mut on: impl FnMut(&[String], Option<&str>)) -> Result<(), String> {
    let mut reader = Reader::from_reader(xml);
    let (mut path, mut text) = (Vec::<String>::new(), String::new());
    loop {
        match reader.read_event().map_err(|e| e.to_string())? {
            Event::Start(start) => {
                path.push(start.local_name().as_ref().to_owned());
                text.clear();
            }
            Event::Empty(_) => {}
            Event::Text(part) => text.push_str(&part),
            Event::CData(part) => text.push_str(&part),
            Event::GeneralRef(name) => {
                if let Some(c) = name.resolve_char_ref().map_err(|e| e.to_string())? {
                    text.push(c);
                } else {
                    let known = quick_xml::escape::resolve_predefined_entity(&name);
                    text.push_str(known.ok_or_else(|| format!("an unknown entity &{};", &*name))?);
                }
            }
            Event::End(_) => {
                on(&path, Some(&text));
                on(&path, None);
                text.clear();
                path.pop();
            }
            Event::Eof if path.is_empty() => return Ok(()),
            Event::Eof => return Err("it ends in the middle".to_owned()),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
}

/// Reads a `ListBucketResult`.
///
/// # Errors
/// Why it is none.
pub(super) fn list(xml: &[u8]) -> Result<ListPage, String> {
    let (mut page, mut key, mut meta) = (ListPage::default(), String::new(), Meta::default());
    let (mut in_url, mut bad, mut is_list) = (false, None, false);
    walk(xml, |path, text| {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        is_list |= path.first() == Some(&"ListBucketResult");
        match (path.get(1..).unwrap_or_default(), text) {
            (["IsTruncated"], Some(text)) => page.truncated = text == "true",
            (["EncodingType"], Some(text)) => in_url = text == "url",
            (["Contents", "Key"], Some(text)) => text.clone_into(&mut key),
            (["Contents", "ETag"], Some(text)) => meta.version = text.trim_matches('"').into(),
            (["Contents", "LastModified"], Some(text)) => meta.modified_ns = nanoseconds(text),
            (["Contents", "Size"], Some(text)) => match text.parse() {
                Ok(size) => meta.len = size,
                Err(_) => bad = Some(format!("an object has the size \"{text}\"")),
            },
            (["Contents"], None) => {
                let mut meta = std::mem::take(&mut meta);
                meta.md5 = md5_of(&meta.version);
                page.objects.push(Listed { key: std::mem::take(&mut key).into(), meta });
            }
            _ => {}
        }
    })?;
    if !is_list {
        return Err("it is no listing".to_owned());
    }
    if let Some(bad) = bad {
        return Err(bad);
    }
    if in_url {
        for object in &mut page.objects {
            let key = decode(&object.key.to_string());
            object.key = key.ok_or_else(|| format!("the key {} is not UTF-8", object.key))?.into();
        }
    }
    Ok(page)
}

/// Since 1970, of `2020-01-01T00:00:00.000Z`; 0 where it says no time.
fn nanoseconds(text: &str) -> i64 {
    let at = text.parse::<jiff::Timestamp>().ok();
    at.and_then(|at| i64::try_from(at.as_nanosecond()).ok()).unwrap_or_default()
}

/// The parts that a `ListPartsResult` has, and whether there are more.
pub(super) fn parts(xml: &[u8]) -> (Vec<Part>, bool) {
    let (mut found, mut truncated) = (Vec::new(), false);
    let (mut number, mut len, mut version) = (0, 0, Box::<str>::default());
    let read = walk(xml, |path, text| match (path.last().map(String::as_str), text) {
        (Some("IsTruncated"), Some(text)) => truncated = text == "true",
        (Some("PartNumber"), Some(text)) => number = text.parse().unwrap_or_default(),
        (Some("Size"), Some(text)) => len = text.parse().unwrap_or_default(),
        (Some("ETag"), Some(text)) => version = text.into(),
        (Some("Part"), None) => {
            let md5 = md5_of(version.trim_matches('"'));
            found.push(Part { number, len, version: std::mem::take(&mut version), md5 });
        }
        _ => {}
    });
    if read.is_ok() { (found, truncated) } else { (Vec::new(), false) }
}

/// The text of the first element of that name.
pub(super) fn element(xml: &[u8], name: &str) -> Option<String> {
    let mut found = None;
    let read = walk(xml, |path, text| {
        if let (Some(last), Some(text)) = (path.last(), text)
            && last == name
            && found.is_none()
        {
            found = Some(text.to_owned());
        }
    });
    read.ok().and(found)
}

/// Ids of the uploads under way to exactly this key.
pub(super) fn uploads(xml: &[u8], key: &str) -> Vec<String> {
    let (mut found, mut of, mut id) = (Vec::new(), String::new(), String::new());
    let read = walk(xml, |path, text| match (path.last().map(String::as_str), text) {
        (Some("Key"), Some(text)) => text.clone_into(&mut of),
        (Some("UploadId"), Some(text)) => text.clone_into(&mut id),
        (Some("Upload"), None) if of == key => found.push(std::mem::take(&mut id)),
        _ => {}
    });
    if read.is_ok() { found } else { Vec::new() }
}

/// Undoes what `encoding-type=url` does: as in forms, `+` is a space. `None`: not UTF-8.
fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.as_bytes().iter();
    while let Some(&b) = bytes.next() {
        let hex = bytes.as_slice().get(..2).filter(|_| b == b'%');
        let hex = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match (b, hex) {
            (_, Some(decoded)) => {
                out.push(decoded);
                bytes.nth(1);
            }
            (b'+', None) => out.push(b' '),
            (b, None) => out.push(b),
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listings_are_read_in_either_writing() {
        let meta =
            Meta { len: 7, version: "abc".into(), modified_ns: 1_577_836_800_000_000_000, ..Meta::default() };
        let listed = |key: &str| Listed { key: key.to_owned().into(), meta: meta.clone() };
        let document = |head: &str, key: &str| {
            format!(
                "<?xml version=\"1.0\"?><ListBucketResult xmlns=\"x\">{head}<IsTruncated>true</IsTruncated><Contents>\
                 <Key>{key}</Key><LastModified>2020-01-01T00:00:00.000Z</LastModified><ETag>&quot;abc&quot;</ETag>\
                 <Size>7</Size></Contents></ListBucketResult>"
            )
        };
        for (head, written, key) in [
            ("", "a&amp;b&#x2f;+%20 c", "a&b/+%20 c"),
            ("<EncodingType>url</EncodingType>", "a%26b/%2B%2520+c%0A", "a&b/+%20 c\n"),
        ] {
            let page = list(document(head, written).as_bytes()).unwrap();
            assert_eq!(page, ListPage { objects: vec![listed(key)], truncated: true });
        }
        assert!(list(b"<html></html>").is_err());
        assert!(list(b"<ListBucketResult><Contents>").is_err());
        assert!(list(b"").is_err());
    }

    #[test]
    fn elements_and_uploads_are_found() {
        let xml = b"<R><Upload><Key>a</Key><UploadId>1</UploadId></Upload><Upload><Key>ab</Key><UploadId>2</UploadId></Upload></R>";
        assert_eq!(uploads(xml, "a"), ["1"]);
        assert_eq!(element(b"<Error><Code>NoSuchKey</Code></Error>", "Code").as_deref(), Some("NoSuchKey"));
        assert_eq!(element(b"{}", "Code"), None);
    }
}
