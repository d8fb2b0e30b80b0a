//! Manifests: lists of files to get from the lab, in the forms that people have them in.

use std::io::Write;
use std::ops::RangeInclusive;

use super::{GenerateError, Lines, Written};
use crate::mix::{below, mix};

/// How a manifest is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// One object; its members are the records: `{"1001": {"id": …, "download_urls": …}, …}`.
    Object,
    /// One array of the records.
    Array,
    /// One record a line.
    Lines,
    /// `id,title,mp4,png` lines under a header.
    Csv,
    /// One URL a line, that of the mp4.
    Urls,
}

/// What to write.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// Records; `u64::MAX`: without end.
    pub count: u64,
    /// Decides ids, titles and sizes.
    pub seed: u64,
    /// Where the files are: `http://HOST:PORT`.
    pub url: String,
    /// How it is written.
    pub form: Form,
    /// Bytes of the mp4s.
    pub video: RangeInclusive<u64>,
    /// Bytes of the pngs.
    pub image: RangeInclusive<u64>,
}

impl Manifest {
    /// Writes it. The id of the n-th record is `1000 + n`.
    ///
    /// # Errors
    /// When a range of sizes is empty, or the output fails.
    pub fn write_to(&self, out: &mut dyn Write) -> Result<Written, GenerateError> {
        for sizes in [&self.video, &self.image] {
            if sizes.is_empty() || *sizes.start() == 0 {
                let message = format!(
                    "{}..{} bytes: write the smaller first, and at least 1",
                    sizes.start(),
                    sizes.end()
                );
                return Err(GenerateError::Spec(message));
            }
        }
        let mut lines = Lines::new(out);
        let (open, close) = match self.form {
            Form::Object => ("{\n", "\n}\n"),
            Form::Array => ("[\n", "\n]\n"),
            Form::Csv => ("id,title,mp4,png\n", ""),
            Form::Lines | Form::Urls => ("", ""),
        };
        lines.text(open.as_bytes());
        for n in 0..self.count {
            let (id, mp4, png) = self.record(n);
            let title = format!("Lesson {n}: \\\"caf\\u00e9\\\"");
            let record = format!(
                "{{\"id\": {id}, \"title\": \"{title}\", \"download_urls\": {{\"mp4\": \"{mp4}\", \"png\": \"{png}\"}}, \"views\": {n}.0}}"
            );
            let comma = if n > 0 && matches!(self.form, Form::Object | Form::Array) { ",\n" } else { "" };
            lines.text(comma.as_bytes());
            match self.form {
                Form::Object => lines.text(format!("  \"{id}\": {record}").as_bytes()),
                Form::Array => lines.text(format!("  {record}").as_bytes()),
                Form::Lines => lines.text(record.as_bytes()),
                Form::Csv => lines.text(format!("{id},Lesson {n},{mp4},{png}").as_bytes()),
                Form::Urls => lines.text(mp4.as_bytes()),
            }
            match self.form {
                Form::Object | Form::Array => lines.part()?,
                Form::Lines | Form::Csv | Form::Urls => lines.end()?,
            }
        }
        lines.text(close.as_bytes());
        lines.finish()
    }

    /// Id and URLs of the n-th record.
    fn record(&self, n: u64) -> (u64, String, String) {
        let id = 1000 + n;
        let bits = mix(self.seed ^ mix(n));
        let size = |bits: u64, sizes: &RangeInclusive<u64>| {
            sizes.start() + below(bits, sizes.end() - sizes.start() + 1)
        };
        let base = self.url.trim_end_matches('/');
        let mp4 = format!("{base}/files/{id}-{}.mp4", size(bits, &self.video));
        let png = format!("{base}/files/{id}-{}.png", size(mix(bits), &self.image));
        (id, mp4, png)
    }
}
