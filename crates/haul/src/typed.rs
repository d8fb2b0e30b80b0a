//! The command line as it could be typed again.

use crate::drive::INNER;

/// The words of this process, the program's own name first.
pub fn words() -> Vec<String> {
    let mut words = std::env::args_os().filter(|w| w != INNER).map(|w| w.to_string_lossy().into_owned());
    let program =
        words.next().map_or("haul".to_owned(), |p| p.rsplit('/').next().unwrap_or("haul").to_owned());
    std::iter::once(program).chain(words).collect()
}

/// This command.
pub fn again() -> String {
    line(&words())
}

/// Words as a line for a shell.
pub fn line(words: &[String]) -> String {
    words.iter().map(|w| quoted(w)).collect::<Vec<_>>().join(" ")
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_back_by_a_shell() {
        let words = ["haul", "a b", "", "it's", "{id}", "x=1"].map(str::to_owned);
        assert_eq!(line(&words), r"haul 'a b' '' 'it'\''s' '{id}' x=1");
    }
}
