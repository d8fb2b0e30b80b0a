//! `haul demo`: a run against services that fail, killed half-way, resumed, and held to the truth.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use haul_lab::generate::Pairs;
use haul_lab::{Lab, LabSpec, Service, Truth};

use crate::{exit, format, output};

/// Pairs of the demo.
const PAIRS: u64 = 20_000;
/// A demo that takes longer than this has gone wrong.
const PATIENCE: Duration = Duration::from_secs(120);

/// Arguments of `haul demo`.
#[derive(Args, Debug)]
pub struct DemoArgs {}

/// Runs the demo; [`exit::OPEN`] when something was lost or repeated.
pub fn run(_: &DemoArgs) -> u8 {
    match show() {
        Ok(true) => exit::DONE,
        Ok(false) => exit::OPEN,
        Err(reason) => {
            output::complain(&format!("the demo could not run: {reason}"));
            exit::NO_START
        }
    }
}

fn show() -> Result<bool, String> {
    let began = Instant::now();
    let spec = LabSpec::enrich().seed(7).all(|s| {
        s.error_rate = 0.05;
        s.reply_loss = 0.02;
        s.latency_ms = 20.0;
        s.gzip = true;
    });
    let lab = Lab::start(&spec).map_err(|e| e.to_string())?;
    // Removed when it goes out of scope, whatever happens.
    let dir = tempfile::tempdir().map_err(|e| format!("no temporary directory: {e}"))?;
    let input = dir.path().join("pairs.csv");
    let mut file = std::fs::File::create(&input).map_err(|e| format!("{}: {e}", input.display()))?;
    let pairs = Pairs { count: PAIRS, ..Pairs::default() };
    pairs.write_to(&mut file).map_err(|e| e.to_string())?;

    say("Three services on this machine: users, videos and an index. 5 % of all requests fail, 2 % of");
    say("replies are lost after they took effect, every reply takes 20 ms.");
    say("");
    say(&format!("1. {} pairs are looked up and indexed:", format::count(PAIRS)));
    say("");
    say(&typed(&lab));
    say("");
    let mut first = start(&lab, dir.path(), &["-q"])?;
    let indexed = wait_for(&lab, &mut first, PAIRS / 2)?;
    first.kill().map_err(|e| format!("kill: {e}"))?;
    first.wait().map_err(|e| format!("wait: {e}"))?;
    say(&format!("   … and killed with kill -9 after {} documents.", format::count(indexed)));
    say("");
    say("2. The same command again:");
    say("");
    let summary = finish(start(&lab, dir.path(), &[])?)?;
    for line in summary.lines() {
        say(&format!("   {line}"));
    }
    say("");
    let good = verdict(&lab);
    say(&format!("   All of it took {}.", format::span(began.elapsed().as_millis() as u64)));
    Ok(good)
}

/// The command as a person would type it.
fn typed(lab: &Lab) -> String {
    let line = lab.line("pairs.csv").unwrap_or_default();
    let wrapped = line.replace(" --", " \\\n       --");
    format!("   $ {}", wrapped.trim_end())
}

fn start(lab: &Lab, dir: &Path, flags: &[&str]) -> Result<Child, String> {
    let line = lab.line("pairs.csv").ok_or("the lab has no index")?;
    let program = std::env::current_exe().map_err(|e| e.to_string())?;
    Command::new(program)
        .args(line.split_whitespace().skip(1).map(|w| w.trim_matches('\'')))
        .args(["-j", "256"])
        .args(flags)
        .current_dir(dir)
        .env("XDG_STATE_HOME", dir.join("state"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("start haul: {e}"))
}

/// Waits until the index has accepted so many documents; how many it really has.
fn wait_for(lab: &Lab, child: &mut Child, documents: u64) -> Result<u64, String> {
    let began = Instant::now();
    loop {
        let accepted = truth(lab, Service::Index)?.accepted;
        if accepted >= documents {
            return Ok(accepted);
        }
        if let Some(status) = child.try_wait().map_err(|e| e.to_string())? {
            return Err(format!("haul ended early ({status})"));
        }
        if began.elapsed() > PATIENCE {
            return Err(format!("only {accepted} documents after {} s", PATIENCE.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits for the end; what it said, without progress lines.
fn finish(child: Child) -> Result<String, String> {
    let done = child.wait_with_output().map_err(|e| e.to_string())?;
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    if done.status.success() { Ok(said) } else { Err(format!("haul ended with {}: {said}", done.status)) }
}

fn truth(lab: &Lab, service: Service) -> Result<Truth, String> {
    lab.truth(service).ok_or_else(|| format!("the lab has no service {}", service.as_str()))
}

/// What the services saw; true when nothing was lost and nothing repeated.
fn verdict(lab: &Lab) -> bool {
    let Ok(index) = truth(lab, Service::Index) else { return false };
    let lookups = [Service::Users, Service::Videos].map(|s| lab.truth(s).map_or(0, |t| t.requests));
    let lost = PAIRS - index.unique.min(PAIRS);
    let n = format::count;
    say("3. The truth, as the services recorded it:");
    say("");
    say(&format!("   accepted    {:>7}   of {} pairs", n(index.unique), n(PAIRS)));
    say(&format!("   lost        {:>7}", n(lost)));
    say(&format!("   repeated    {:>7}   accepted under a second Idempotency-Key", n(index.repeated)));
    say(&format!("   altered     {:>7}   not byte for byte what was served", n(index.mismatched)));
    say(&format!(
        "   sent again  {:>7}   under the same Idempotency-Key: after lost replies, and after the kill",
        n(index.replayed)
    ));
    say(&format!("   lookups     {:>7}   requests for {} lookups", n(lookups[0] + lookups[1]), n(2 * PAIRS)));
    say("");
    lost == 0 && index.repeated == 0 && index.mismatched == 0
}

fn say(line: &str) {
    // A reader that went away does not end the demo: it still has to clean up.
    let _ = output::line(line);
}
