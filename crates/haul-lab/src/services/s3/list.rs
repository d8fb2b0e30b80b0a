//! `ListObjectsV2`.

use super::bucket::Bucket;
use super::{Ask, Reply, State, decode, encode, error, escape, xml};
use crate::services::{FileKind, file_kind};

/// Keys in one reply.
const PAGE: usize = 1000;

pub(super) fn answer(ask: &Ask<'_>, state: &mut State, out: &mut Vec<u8>) -> Reply {
    let target = &ask.target;
    let bucket = state.buckets.make(&target.bucket);
    if target.query("list-type") != Some("2") {
        return error(out, 501, "NotImplemented", "only ListObjectsV2");
    }
    let asked = target.query("max-keys").map_or(Ok(PAGE), str::parse::<usize>);
    let Ok(most) = asked else { return error(out, 400, "InvalidArgument", "max-keys is not a number") };
    let prefix = target.query("prefix").unwrap_or_default();
    let token = target.query("continuation-token").and_then(decode);
    let after = token.as_deref().or(target.query("start-after"));
    let list = Listing {
        ask,
        bucket,
        most: most.min(PAGE),
        in_url: target.query("encoding-type") == Some("url"),
        delimiter: target.query("delimiter").filter(|d| !d.is_empty()),
    };
    xml(out, 200, &list.write(prefix, after))
}

struct Listing<'a> {
    ask: &'a Ask<'a>,
    bucket: &'a Bucket,
    most: usize,
    in_url: bool,
    /// Keys that have it after the prefix are told by what they begin with.
    delimiter: Option<&'a str>,
}

/// Comes after every key that begins with the same.
const LAST: char = char::MAX;

impl Listing<'_> {
    fn write(&self, prefix: &str, after: Option<&str>) -> String {
        let mut keys = keys(self.bucket, (prefix, after), self.delimiter, self.most + 1);
        let more = keys.len() > self.most;
        keys.truncate(self.most);
        let mut text = format!(
            "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>{}</Name><Prefix>{}</Prefix>\
             <KeyCount>{}</KeyCount><MaxKeys>{}</MaxKeys><IsTruncated>{more}</IsTruncated>",
            escape(&self.ask.target.bucket),
            self.key(prefix),
            keys.len(),
            self.most
        );
        if self.in_url {
            text.push_str("<EncodingType>url</EncodingType>");
        }
        if let Some((last, _)) = keys.last().filter(|_| more) {
            // Opaque to clients; here it is the last key.
            text.push_str(&format!("<NextContinuationToken>{}</NextContinuationToken>", encode(last, false)));
        }
        for (key, is_common) in &keys {
            if *is_common {
                let key = self.key(key);
                text.push_str(&format!("<CommonPrefixes><Prefix>{key}</Prefix></CommonPrefixes>"));
            } else {
                self.entry(key, &mut text);
            }
        }
        text.push_str("</ListBucketResult>");
        text
    }

    fn entry(&self, key: &str, text: &mut String) {
        let generation = self.ask.script.generation;
        let Some(object) = self.bucket.object(&self.ask.world.files, generation, key) else { return };
        text.push_str(&format!(
            "<Contents><Key>{}</Key><LastModified>{}</LastModified><ETag>&quot;{}&quot;</ETag><Size>{}</Size>\
             <StorageClass>STANDARD</StorageClass></Contents>",
            self.key(key),
            iso(object.modified),
            object.etag,
            object.size
        ));
    }

    fn key(&self, key: &str) -> String {
        if self.in_url { encode(key, true).replace("%20", "+") } else { escape(key) }
    }
}

