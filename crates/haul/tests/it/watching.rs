//! `haul watch` on a real terminal.

use std::num::NonZero;
use std::time::Duration;

use haul_lab::LabSpec;
use vt100::{Color, Parser, Screen};

use crate::enrich::Scene;
use crate::living::{status, until};
use crate::program::said;
use crate::runs::{slow, until_accepted};
use crate::terminal::Terminal;

fn size(n: u16) -> NonZero<u16> {
    NonZero::new(n).unwrap()
}

fn watch(scene: &Scene, more: &[(&str, &str)]) -> (Terminal, Parser) {
    let line = format!("exec {} watch night", env!("CARGO_BIN_EXE_haul"));
    let more = [&[("TERM", "xterm-256color")], more].concat();
    (Terminal::of(&scene.place, &line, &more), Parser::new(size(24), size(80), 0))
}

fn shows(words: &'static [&'static str]) -> impl Fn(&Screen) -> bool {
    |screen| {
        let text = screen.contents();
        words.iter().all(|w| text.contains(w))
    }
}

fn has_colours(screen: &Screen) -> bool {
    let cells = (0..24).flat_map(|row| (0..80).filter_map(move |column| screen.cell(row, column)));
    cells.into_iter().any(|cell| cell.fgcolor() != Color::Default || cell.bgcolor() != Color::Default)
}

#[test]
fn a_run_is_followed_and_steered_on_a_screen() {
    let spec = slow().only(haul_lab::Service::Videos, |s| {
        s.error_rate = 0.2;
        s.error_status = 400;
    });
    let scene = Scene::with(3000, spec);
    let child = scene.place.command(&scene.posting(&["-j4", "--rate=100/s", "--run=night"])).spawn().unwrap();
    until_accepted(&scene, 20);
    let (mut terminal, mut parser) = watch(&scene, &[("NO_COLOR", "")]);
    terminal.screen(&mut parser, shows(&["run night: working", "read ", "settled  most", "latency, median"]));
    terminal
        .screen(&mut parser, shows(&["service", "100.0/s", "failures", "e1 ", "log", "q close  p pause"]));
    assert!(has_colours(parser.screen()));
    terminal.types(b"p");
    terminal.screen(&mut parser, shows(&["paused since", "pause going on -> paused"]));
    until(&scene.place, "night", |s| s["state"] == "paused");
    terminal.types(b"r");
    terminal.screen(&mut parser, shows(&["run night: working", "paused -> going on"]));
    terminal.types(b"+");
    terminal.screen(&mut parser, shows(&["100/s -> 125/s", "125.0/s"]));
    // In the ledger with the next commit.
    until(&scene.place, "night", |s| {
        let changes = s["changes"].to_string();
        changes.contains("\"who\":\"ada (process ") && changes.contains("125/s")
    });
    terminal.types(b"q");
    terminal.screen(&mut parser, |screen| !screen.alternate_screen());
    assert_eq!(terminal.ended(), Some(0));
    assert_eq!(status(&scene.place, "night")["state"], "working", "it goes on");
    scene.place.haul(&["stop"]).ended(0);
    said(child.wait_with_output().unwrap()).ended(4);
}

#[test]
fn a_dead_run_is_shown_from_its_ledger_and_without_colours_where_they_are_not_wanted() {
    let scene = Scene::with(400, slow());
    let mut child = scene.place.command(&scene.posting(&["-j8", "--run=night"])).spawn().unwrap();
    until_accepted(&scene, 40);
    child.kill().unwrap();
    child.wait().unwrap();
    let (mut terminal, mut parser) = watch(&scene, &[("NO_COLOR", "1")]);
    terminal.screen(&mut parser, shows(&["run night: dead", "read ", " = done ", "log", "haul: run night"]));
    assert!(!has_colours(parser.screen()));
    // A key that a dead run does not hear.
    terminal.types(b"p");
    terminal.screen(&mut parser, shows(&["no process"]));
    terminal.types(b"\x03");
    assert_eq!(terminal.ended(), Some(0));
}

#[test]
fn a_dead_run_still_tells_who_leads_and_what_is_left() {
    let lab = crate::crawl::lab(0..200_000, |s| s.latency_ms = 10.0);
    let place = crate::program::Place::new();
    let more = ["--rate=100/s", "--run=night"].map(str::to_owned);
    let mut child =
        place.command(&[crate::crawl::args(&lab, "0..200000"), more.into()].concat()).spawn().unwrap();
    // Rows of the past come once a second.
    let patience = std::time::Instant::now() + Duration::from_secs(60);
    loop {
        let said = place.haul(&["status", "night", "--json"]).out;
        let status: serde_json::Value = serde_json::from_str(&said).unwrap_or_default();
        if status["counts"]["done"].as_u64() > Some(15_000) {
            break;
        }
        assert!(std::time::Instant::now() < patience, "{said}");
        std::thread::sleep(Duration::from_millis(100));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let line = format!("exec {} watch night", env!("CARGO_BIN_EXE_haul"));
    let mut terminal = Terminal::of(&place, &line, &[("TERM", "xterm-256color")]);
    let mut parser = Parser::new(size(24), size(80), 0);
    let words = ["run night: dead", "% settled", "more at the pace it had", "leading", "food_id: 1000"];
    terminal.screen(&mut parser, move |screen: &Screen| {
        let text = screen.contents();
        words.iter().all(|w| text.contains(w))
    });
    terminal.types(b"q");
    assert_eq!(terminal.ended(), Some(0));
}

/// Ticks of processor time that a process used.
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn watching_costs_next_to_nothing() {
    let scene = Scene::with(3000, slow());
    let mut child = scene.place.command(&scene.posting(&["-j2", "--run=night"])).spawn().unwrap();
    until_accepted(&scene, 20);
    let (mut terminal, mut parser) = watch(&scene, &[]);
    terminal.screen(&mut parser, shows(&["run night: working"]));
    let before = ticks(terminal.pid());
    std::thread::sleep(Duration::from_secs(4));
    let used = ticks(terminal.pid()) - before;
    terminal.screen(&mut parser, shows(&["run night: working"]));
    // A tick is 10 ms: 2 % of a core, for a program that was not optimised twice that.
    assert!(used <= 16, "{used} ticks in 4 s");
    terminal.types(b"q");
    assert_eq!(terminal.ended(), Some(0));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_screen_needs_a_terminal() {
    let scene = Scene::with(5, LabSpec::enrich());
    scene.run(&["--run=night"]).ended(0);
    scene.place.haul(&["watch"]).ended(64).told(&["watch needs a terminal; haul status"]);
}
