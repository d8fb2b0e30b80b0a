//! The screen of `haul watch`. It looks once a second, and gives orders over the control socket like any
//! other command: closing it changes nothing.

mod keys;
mod look;
mod past;
mod plot;
mod screen;

use std::io::stdout;
use std::time::{Duration, Instant};

use haul_engine::rundir::RunDir;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::crossterm::{cursor, execute};

use keys::Key;
use look::Looker;
use screen::Screen;

/// How often it looks.
const LOOK: Duration = Duration::from_secs(1);

/// Shows a run until `q` is pressed.
///
/// # Errors
/// A sentence: the ledger or the terminal cannot be used.
pub fn show(dir: RunDir) -> Result<(), String> {
    let mut looker = Looker::new(dir).map_err(|e| e.to_string())?;
    let _raw = Raw::enter().map_err(|e| format!("the terminal cannot be used: {e}"))?;
    let shown = follow(&mut looker);
    drop(_raw);
    shown
}

fn follow(looker: &mut Looker) -> Result<(), String> {
    let told = |e: std::io::Error| format!("the terminal cannot be used: {e}");
    let mut terminal = Terminal::new(CrosstermBackend::new(stdout())).map_err(told)?;
    let mut screen = Screen::new();
    let mut next = Instant::now();
    loop {
        if Instant::now() >= next {
            let look = looker.look().map_err(|e| e.to_string())?;
            screen.set(look);
            next = Instant::now() + LOOK;
            terminal.draw(|frame| screen.draw(frame)).map_err(told)?;
        }
        if !event::poll(next.saturating_duration_since(Instant::now())).map_err(told)? {
            continue;
        }
        match event::read().map_err(told)? {
            Event::Key(key) if key.kind != KeyEventKind::Release => match Key::of(key) {
                Some(Key::Close) => return Ok(()),
                Some(key) => {
                    let said = keys::obey(key, looker.dir(), screen.lanes());
                    screen.say(said);
                    next = Instant::now();
                }
                None => {}
            },
            Event::Resize(..) => next = Instant::now(),
            _ => {}
        }
    }
}

/// The terminal as a screen takes it; as it was when this is dropped.
struct Raw;

impl Raw {
    fn enter() -> std::io::Result<Self> {
        enable_raw_mode()?;
        // From here on it is put back, whatever happens.
        let raw = Raw;
        execute!(stdout(), EnterAlternateScreen, cursor::Hide)?;
        Ok(raw)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // There is nobody left to tell.
        let _ = execute!(stdout(), LeaveAlternateScreen, cursor::Show);
        let _ = disable_raw_mode();
    }
}
