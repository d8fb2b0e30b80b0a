//! How a look is laid out: right in 80 × 24, better in more. Colours only where they are welcome; what they
//! say is said in words as well.

use std::collections::VecDeque;
use std::time::SystemTime;

use haul_core::ledger::TickRow;
use haul_engine::Snapshot;
use haul_engine::rundir::Status;
use haul_engine::view::{LaneView, Leading};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Sparkline};

use super::look::Look;
use super::past::Past;
use super::plot::{self, Of};
use crate::verbs::errors;
use crate::{format, output, standing, summary};

/// Lines of the plots.
const PLOT: u16 = 4;
/// Services, groups and notes that are shown where there is room for all.
const ROWS: usize = 12;
/// Rows that tell how fast it goes.
const PACE_ROWS: usize = 30;
/// Columns of the smallest screen that everything fits on.
const WIDE: u16 = 60;

/// Everything a frame needs, as of the last look.
pub struct Screen {
    colours: bool,
    said: String,
    shown: Option<Shown>,
}

/// A look in words.
struct Shown {
    /// Which run and how it is, and the line that adds up.
    head: [String; 2],
    /// What the word for its state means: good, bad, or neither.
    mood: Color,
    share: Option<f64>,
    settled: Series,
    latency: Series,
    now: String,
    lanes: Vec<LaneView>,
    services: Vec<String>,
    failures: Vec<String>,
    leading: Vec<String>,
    log: Vec<String>,
    alive: bool,
}

/// A plot: its title, and its rows oldest first.
#[derive(Default)]
struct Series {
    title: String,
    ticks: VecDeque<TickRow>,
    until_ms: i64,
}

impl Screen {
    /// Nothing yet.
    pub fn new() -> Self {
        Screen { colours: output::has_screen_colour(), said: String::new(), shown: None }
    }

    /// What was looked at last.
    pub fn set(&mut self, look: Look<'_>) {
        self.shown = Some(Shown::of(look));
    }

    /// The services of the run's process.
    pub fn lanes(&self) -> &[LaneView] {
        self.shown.as_ref().map_or(&[], |s| &s.lanes)
    }

    /// What came of a key.
    pub fn say(&mut self, said: String) {
        self.said = said;
    }

    /// Draws it.
    pub fn draw(&self, frame: &mut Frame<'_>) {
        let Some(shown) = &self.shown else { return };
        let area = frame.area();
        let [head, plots, now, rest, keys] = Layout::vertical([
            Constraint::Length(4),
            Constraint::Length(PLOT + 1),
            Constraint::Length(1),
            Constraint::Min(0),
            Constraint::Length(1),
        ])
        .areas(area);
        self.head(frame, head, shown);
        self.plots(frame, plots, shown);
        self.text(frame, now, &[(shown.now.clone(), Style::new())]);
        self.lists(frame, rest, shown);
        let keys_line = match shown.alive {
            true => "q close  p pause  r resume  + - rate   the run goes on without this screen",
            false => "q close",
        };
        let said = if self.said.is_empty() { keys_line.to_owned() } else { self.said.clone() };
        self.text(frame, keys, &[(said, Style::new().add_modifier(Modifier::REVERSED))]);
    }

    fn colour(&self, colour: Color) -> Style {
        if self.colours { Style::new().fg(colour) } else { Style::new() }
    }

    fn text(&self, frame: &mut Frame<'_>, area: Rect, lines: &[(String, Style)]) {
        let lines: Vec<Line<'_>> = lines
            .iter()
            .take(area.height.into())
            .map(|(text, style)| {
                let fits = text.chars().count() <= area.width.into();
                // Room for the sign that something is cut off.
                let width = area.width.saturating_sub(u16::from(!fits));
                Line::styled(format::plain(text, width.into()), *style)
            })
            .collect();
        frame.render_widget(Paragraph::new(lines), area);
    }

    fn head(&self, frame: &mut Frame<'_>, area: Rect, shown: &Shown) {
        let bold = Style::new().add_modifier(Modifier::BOLD);
        let [first, bar, rest] =
            Layout::vertical([Constraint::Length(1), Constraint::Length(1), Constraint::Min(0)]).areas(area);
        self.text(frame, first, &[(shown.head[0].clone(), bold.patch(self.colour(shown.mood)))]);
        let share = shown.share.unwrap_or(0.0).clamp(0.0, 1.0);
        let label = shown.share.map_or(String::new(), |s| format!(" {:>3} %", (s * 100.0) as u64));
        let width = usize::from(bar.width).saturating_sub(label.len());
        let full = (share * width as f64) as usize;
        let spans = vec![
            Span::styled("━".repeat(full), self.colour(Color::Green)),
            Span::raw("─".repeat(width - full)),
            Span::raw(label),
        ];
        frame.render_widget(Paragraph::new(Line::from(spans)), bar);
        let (sum, more) = broken(&shown.head[1], area.width.into());
        self.text(frame, rest, &[(sum.to_owned(), Style::new()), (more, Style::new())]);
    }

