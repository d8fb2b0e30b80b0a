//! The only place that writes to standard output and standard error. Data goes to the first, all
//! else to the second. A reader that went away ends a view quietly and never harms a run.

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;

/// What went wrong with standard output, when it was not that nobody reads it any more.
static LOST: OnceLock<String> = OnceLock::new();

/// Writes data to standard output. `false`: it takes no more; unless nobody reads it any more, the
/// program ends with an error ([`lost`]).
pub fn data(bytes: &[u8]) -> bool {
    let mut out = io::stdout().lock();
    let written = out.write_all(bytes).and_then(|()| out.flush());
    if let Err(e) = &written
        && e.kind() != io::ErrorKind::BrokenPipe
    {
        let _ = LOST.set(e.to_string());
    }
    written.is_ok()
}

/// What went wrong with standard output, for the end of the program.
pub fn lost() -> Option<&'static str> {
    LOST.get().map(String::as_str)
}

/// Writes a line of data to standard output. `false`: nobody reads it any more.
pub fn line(text: &str) -> bool {
    let mut all = String::with_capacity(text.len() + 1);
    all.push_str(text);
    all.push('\n');
    data(all.as_bytes())
}

/// Tells a person something, on standard error; a closed one is ignored.
pub fn tell(text: &str) {
    let mut all = String::with_capacity(text.len() + 1);
    all.push_str(text.trim_end_matches('\n'));
    all.push('\n');
    // One write, so that lines of two processes do not mix. There is nowhere to report a failure to.
    let _ = io::stderr().lock().write_all(all.as_bytes());
}

/// Tells a person that something is wrong: `haul: …`.
pub fn complain(text: &str) {
    tell(&format!("haul: {text}"));
}

/// True when a person looks at standard error.
pub fn is_watched() -> bool {
    io::stderr().is_terminal()
}

/// True when standard input and output are a terminal, which can be taken for a screen.
pub fn is_screen() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// True when colours are welcome on the screen (<https://no-color.org>).
pub fn has_screen_colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// True when colours are welcome on standard error (<https://no-color.org>).
pub fn has_colour() -> bool {
    is_watched() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}
