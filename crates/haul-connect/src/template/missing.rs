//! What is said of a field that a record does not have.

use haul_core::{Record, limits};

use crate::expr::{Scanner, unescape};

/// Members that an error names at most.
const NAMES_SHOWN: usize = 8;

/// Why a value is missing; for that of a member, what the record has instead.
pub(super) fn missing(is_member: bool, record: &Record) -> String {
    if !is_member {
        return "is missing in the record".to_owned();
    }
    let names = member_names(record);
    let unnamed = names.first().is_some_and(|n| n == "c1");
    let shown = names[..names.len().min(NAMES_SHOWN)].join(", ");
    let more = if names.len() > NAMES_SHOWN { ", …" } else { "" };
    let hint = if unnamed { " (columns without names: say --columns NAME,…)" } else { "" };
    let mut text = format!("is missing: the record has {shown}{more}{hint}");
    if names.is_empty() {
        text = "is missing: the record is empty".to_owned();
    }
    if let Some((end, _)) = text.char_indices().nth(limits::MESSAGE_CHARS / 2) {
        text.truncate(end);
    }
    text
}

/// The first names of a record's members, its own and the attached.
fn member_names(record: &Record) -> Vec<String> {
    let mut names = Vec::new();
    let mut scan = Scanner::new(record.base());
    let mut own = || {
        scan.space();
        scan.take(b'{', "expected an object").ok()?;
        while names.len() <= NAMES_SHOWN {
            scan.space();
            if scan.peek() != Some(b'"') {
                break;
            }
            let start = scan.at + 1;
            scan.string().ok()?;
            let name = unescape(&scan.text()[start..scan.at - 1]);
            names.push(String::from_utf8_lossy(&name).into_owned());
            scan.space();
            scan.take(b':', "expected a colon").ok()?;
            scan.value(1).ok()?;
            scan.space();
            scan.take(b',', "expected a comma").ok()?;
        }
        Some(())
    };
    let _ = own();
    names.extend(record.members().map(|(name, _)| name.to_string()));
    names
}
