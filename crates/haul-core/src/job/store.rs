//! Object stores: `[store.NAME]`, and places in them, `NAME:BUCKET/PREFIX`.

use crate::secret::SecretFrom;

/// What a store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum StoreKind {
    /// S3 and what is compatible with it.
    #[default]
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azblob,
    /// WebDAV; what stands for a bucket is a directory.
    Webdav,
}

impl StoreKind {
    /// All, as `type` names them.
    pub const ALL: [(&'static str, StoreKind); 4] = [
        ("s3", StoreKind::S3),
        ("gcs", StoreKind::Gcs),
        ("azblob", StoreKind::Azblob),
        ("webdav", StoreKind::Webdav),
    ];

    /// As `type` names it.
    pub fn as_str(self) -> &'static str {
        match self {
            StoreKind::S3 => "s3",
            StoreKind::Gcs => "gcs",
            StoreKind::Azblob => "azblob",
            StoreKind::Webdav => "webdav",
        }
    }
}

/// How a store is reached. Credentials are never in it: they come from the profile or from where the secret
/// is, else from the usual environment variables.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct StoreSpec {
    /// What it is.
    pub kind: StoreKind,
    /// Base URL; None: that of AWS in the region, of Google, or of the Azure account.
    pub endpoint: Option<String>,
    /// `account` of Azure, `user` of WebDAV.
    pub account: Option<String>,
    /// Where its secret is: the key of an Azure account or a SAS token, the key file or a token of Google, the
    /// password of the user or a token of WebDAV.
    pub secret: Option<SecretFrom>,
    /// Region that signatures name.
    pub region: Option<String>,
    /// Profile of the AWS configuration files whose credentials are used.
    pub profile: Option<String>,
    /// Whether the bucket stands in the path instead of the host name; None: with an endpoint, it does.
    pub path_style: Option<bool>,
}

/// Where objects are, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaceText<'a> {
    /// A directory: `./photos`, `/data`, `photos`.
    Directory(&'a str),
    /// `NAME:BUCKET[/PREFIX]`: keys of a bucket that begin with a prefix, which may be empty.
    Bucket {
        /// Name of the store.
        store: &'a str,
        /// The bucket, or container.
        bucket: &'a str,
        /// What the keys begin with.
        prefix: &'a str,
    },
}

impl<'a> PlaceText<'a> {
    /// The name of the store, if it is in one.
    pub fn store(self) -> Option<&'a str> {
        match self {
            PlaceText::Directory(_) => None,
            PlaceText::Bucket { store, .. } => Some(store),
        }
    }
}

/// Reads `NAME:BUCKET[/PREFIX]`, or the path of a directory: what has no colon, or begins with `/` or `.`.
///
/// # Errors
/// A sentence that shows how to write it.
pub fn parse_place(text: &str) -> Result<PlaceText<'_>, String> {
    if !text.is_empty() && (text.starts_with(['/', '.']) || !text.contains(':')) {
        return Ok(PlaceText::Directory(text));
    }
    let place = text.split_once(':').and_then(|(store, rest)| {
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        (!store.is_empty() && !bucket.is_empty() && !rest.starts_with('/')).then_some(PlaceText::Bucket {
            store,
            bucket,
            prefix,
        })
    });
    place.ok_or_else(|| {
        format!("\"{text}\" is no place for objects: write it like STORE:BUCKET/PREFIX, or ./DIRECTORY")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_a_store_a_bucket_and_a_prefix_or_a_directory() {
        let bucket = |store, bucket, prefix| Ok(PlaceText::Bucket { store, bucket, prefix });
        assert_eq!(parse_place("old:pics"), bucket("old", "pics", ""));
        assert_eq!(parse_place("old:pics/a/b:c"), bucket("old", "pics", "a/b:c"));
        for path in ["pics", "./a:b", "/data/a:b", "..", "."] {
            assert_eq!(parse_place(path), Ok(PlaceText::Directory(path)));
        }
        for bad in ["", ":pics", "old:", "old:/a", "s3://pics/a"] {
            assert!(parse_place(bad).is_err(), "{bad}");
        }
    }
}
