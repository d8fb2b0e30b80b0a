//! How a run stands: asked of its process while it lives, read from its ledger when it does not.

use haul_core::Counts;
use haul_core::ledger::{Change, LedgerError};
use haul_engine::Snapshot;
use haul_engine::ledger::read::Groups;
use haul_engine::ledger::{Reader, RunInfo, RunState};
use haul_engine::rundir::{RunDir, Status, look};
use haul_engine::socket::{Ask, AskError, Reply, Request, ask};
use serde_json::{Value, json};

use crate::copied::Totals;
use crate::flags::RunQuery;
use crate::progress::{accounts_json, counts_json, lanes_json};
use crate::verbs::errors;
use crate::{exit, format, output, runs};

/// Changes by people that are shown.
const CHANGES: usize = 5;
/// Groups of failures that are shown.
const GROUPS: usize = 8;

/// See the module.
pub struct Standing {
    /// Its directory.
    pub dir: RunDir,
    /// Alive, dead, or how it ended.
    pub status: Status,
    /// What its ledger says of the run.
    pub info: Option<RunInfo>,
    /// As of now where it lives, else as of its last commit.
    pub counts: Counts,
    /// What its process says.
    pub live: Option<Box<Snapshot>>,
    /// What failed.
    pub groups: Groups,
    /// What people changed last.
    pub changes: Vec<Change>,
    /// What was copied.
    pub copied: Option<Totals>,
}

impl Standing {
    /// Looks at a run.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn of(dir: RunDir) -> Result<Self, LedgerError> {
        let reader = Reader::open(dir.path())?;
        let groups = reader.groups()?;
        let copied = Totals::read(&reader);
        Ok(Standing { copied, ..Standing::with(dir, &reader, groups)? })
    }

    /// Looks at a run whose ledger is open, and whose failures were grouped; not at what was copied.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn with(dir: RunDir, reader: &Reader, groups: Groups) -> Result<Self, LedgerError> {
        let changes = reader.changes(CHANGES)?;
        let mut counts = reader.counts()?;
        let listed = look(dir);
        let live = match &listed.status {
            // It may have ended since, or may not have begun to listen: the ledger says enough.
            Status::Alive(_) => {
                ask(&listed.dir, &Request::new(Ask::Status, "")).ok().and_then(|r| r.snapshot)
            }
            _ => None,
        };
        if let Some(now) = &live {
            counts = now.counts;
        } else if matches!(listed.status, Status::Dead) {
            // What was about to be sent when it was killed is in doubt, whoever looks first.
            let lost = reader.intents()?;
            counts.waiting -= lost.min(counts.waiting);
            counts.in_doubt += lost;
        }
        Ok(Standing {
            dir: listed.dir,
            status: listed.status,
            info: listed.info,
            counts,
            live,
            groups,
            changes,
            copied: None,
        })
    }

    /// For a program.
    pub fn json(&self) -> Value {
        let owner = match &self.status {
            Status::Alive(owner) => owner.as_ref(),
            _ => None,
        };
        let info = self.info.as_ref();
        let live = self.live.as_ref();
        json!({
            "run": self.dir.name(),
            "dir": self.dir.path().to_string_lossy(),
            "state": word(&self.status, live.is_some_and(|l| l.paused_since.is_some())),
            "process": owner.map(|o| json!({ "pid": o.pid, "host": o.host, "since_ms": o.since.0 })),
            "counts": counts_json(&self.counts),
            "created_ms": info.map(|i| i.created.0),
            "started_ms": info.and_then(|i| i.started).map(|t| t.0),
            "ended_ms": info.and_then(|i| i.ended).map(|t| t.0),
            "exit_status": info.and_then(|i| i.exit_status),
            "processes": info.map(|i| i.processes),
            "elapsed_ms": live.map(|l| l.elapsed_ms),
            "bytes_read": live.map(|l| l.bytes_read),
            "bytes_total": live.and_then(|l| l.bytes_total),
            "paused_since_ms": live.and_then(|l| l.paused_since).map(|t| t.0),
            "waiting_for": live.map(|l| l.waiting_for.clone()),
            "goal": live.map(|l| crate::summary::goal_json(l)),
            "memory": live.map(|l| json!({
                "held": l.memory.0, "peak": l.memory.1, "limit": l.memory_limit, "accounts": accounts_json(l),
            })),
            "lanes": live.map(|l| lanes_json(l)),
            "failures": self.groups.groups.iter().take(GROUPS).map(|g| json!({
                "id": g.id.to_string(), "outcome": g.why.as_str(), "count": g.count, "signature": g.signature,
            })).collect::<Vec<_>>(),
            "copied": self.copied.as_ref().map(Totals::json),
            "changes": self.changes.iter().map(change_json).collect::<Vec<_>>(),
        })
    }

    /// For a person.
    pub fn text(&self) -> String {
        let mut text = format!("run {}: {}\n", self.dir.name(), self.headline());
        text.push_str(&crate::summary::reconciliation(&self.counts));
        text.push('\n');
        text.push_str(&self.copied.as_ref().map(Totals::text).unwrap_or_default());
        if let Some(live) = &self.live {
            text.push_str(&live_lines(live));
        }
        for group in self.groups.groups.iter().take(GROUPS) {
            text.push_str(&format!("  {}\n", errors::head(group)));
        }
        for c in &self.changes {
            let at = format::clock(c.at);
            let (who, old, new) =
                (format::plain(&c.who, 40), format::plain(&c.old, 60), format::plain(&c.new, 200));
            text.push_str(&format!("  {at}  {who}: {} {old} -> {new}\n", c.what));
        }
        text.push_str(&self.next());
        text
    }

    /// How it is, in words.
    pub fn headline(&self) -> String {
        let ended = || {
            let at = self.info.as_ref().and_then(|i| i.ended);
            at.map_or(String::new(), |at| format!(" at {}", format::clock(at)))
        };
        match &self.status {
            Status::Alive(owner) => {
                let owner = owner.as_ref().map_or("a process".to_owned(), ToString::to_string);
                let paused = self.live.as_ref().and_then(|l| l.paused_since);
                match paused {
                    Some(at) => format!("paused since {}; driven by {owner}", format::clock(at)),
                    None => format!("working; driven by {owner}"),
                }
            }
            Status::Dead => "dead: its process was killed; as of its last commit".to_owned(),
            Status::Ended(RunState::Created) => "made, and never started".to_owned(),
            Status::Ended(RunState::Finished) if self.counts.has_open() => {
                format!("finished{}, with failures", ended())
            }
            Status::Ended(RunState::Finished) => format!("finished{}", ended()),
            Status::Ended(RunState::Stopped) => format!("stopped before the end{}", ended()),
            Status::Ended(_) => format!("could not go on{}", ended()),
            Status::Unreadable(reason) => reason.clone(),
        }
    }

    fn next(&self) -> String {
        let name = self.dir.name();
        match &self.status {
            Status::Alive(_) if self.live.as_ref().is_some_and(|l| l.paused_since.is_some()) => {
                format!("next: haul resume {name}\n")
            }
            Status::Alive(_) => format!("next: haul wait {name}, haul pause {name}, haul stop {name}\n"),
            Status::Ended(RunState::Finished) if self.counts.has_open() => {
                format!("next: haul errors {name}  (look), haul retry {name}  (try them again)\n")
            }
            Status::Ended(RunState::Finished) => "all done\n".to_owned(),
            Status::Unreadable(_) => String::new(),
            _ => format!("next: {}  (goes on where it was)\n", go_on(&self.dir)),
        }
    }
}