    fn plots(&self, frame: &mut Frame<'_>, area: Rect, shown: &Shown) {
        let sides = if area.width >= WIDE { 2 } else { 1 };
        let areas = Layout::horizontal(vec![Constraint::Fill(1); sides]).spacing(2).split(area);
        let both = [(&shown.settled, Of::Settled, Color::Cyan), (&shown.latency, Of::Latency, Color::Yellow)];
        for (area, (series, of, colour)) in areas.iter().zip(both) {
            let [title, bars] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(*area);
            let (values, step) = plot::values(&series.ticks, of, bars.width.into(), series.until_ms);
            let most = values.iter().max().copied().unwrap_or(0);
            let peak = match of {
                Of::Settled => format!("{}/s", format::count(most)),
                Of::Latency => format::micros(most),
            };
            let each = if step > 1000 { format!(", a bar {}", format::span(step)) } else { String::new() };
            let title_of = match values.is_empty() {
                true => format!("{}  nothing yet", series.title),
                false => format!("{}  most {peak}{each}", series.title),
            };
            self.text(frame, title, &[(title_of, Style::new())]);
            let bars_of = Sparkline::default().data(&values).max(most.max(1)).style(self.colour(colour));
            frame.render_widget(bars_of, bars);
        }
    }

    /// Services, failures and log share what room is left; the log takes what the others do not need.
    fn lists(&self, frame: &mut Frame<'_>, area: Rect, shown: &Shown) {
        let bold = Style::new().add_modifier(Modifier::BOLD);
        let mut room = usize::from(area.height);
        let mut lines: Vec<(String, Style)> = Vec::new();
        for (title, rows, colour) in [
            ("", &shown.services, Color::Reset),
            ("failures", &shown.failures, Color::Red),
            ("leading", &shown.leading, Color::Reset),
        ] {
            // What comes below keeps three lines.
            let fits = rows.len().min(room.saturating_sub(4));
            if fits == 0 {
                continue;
            }
            if !title.is_empty() {
                lines.push((title.to_owned(), bold));
            }
            let style =
                if self.colours && colour != Color::Reset { Style::new().fg(colour) } else { Style::new() };
            lines.extend(rows.iter().take(fits).map(|r| (r.clone(), style)));
            room = usize::from(area.height).saturating_sub(lines.len());
        }
        if room >= 2 && !shown.log.is_empty() {
            lines.push(("log".to_owned(), bold));
            let skip = shown.log.len().saturating_sub(room - 1);
            lines.extend(shown.log.iter().skip(skip).map(|l| (l.clone(), Style::new())));
        }
        self.text(frame, area, &lines);
    }
}

impl Shown {
    fn of(look: Look<'_>) -> Self {
        let Look { standing, ticks, past, notes, log } = look;
        let live = standing.live.as_deref();
        let share = share(&standing, past);
        let eta = share.and_then(|share| eta(share, standing.counts.settled(), ticks));
        let alive = matches!(standing.status, Status::Alive(_));
        let until_ms = match (alive, ticks.back()) {
            (false, Some(last)) => last.at.0,
            _ => now_ms(),
        };
        let series = |title: &str| Series { title: title.to_owned(), ticks: ticks.clone(), until_ms };
        let mut services = live.map_or_else(Vec::new, |l| lines(&summary::lane_table(&l.lanes)));
        services.truncate(ROWS);
        services.extend(notes.iter().map(|n| {
            let value =
                if n.value.fract() == 0.0 { format!("{}", n.value) } else { format!("{:.1}", n.value) };
            format!("  {} {} {} {value}: {}", format::clock(n.at), n.lane, n.what, n.reason)
        }));
        services.extend(live.iter().flat_map(|l| &l.waiting_for).map(|w| format!("waiting: {w}")));
        let failures = standing.groups.groups.iter().take(ROWS).map(errors::head).collect();
        Shown {
            head: [
                format!("run {}: {}", standing.dir.name(), standing.headline()),
                summary::reconciliation(&standing.counts),
            ],
            mood: mood(&standing),
            share,
            settled: series("settled"),
            latency: series("latency, median"),
            now: live.map_or_else(|| rest_line(share, eta), |live| now_line(live, eta)),
            lanes: live.map_or_else(Vec::new, |l| l.lanes.clone()),
            services,
            failures,
            leading: live.map(|l| &l.leading).or(past.map(|p| &p.leading)).map_or_else(Vec::new, leading),
            log: log.iter().map(|l| short(l)).collect(),
            alive,
        }
    }
}

/// What is most common so far.
fn leading(all: &Leading) -> Vec<String> {
    let some = all.iter().filter(|(_, values)| !values.is_empty());
    some.map(|(name, values)| {
        let values: Vec<String> = values.iter().map(|(v, n)| format!("{v} {}", format::count(*n))).collect();
        format!("  {name}: {}", values.join(", "))
    })
    .collect()
}

