//! References to secrets. The value never enters a job, ledger, log, error, report or argv: it is
//! resolved at use.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where the value of a secret comes from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SecretFrom {
    /// An environment variable.
    Env(String),
    /// The contents of a file, without a final newline.
    File(String),
    /// Standard output of a shell command, without a final newline.
    Command(String),
}

/// A secret and how it is sent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SecretSpec {
    /// Header it is sent in.
    pub header: String,
    /// Where the value comes from.
    pub from: SecretFrom,
    /// How it is written; `{}` stands for the value.
    pub format: String,
}

/// The resolved value of a secret. Printing it shows `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretValue(String);

impl SecretValue {
    /// Wraps a value.
    pub fn new(value: String) -> Self {
        SecretValue(value)
    }

    /// The value, for the one place that writes it into a request.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