/// The command that goes on with a run, whatever it was begun with.
pub fn go_on(dir: &RunDir) -> String {
    let job = dir.job();
    let state = match dir.path().parent() {
        Some(parent) if parent != runs::state_dir(None).path() => format!(" --state {}", parent.display()),
        _ => String::new(),
    };
    format!("haul run {} --run {}{state}", job.display(), dir.name())
}

/// One word for how a run is.
pub fn word(status: &Status, paused: bool) -> &'static str {
    match status {
        Status::Alive(_) if paused => "paused",
        Status::Alive(_) => "working",
        Status::Dead => "dead",
        Status::Ended(state) => state.as_str(),
        Status::Unreadable(_) => "unreadable",
    }
}

fn live_lines(live: &Snapshot) -> String {
    let mut parts = vec![format::span(live.elapsed_ms)];
    if let Some(total) = live.bytes_total.filter(|t| *t > 0) {
        let percent = live.bytes_read.min(total) * 100 / total;
        parts.push(format!("{percent} % of {} read", format::bytes(total)));
    }
    if live.elapsed_ms >= 1000 {
        parts.push(format::rate(live.settled_now, live.elapsed_ms));
    }
    let in_flight: u32 = live.lanes.iter().map(|l| l.in_flight).sum();
    parts.push(format!("{} in work, {in_flight} requests in flight", format::count(live.in_work)));
    parts.push(format!("{} of {} held", format::bytes(live.memory.0), format::bytes(live.memory_limit)));
    let mut text = parts.join("  ") + "\n";
    if !live.lanes.is_empty() {
        text.push_str(&crate::summary::lane_table(&live.lanes));
    }
    text.push_str(&crate::summary::goal_line(live));
    for reason in &live.waiting_for {
        text.push_str(&format!("waiting: {reason}\n"));
    }
    text
}

fn change_json(c: &Change) -> Value {
    json!({ "at_ms": c.at.0, "who": c.who, "what": c.what, "old": c.old, "new": c.new })
}

/// Gives an order to the process of a run. What changed has been told; the exit status is given.
pub fn order(query: &RunQuery, request: &Request, nothing: &str) -> u8 {
    match query.find().and_then(|dir| tell(&dir, request).map(|reply| (dir, reply))) {
        Ok((dir, reply)) => {
            let changes = reply.changes.unwrap_or_default();
            for c in &changes {
                let (old, new) = (&c.old, &c.new);
                output::complain(&format!("run {}: {} {old} -> {new}", dir.name(), c.what));
            }
            if changes.is_empty() {
                output::complain(&format!("run {}: {nothing}", dir.name()));
            }
            exit::DONE
        }
        Err(status) => status,
    }
}

/// As [`order`], before anything is told of what changed.
pub fn tell(dir: &RunDir, request: &Request) -> Result<Reply, u8> {
    ask(dir, request).map_err(|e| {
        match (&e, look(dir.clone()).status) {
            (AskError::Deaf(_), Status::Alive(_)) => output::complain(&e.to_string()),
            (AskError::Deaf(name), _) => {
                output::complain(&format!("run {name}: no process drives it"));
                output::tell(&format!("  hint: {} goes on with it", go_on(dir)));
            }
            _ => output::complain(&e.to_string()),
        }
        match e {
            AskError::Refused(_) => exit::USAGE,
            _ => exit::NO_START,
        }
    })
}
