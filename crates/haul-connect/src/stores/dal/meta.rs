//! What OpenDAL says of an object, and what a service is told to keep of one.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use haul_core::job::StoreKind;
use haul_core::store::{Md5, Meta};
use opendal::Metadata;
use opendal::options::WriteOptions;

/// What the service is told to keep, and what it cannot.
pub(super) fn carried(kind: StoreKind, meta: &Meta) -> (WriteOptions, Vec<Box<str>>) {
    let (mut options, mut dropped) = (WriteOptions::default(), Vec::new());
    let (gcs, azure) = (kind == StoreKind::Gcs, kind == StoreKind::Azblob);
    for (name, value) in &meta.headers {
        let own = name.strip_prefix("meta-").filter(|own| gcs || azure && is_identifier(own));
        match (&**name, own) {
            ("content-type", _) if gcs || azure => options.content_type = Some(value.to_string()),
            ("cache-control", _) if gcs || azure => options.cache_control = Some(value.to_string()),
            ("content-encoding", _) if gcs => options.content_encoding = Some(value.to_string()),
            (_, Some(own)) => {
                let all = options.user_metadata.get_or_insert_default();
                all.insert(own.to_owned(), value.to_string());
            }
            _ => dropped.push(name.clone()),
        }
    }
    (options, dropped)
}

/// What Azure takes for the name of metadata.
fn is_identifier(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// What OpenDAL says of an object.
pub(super) fn meta_of(said: &Metadata) -> Meta {
    let mut headers: Vec<(Box<str>, Box<str>)> = Vec::new();
    let fields = [
        ("content-type", said.content_type()),
        ("cache-control", said.cache_control()),
        ("content-encoding", said.content_encoding()),
        ("content-disposition", said.content_disposition()),
    ];
    headers.extend(fields.into_iter().filter_map(|(name, value)| Some((name.into(), value?.into()))));
    for (name, value) in said.user_metadata().into_iter().flatten() {
        headers.push((format!("meta-{}", name.to_ascii_lowercase()).into(), value.into()));
    }
    headers.sort();
    let modified = said.last_modified().map(opendal::raw::Timestamp::into_inner);
    Meta {
        len: said.content_length(),
        modified_ns: modified.and_then(|at| i64::try_from(at.as_nanosecond()).ok()).unwrap_or_default(),
        version: version_of(said),
        md5: said.content_md5().and_then(md5_of),
        headers,
    }
}

pub(super) fn md5_of(text: &str) -> Option<Md5> {
    BASE64_STANDARD.decode(text).ok()?.try_into().ok()
}

/// The ETag, without its quotes.
pub(super) fn version_of(said: &Metadata) -> Box<str> {
    said.etag().unwrap_or_default().trim_matches('"').into()
}
