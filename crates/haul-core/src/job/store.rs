//! Object stores: `[store.NAME]`, and places in them, `NAME:BUCKET/PREFIX`.

/// How a store is reached. Credentials are never in it: they come from the profile, else from the usual
/// environment variables.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct StoreSpec {
    /// Base URL; None: that of AWS in the region.
    pub endpoint: Option<String>,
    /// Region that signatures name.
    pub region: Option<String>,
    /// Profile of the AWS configuration files whose credentials are used.
    pub profile: Option<String>,
    /// Whether the bucket stands in the path instead of the host name; None: with an endpoint, it does.
    pub path_style: Option<bool>,
}

/// Reads `NAME:BUCKET[/PREFIX]`: name, bucket, prefix.
///
/// # Errors
/// A sentence that shows how to write it.
pub fn parse_place(text: &str) -> Result<(&str, &str, &str), String> {
    let place = text.split_once(':').and_then(|(name, rest)| {
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        (!name.is_empty() && !bucket.is_empty() && !rest.starts_with('/')).then_some((name, bucket, prefix))
    });
    place.ok_or_else(|| format!("\"{text}\" is no place in a store: write it like STORE:BUCKET/PREFIX"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_a_store_a_bucket_and_a_prefix() {
        assert_eq!(parse_place("old:pics"), Ok(("old", "pics", "")));
        assert_eq!(parse_place("old:pics/a/b:c"), Ok(("old", "pics", "a/b:c")));
        for bad in ["pics", ":pics", "old:", "old:/a", "s3://pics/a"] {
            assert!(parse_place(bad).is_err(), "{bad}");
        }
    }
}
