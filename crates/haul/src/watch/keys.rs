//! Keys, and the orders they stand for.

use haul_engine::rundir::{RunDir, Status, look};
use haul_engine::socket::{Ask, AskError, Request, ask};
use haul_engine::view::LaneView;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::runs;

/// What a person may press.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Key {
    /// Close the screen.
    Close,
    /// Send nothing more.
    Pause,
    /// Go on.
    Resume,
    /// A quarter faster.
    Faster,
    /// A fifth slower: what undoes [`Key::Faster`].
    Slower,
}

impl Key {
    /// The meaning of a key.
    pub fn of(key: KeyEvent) -> Option<Self> {
        Some(match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Key::Close,
            KeyCode::Char('q') | KeyCode::Esc => Key::Close,
            KeyCode::Char('p') => Key::Pause,
            KeyCode::Char('r') => Key::Resume,
            KeyCode::Char('+' | '=') => Key::Faster,
            KeyCode::Char('-') => Key::Slower,
            _ => return None,
        })
    }
}

/// Gives the order; what came of it is said.
pub fn obey(key: Key, dir: &RunDir, lanes: &[LaneView]) -> String {
    let mut request = Request::new(
        match key {
            Key::Pause => Ask::Pause,
            Key::Resume => Ask::Resume,
            _ => Ask::Tune,
        },
        runs::who(),
    );
    if let Some(up) = match key {
        Key::Faster => Some(true),
        Key::Slower => Some(false),
        _ => None,
    } {
        request.rates = rates(lanes, up);
        if request.rates.is_empty() {
            return "no service has a rate: haul tune --rate 100/s sets one".to_owned();
        }
    }
    match ask(dir, &request) {
        Ok(reply) => {
            let changes = reply.changes.unwrap_or_default();
            let said: Vec<String> =
                changes.iter().map(|c| format!("{} {} -> {}", c.what, c.old, c.new)).collect();
            if said.is_empty() { "nothing changed".to_owned() } else { said.join(", ") }
        }
        Err(AskError::Deaf(_)) if !matches!(look(dir.clone()).status, Status::Alive(_)) => {
            "no process drives it".to_owned()
        }
        Err(e) => e.to_string(),
    }
}

/// Other rates for the services that have one.
fn rates(lanes: &[LaneView], up: bool) -> Vec<(Option<String>, String)> {
    let other = |lane: &LaneView| {
        let rate = lane.rate?;
        Some((Some(lane.name.clone()), text(if up { rate * 1.25 } else { rate * 0.8 })))
    };
    lanes.iter().filter_map(other).collect()
}

/// A rate as people write it, in the unit that keeps it apart from the one before.
fn text(per_second: f64) -> String {
    match per_second {
        r if r >= 10.0 => format!("{}/s", r.round() as u64),
        r if r * 60.0 >= 10.0 => format!("{}/min", (r * 60.0).round() as u64),
        r => format!("{}/h", ((r * 3600.0).round() as u64).max(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_go_up_and_down_by_steps_that_undo_each_other() {
        let lane = |rate| LaneView { name: "h:1".to_owned(), rate, ..LaneView::default() };
        let of = |rate, up| rates(&[lane(Some(rate)), lane(None)], up)[0].1.clone();
        assert_eq!((of(100.0, true), of(125.0, false)), ("125/s".to_owned(), "100/s".to_owned()));
        assert_eq!((of(1.0, false), of(0.01, false)), ("48/min".to_owned(), "29/h".to_owned()));
        assert!(rates(&[lane(None)], true).is_empty());
    }
}
