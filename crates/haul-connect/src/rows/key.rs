//! The key of a JSON record: by the template, else the name of the member it is, else its member
//! `id`, else the hash of its text.

use haul_core::Record;
use haul_core::cx::hex;
use memchr::memchr;

use crate::expr::{Found, Lookup, NotJson, Seg, unescape};
use crate::template::Template;

/// Finds and writes keys.
pub(crate) struct RecordKey {
    template: Option<Template>,
    /// Finds `id`.
    id: Lookup,
}

/// Where a record has what its key is made of.
pub(crate) struct KeyPlace(Found);

impl RecordKey {
    pub(crate) fn new(template: Option<Template>) -> Self {
        RecordKey { template, id: Lookup::new([&[Seg::Field("id".to_owned())][..]]) }
    }

    /// The template, where there is one.
    pub(crate) fn template(&self) -> Option<&Template> {
        self.template.as_ref()
    }

    /// Checks that the text is JSON, all of it, and finds what keys are made of.
    pub(crate) fn find(&self, text: &[u8]) -> Result<KeyPlace, NotJson> {
        let found = self.id.find(text)?;
        Ok(KeyPlace(found.first().copied().unwrap_or_default()))
    }

    /// Appends the key of a record, which is the member `name` of an object where there is one.
    pub(crate) fn write(
        &self,
        text: &[u8],
        place: &KeyPlace,
        name: Option<&[u8]>,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        if let Some(template) = &self.template {
            let record = Record::new(text.to_vec());
            let key = template.key(&record).map_err(|e| format!("no key: {e}"))?;
            out.extend_from_slice(&key.0);
            return Ok(());
        }
        if let Some(name) = name.filter(|n| !n.is_empty()) {
            out.extend_from_slice(name);
            return Ok(());
        }
        if let Found::Value { start, end, .. } = place.0 {
            match &text[start..end] {
                [b'"', b'"'] => {}
                [b'"', inside @ .., b'"'] if memchr(b'\\', inside).is_none() => {
                    out.extend_from_slice(inside);
                    return Ok(());
                }
                [b'"', inside @ .., b'"'] => {
                    out.extend_from_slice(&unescape(inside));
                    return Ok(());
                }
                number @ [b'-' | b'0'..=b'9', ..] => {
                    out.extend_from_slice(number);
                    return Ok(());
                }
                _ => {}
            }
        }
        let hash = xxhash_rust::xxh3::xxh3_128(text);
        out.extend_from_slice(hex(&hash.to_be_bytes()).as_bytes());
        Ok(())
    }
}
