//! Statuses of replies, and what they may mean for an item.

/// A set of statuses: `404`, `4xx`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StatusSet {
    /// One status.
    One(u16),
    /// A hundred: `Class(4)` is 400 to 499.
    Class(u8),
}

impl StatusSet {
    /// True when the status is in the set.
    pub fn contains(self, status: u16) -> bool {
        match self {
            StatusSet::One(s) => s == status,
            StatusSet::Class(c) => status / 100 == u16::from(c),
        }
    }

    /// Reads `404` or `4xx`.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(class) = text.strip_suffix("xx") {
            let class: u8 = class.parse().ok()?;
            return (1..=5).contains(&class).then_some(StatusSet::Class(class));
        }
        let status: u16 = text.parse().ok()?;
        (100..600).contains(&status).then_some(StatusSet::One(status))
    }
}

impl std::fmt::Display for StatusSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StatusSet::One(s) => write!(f, "{s}"),
            StatusSet::Class(c) => write!(f, "{c}xx"),
        }
    }
}

/// What a status means for the item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStatus {
    /// The item is skipped.
    Skip,
    /// The lookup's result is `null`; the item goes on.
    Null,
    /// The step counts as done; the item goes on (after the last step it is done).
    Done,
    /// The item fails at once.
    Fail,
    /// The item is tried again.
    Retry,
}

impl OnStatus {
    /// The word in job files and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            OnStatus::Skip => "skip",
            OnStatus::Null => "null",
            OnStatus::Done => "done",
            OnStatus::Fail => "fail",
            OnStatus::Retry => "retry",
        }
    }

    /// The inverse of [`OnStatus::as_str`].
    pub fn from_word(word: &str) -> Option<Self> {
        [OnStatus::Skip, OnStatus::Null, OnStatus::Done, OnStatus::Fail, OnStatus::Retry]
            .into_iter()
            .find(|a| a.as_str() == word)
    }
}