/// A sum in two lines, where it is too long for one.
fn broken(text: &str, width: usize) -> (&str, String) {
    if text.chars().count() <= width {
        return (text, String::new());
    }
    let at = text.char_indices().take(width).filter(|(i, _)| text[*i..].starts_with(" + ")).last();
    let (first, rest) = text.split_at(at.map_or(text.len(), |(i, _)| i));
    (first, format!("    {rest}"))
}

/// A line of the log without the date of its time.
fn short(line: &str) -> String {
    match (line.get(10..11), line.get(11..19), line.get(24..)) {
        (Some("T"), Some(time), Some(rest)) => format!("{time}Z{rest}"),
        _ => line.to_owned(),
    }
}

/// How far its process is, and what it holds.
fn now_line(live: &Snapshot, eta: Option<u64>) -> String {
    let mut parts = vec![format::span(live.elapsed_ms)];
    if let Some(total) = live.bytes_total.filter(|t| *t > 0) {
        parts.push(format!("{} % read", live.bytes_read.min(total) * 100 / total));
    }
    parts.push(format::rate(live.settled_now, live.elapsed_ms.max(1)));
    parts.extend(eta.map(|ms| format!("ETA {}", format::span(ms))));
    let in_flight: u32 = live.lanes.iter().map(|l| l.in_flight).sum();
    // Pages that are only read have no items in work.
    if live.in_work > 0 || in_flight == 0 {
        parts.push(format!("{} in work", format::count(live.in_work)));
    }
    parts.push(format!("{in_flight} in flight"));
    if live.parked > 0 {
        parts.push(format!("{} waiting", format::count(live.parked)));
    }
    parts.push(format!("{} held", format::bytes(live.memory.0)));
    parts.join("  ")
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

fn mood(standing: &standing::Standing) -> Color {
    match &standing.status {
        Status::Alive(_) => Color::Green,
        Status::Dead | Status::Unreadable(_) => Color::Red,
        Status::Ended(_) if standing.counts.has_open() => Color::Yellow,
        Status::Ended(_) => Color::Green,
    }
}

/// What is left of a run that nobody drives.
fn rest_line(share: Option<f64>, eta: Option<u64>) -> String {
    match (share, eta) {
        (Some(share), Some(ms)) if share < 1.0 => {
            format!("{} % settled  {} more at the pace it had", (share * 100.0) as u64, format::span(ms))
        }
        _ => String::new(),
    }
}

/// How much of the input is settled, where that is known.
fn share(standing: &standing::Standing, past: Option<&Past>) -> Option<f64> {
    use haul_engine::ledger::RunState;
    match (&standing.live, &standing.status) {
        (Some(live), _) => crate::progress::share(live),
        (None, Status::Ended(RunState::Finished)) => Some(1.0),
        _ => {
            let counts = &standing.counts;
            Some(past?.read? * counts.settled() as f64 / counts.read().max(1) as f64)
        }
    }
}

/// Milliseconds that the rest takes at the pace of the last rows.
fn eta(share: f64, settled: u64, ticks: &VecDeque<TickRow>) -> Option<u64> {
    let lately = || ticks.iter().rev().take(PACE_ROWS);
    let (items, ms) = lately().fold((0, 0), |(n, ms), t| (n + t.settled, ms + u64::from(t.span_ms)));
    if !(share > 0.0 && share < 1.0) || items == 0 {
        return None;
    }
    let rest = settled as f64 / share - settled as f64;
    Some((rest * ms as f64 / items as f64) as u64)
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_told_at_the_pace_of_late() {
        let row = |settled| TickRow { settled, span_ms: 1000, ..TickRow::default() };
        let ticks: VecDeque<TickRow> = [row(10), row(30)].into();
        assert_eq!(eta(0.25, 100, &ticks), Some(15_000));
        assert_eq!((eta(1.0, 100, &ticks), eta(0.5, 100, &VecDeque::new())), (None, None));
        assert_eq!(rest_line(Some(0.25), Some(15_000)), "25 % settled  15 s more at the pace it had");
        assert_eq!(rest_line(Some(1.0), None), "");
    }

    #[test]
    fn sums_are_broken_between_their_terms() {
        let sum = "read 10 = done 4 + skipped 0 + failed 6";
        assert_eq!(broken(sum, 80), (sum, String::new()));
        assert_eq!(broken(sum, 30), ("read 10 = done 4 + skipped 0", "     + failed 6".to_owned()));
    }

    #[test]
    fn the_log_is_shown_without_dates() {
        assert_eq!(short("2026-11-21T18:03:47.218Z haul: run a"), "18:03:47Z haul: run a");
        assert_eq!(short("{\"time\":\"2026\"}"), "{\"time\":\"2026\"}");
    }
}
