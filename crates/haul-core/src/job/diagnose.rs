//! What is wrong with a job, where it was said, and a way out.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

/// Where a value was said: in the job file, or on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Bytes of the job file.
    File(Range<usize>),
    /// A flag with its value, as a person would type it: `--rate 500`.
    Argument(String),
    /// It was not said at all (a default, or something missing).
    Unsaid,
}

impl Place {
    /// Sorts diagnostics in the order of the file; what is elsewhere comes first.
    fn order(&self) -> (usize, usize) {
        match self {
            Place::File(span) => (span.start + 1, span.end),
            Place::Argument(_) | Place::Unsaid => (0, 0),
        }
    }
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// What is wrong.
    pub message: String,
    /// Where it was said.
    pub place: Place,
    /// What to do about it.
    pub hint: Option<String>,
    /// True when the text at the place holds a secret: it must not be shown.
    pub hide_source: bool,
}

impl Diagnostic {
    /// A problem without a hint.
    pub fn new(message: impl Into<String>, place: Place) -> Self {
        Diagnostic { message: message.into(), place, hint: None, hide_source: false }
    }

    /// The same with a way out.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same for a place whose text holds a secret.
    pub fn hiding_source(mut self) -> Self {
        self.hide_source = true;
        self
    }

    /// The argument it is about, without its value when that holds a secret.
    pub fn argument(&self) -> Option<String> {
        match &self.place {
            Place::Argument(said) if self.hide_source => {
                // The name alone: `--lookup user=…`, `-H Authorization:…`, `-H …`.
                let end = said.find(['=', ':']).or_else(|| said.find(' ')).map_or(0, |i| i + 1);
                Some(format!("{}…", &said[..end]))
            }
            Place::Argument(said) => Some(said.clone()),
            Place::File(_) | Place::Unsaid => None,
        }
    }

    /// One line without the source text: `jobs/a.toml:12:8: message (hint)`.
    pub fn one_line(&self, file: &str, text: &str) -> String {
        let place = match &self.place {
            Place::File(span) => {
                let (line, column) = line_column(text, span.start);
                format!("{file}:{line}:{column}: ")
            }
            Place::Argument(_) | Place::Unsaid => {
                self.argument().map_or(String::new(), |said| format!("{said}: "))
            }
        };
        match &self.hint {
            Some(hint) => format!("{place}{} ({hint})", self.message),
            None => format!("{place}{}", self.message),
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Puts diagnostics in the order of the file and drops repeats. Where one of them must not show its
/// place, none that points there does.
pub fn tidy(diagnostics: &mut Vec<Diagnostic>) {
    diagnostics.sort_by_key(|d| d.place.order());
    let hidden: Vec<Place> = diagnostics.iter().filter(|d| d.hide_source).map(|d| d.place.clone()).collect();
    let mut seen: Vec<Diagnostic> = Vec::with_capacity(diagnostics.len());
    diagnostics.retain_mut(|d| {
        d.hide_source |= hidden.contains(&d.place);
        let new = !seen.contains(d);
        if new {
            seen.push(d.clone());
        }
        new
    });
}

/// 1-based line and column (in characters) of a byte offset; the end of the text when beyond it.
pub fn line_column(text: &str, offset: usize) -> (usize, usize) {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let before = &text[..offset];
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
}

/// Where each value of a job was said, by dotted path: `step.video.take`, `service.users.url`.
///
/// Steps go by name, and by position as well: `step[1].take`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Places(BTreeMap<String, Place>);

impl Places {
    /// Remembers where a value was said.
    pub fn note(&mut self, path: impl Into<String>, place: Place) {
        self.0.insert(path.into(), place);
    }

    /// Where the value at a path was said; of an unknown path, where the nearest table around it
    /// was.
    pub fn find(&self, path: &str) -> Place {
        let mut path = path;
        loop {
            if let Some(place) = self.0.get(path) {
                return place.clone();
            }
            match path.rfind(['.', '[']) {
                Some(at) => path = &path[..at],
                None => return Place::Unsaid,
            }
        }
    }
}

/// The known word that was probably meant, if one is near.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A third of the letters may be wrong (at least one, at most three): "concurency" is near
    // "concurrency", "rate" is not near "take".
    let allowed = (word.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .map(|k| (strsim::damerau_levenshtein(&word.to_lowercase(), &k.to_lowercase()), k))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, k)| k)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_from_one_in_characters() {
        let text = "a = 1\nbä = 2\n";
        assert_eq!(line_column(text, 0), (1, 1));
        assert_eq!(line_column(text, 6), (2, 1));
        assert_eq!(line_column(text, 9), (2, 3));
        assert_eq!(line_column(text, 8), (2, 2), "inside a character: its start");
        assert_eq!(line_column(text, 999), (3, 1));
    }

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let known = ["concurrency", "rate", "timeout"];
        assert_eq!(nearest("concurency", known), Some("concurrency"));
        assert_eq!(nearest("Rate", known), Some("rate"));
        assert_eq!(nearest("timeuot", known), Some("timeout"));
        assert_eq!(nearest("memory", known), None);
    }

    #[test]
    fn a_path_that_was_not_said_points_at_the_table_around_it() {
        let mut places = Places::default();
        places.note("step.video", Place::File(10..20));
        places.note("step.video.take", Place::File(30..40));
        assert_eq!(places.find("step.video.take"), Place::File(30..40));
        assert_eq!(places.find("step.video.on.404"), Place::File(10..20));
        assert_eq!(places.find("retry.attempts"), Place::Unsaid);
    }
}