/// Keys, or what several begin with (true), `most` of them at most.
fn keys(
    bucket: &Bucket,
    (prefix, after): (&str, Option<&str>),
    delimiter: Option<&str>,
    most: usize,
) -> Vec<(String, bool)> {
    let mut keys = Vec::new();
    let Some(delimiter) = delimiter else {
        bucket.keys_after(after, prefix, &mut |key| {
            keys.push((key.to_owned(), false));
            keys.len() < most
        });
        return keys;
    };
    let common = |key: &str| {
        let at = key.get(prefix.len()..)?.find(delimiter)?;
        Some(key[..prefix.len() + at + delimiter.len()].to_owned())
    };
    let mut after = after.map(|after| match common(after) {
        Some(begin) if begin == after => format!("{after}{LAST}"),
        _ => after.to_owned(),
    });
    while keys.len() < most {
        let mut next = None;
        bucket.keys_after(after.as_deref(), prefix, &mut |key| {
            next = Some(key.to_owned());
            false
        });
        let Some(key) = next else { break };
        if let Some(begin) = common(&key) {
            after = Some(format!("{begin}{LAST}"));
            keys.push((begin, true));
        } else {
            after = Some(key.clone());
            keys.push((key, false));
        }
    }
    keys
}

/// What a script makes of an object that is there from the beginning.
pub(super) fn kind(ask: &Ask<'_>) -> FileKind {
    match super::bucket::made_id(&ask.target.key) {
        Some(id) if ask.target.bucket.starts_with("img-") => file_kind(ask.script, ask.live.seed, id),
        _ => FileKind::Good,
    }
}

/// `2020-01-01T00:00:00.000Z`
pub(super) fn iso(seconds: u64) -> String {
    let (year, month, day) = date(seconds / 86_400);
    let s = seconds % 86_400;
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.000Z", s / 3600, s / 60 % 60, s % 60)
}

/// `Wed, 01 Jan 2020 00:00:00 GMT`
pub(super) fn http_date(seconds: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let days = seconds / 86_400;
    let (year, month, day) = date(days);
    let s = seconds % 86_400;
    let (weekday, month) = (DAYS[days as usize % 7], MONTHS[month as usize - 1]);
    format!("{weekday}, {day:02} {month} {year:04} {:02}:{:02}:{:02} GMT", s / 3600, s / 60 % 60, s % 60)
}

/// Year, month and day of a day since 1970-01-01 (Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms", `civil_from_days`).
fn date(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + u64::from(month <= 2), month, doy - (153 * mp + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_with_a_delimiter_are_told_by_what_they_begin_with() {
        let mut buckets = super::super::bucket::Buckets::default();
        let listed = |keys: Vec<(String, bool)>| -> Vec<String> {
            keys.into_iter().map(|(key, common)| if common { format!("[{key}]") } else { key }).collect()
        };
        let made = buckets.make("img-12-5");
        assert_eq!(listed(keys(made, ("", None), Some("/"), 9)), ["[img/]"]);
        assert_eq!(listed(keys(made, ("", Some("img/")), Some("/"), 9)), [""; 0]);
        assert_eq!(keys(made, ("img/", None), Some("/"), 9).len(), 9);
        let odd = buckets.make("odd");
        let all = listed(keys(odd, ("", None), Some("/"), 99));
        assert!(all.contains(&"[a/]".to_owned()) && all.contains(&"[double/]".to_owned()), "{all:?}");
        // A page at a time, the same.
        let (mut paged, mut after) = (Vec::new(), None::<String>);
        while let [(key, common)] = &keys(odd, ("", after.as_deref()), Some("/"), 1)[..] {
            paged.push(if *common { format!("[{key}]") } else { key.clone() });
            after = Some(key.clone());
        }
        assert_eq!(paged, all);
    }

    #[test]
    fn dates_are_right() {
        assert_eq!(iso(1_577_836_800), "2020-01-01T00:00:00.000Z");
        assert_eq!(iso(951_827_696), "2000-02-29T12:34:56.000Z");
        assert_eq!(http_date(1_577_836_800), "Wed, 01 Jan 2020 00:00:00 GMT");
        assert_eq!(http_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
