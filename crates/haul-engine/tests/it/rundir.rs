//! Run directories: made whole, locked, found again, kept.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use haul_core::UnixMs;
use haul_engine::ledger::{RunEnd, RunState, SqliteLedger};
use haul_engine::rundir::{
    Claimed, Index, Intended, RunDir, RunDirError, RunName, StateDir, Status, find, list,
};

fn name(text: &str) -> RunName {
    RunName::parse(text).unwrap()
}

fn intended<'a>(name: &'a RunName, identity: &'a str) -> Intended<'a> {
    Intended { name, identity, job: "haul = 1\n", version: "1", fresh: false }
}

fn claim(state: &StateDir, n: &str) -> Claimed {
    state.claim(&intended(&name(n), "00ff")).unwrap()
}

#[test]
fn a_run_directory_is_complete_and_private() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::within(dir.path());
    let c = claim(&state, "enrich-pairs-00ff");
    assert!(c.is_new);
    assert_eq!(c.dir.path(), dir.path().join(".haul/enrich-pairs-00ff"));
    assert_eq!(c.dir.job_text().unwrap(), "haul = 1\n");
    assert!(c.dir.spill().is_dir() && c.dir.out().is_dir() && c.dir.ledger().is_file());
    assert_eq!(fs::read_to_string(dir.path().join(".haul/.gitignore")).unwrap(), "*\n");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |p: &Path| fs::metadata(p).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(state.path()), 0o700);
        assert_eq!(mode(c.dir.path()), 0o700);
        assert_eq!(mode(&c.dir.job()), 0o600);
    }
    let leftovers: Vec<_> = fs::read_dir(state.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(leftovers.len(), 2, "{leftovers:?}");
}

#[test]
fn half_made_runs_of_dead_processes_are_swept_away() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::within(dir.path());
    drop(claim(&state, "a"));
    let hour = Duration::from_secs(3700);
    for (draft, age) in [(".new-1-aa", hour), (".new-2-bb", Duration::ZERO)] {
        let path = state.path().join(draft);
        fs::create_dir(&path).unwrap();
        fs::File::open(&path).unwrap().set_modified(std::time::SystemTime::now() - age).unwrap();
    }
    drop(claim(&state, "b"));
    assert!(!state.path().join(".new-1-aa").exists());
    assert!(state.path().join(".new-2-bb").exists(), "somebody may be making it");
    assert_eq!(state.runs().len(), 2);
}

#[test]
fn what_is_no_run_is_left_in_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::within(dir.path());
    drop(claim(&state, "a"));
    fs::remove_file(state.path().join("a/ledger.db")).unwrap();
    let e = state.claim(&intended(&name("a"), "00ff")).unwrap_err().to_string();
    assert!(e.contains("is in the way and holds no ledger: move it away"), "{e}");
    assert!(state.path().join("a/job.toml").exists());
}

#[test]
fn a_deleted_run_is_gone_with_all_it_had() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::within(dir.path());
    let c = claim(&state, "a");
    fs::write(c.dir.out().join("rows.jsonl"), "{}").unwrap();
    c.lock.delete().unwrap();
    assert!(state.runs().is_empty());
    assert_eq!(fs::read_dir(state.path()).unwrap().count(), 1, "only .gitignore is left");
    assert!(claim(&state, "a").is_new);
}

#[test]
fn the_same_command_takes_the_run_over() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::within(dir.path());
    let key = |c: &Claimed| SqliteLedger::open(&c.dir.ledger()).unwrap().run().unwrap().key;
    let first = claim(&state, "a");
    let made = key(&first);
    drop(first);
    let again = claim(&state, "a");
    assert!(!again.is_new);
    assert_eq!(key(&again), made);
}

#[test]
fn a_second_process_is_told_who_drives_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::within(dir.path());
    let c = claim(&state, "a");
    let start = Instant::now();
    let e = state.claim(&intended(&name("a"), "00ff")).unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(5));
    let text = e.to_string();
    let pid = std::process::id();
    assert!(text.starts_with(&format!("run a is driven by process {pid} since ")), "{text}");
    assert!(text.ends_with("(this host)"), "{text}");
    assert_eq!(c.dir.driven_by().unwrap().unwrap().pid, pid);
    // --fresh does not push a living process out either.
    let n = name("a");
    let e = state.claim(&Intended { fresh: true, ..intended(&n, "00ff") }).unwrap_err();
    assert!(matches!(e, RunDirError::Driven { .. }), "{e}");
    drop(c);
    assert!(state.get("a").unwrap().driven_by().is_none());
    claim(&state, "a");
}

#[test]
fn looking_at_a_run_does_not_keep_anybody_from_driving_it() {
    let dir = tempfile::tempdir().unwrap();
    let state = Arc::new(StateDir::within(dir.path()));
    drop(claim(&state, "a"));
    let looking = Arc::clone(&state);
    let until = Instant::now() + Duration::from_millis(400);
    let thread = std::thread::spawn(move || {
        while Instant::now() < until {
            looking.get("a").unwrap().driven_by();
        }
    });
    while Instant::now() < until {
        drop(claim(&state, "a"));
    }
    thread.join().unwrap();
}

#[test]
fn a_name_belongs_to_one_job() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::within(dir.path());
    drop(claim(&state, "nightly"));
    let e = state.claim(&intended(&name("nightly"), "11ee")).unwrap_err();
    let RunDirError::OtherIdentity { job, .. } = &e else { panic!("{e}") };
    assert!(job.ends_with("job.toml"));
    assert!(e.to_string().contains("--fresh"), "{e}");
}

#[test]
fn starting_over_keeps_the_old_run() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::within(dir.path());
    let n = name("a");
    drop(claim(&state, "a"));
    let mut kept = Vec::new();
    for _ in 0..3 {
        // Of another job, even.
        let c = state.claim(&Intended { fresh: true, ..intended(&n, "11ee") }).unwrap();
        assert!(c.is_new);
        kept.push(c.kept_as.unwrap());
    }
    assert!(kept[0].starts_with("a@20") && kept[0].len() == "a@2025-01-01".len(), "{kept:?}");
    assert_eq!((&kept[1], &kept[2]), (&format!("{}.2", kept[0]), &format!("{}.3", kept[0])));
    assert_eq!(state.runs().len(), 4);
    let old = find(&state, None, Some(&kept[1])).unwrap();
    assert_eq!(SqliteLedger::open(&old.ledger()).unwrap().run().unwrap().identity, "11ee");
    assert_eq!(find(&state, None, Some("a")).unwrap().name(), "a");
}

#[test]
fn many_processes_start_one_run_and_one_drives_it() {
    let dir = tempfile::tempdir().unwrap();
    let state = Arc::new(StateDir::within(dir.path()));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let state = Arc::clone(&state);
            std::thread::spawn(move || state.claim(&intended(&name("a"), "00ff")))
        })
        .collect();
    let all: Vec<_> = threads.into_iter().map(|t| t.join().unwrap()).collect();
    assert_eq!(all.iter().filter(|r| r.is_ok()).count(), 1);
    for e in all.iter().filter_map(|r| r.as_ref().err()) {
        assert!(matches!(e, RunDirError::Driven { .. } | RunDirError::Exists { .. }), "{e}");
    }
    let drafts = fs::read_dir(state.path())
        .unwrap()
        .filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().starts_with(".new"));
    assert_eq!(drafts.count(), 0);
}

#[test]
fn runs_are_found_by_name_prefix_or_as_the_latest() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::within(dir.path());
    assert!(matches!(find(&state, None, None), Err(RunDirError::NoRuns { .. })));
    for n in ["get-contents-aa", "enrich-pairs-bb", "enrich-pairs-bc"] {
        drop(claim(&state, n));
        std::thread::sleep(Duration::from_millis(15));
    }
    let found = |q| find(&state, None, q).map(|r: RunDir| r.name().to_owned());
    assert_eq!(found(Some("get")).unwrap(), "get-contents-aa");
    assert_eq!(found(Some("enrich-pairs-bc")).unwrap(), "enrich-pairs-bc");
    assert_eq!(found(None).unwrap(), "enrich-pairs-bc");
    let e = found(Some("enrich")).unwrap_err();
    assert_eq!(e.to_string(), "\"enrich\" may be enrich-pairs-bb, enrich-pairs-bc: say more of the name");
    let e = found(Some("copy")).unwrap_err().to_string();
    assert!(e.starts_with("no run \"copy\" in ") && e.ends_with("`haul runs` lists them"), "{e}");
    for escape in ["..", "../x", "/", "a/../get-contents-aa", ".hidden", ""] {
        assert!(state.get(escape).is_none(), "{escape:?}");
    }
    drop(claim(&state, "get-contents-aa"));
    assert_eq!(found(None).unwrap(), "get-contents-aa", "driven last");
}

#[test]
fn the_index_finds_runs_from_anywhere_and_forgets_deleted_ones() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let home = tempfile::tempdir().unwrap();
    let index = Index::at(home.path().join("state/runs"));
    assert!(index.runs().is_empty());
    let (state, other) = (StateDir::within(here.path()), StateDir::within(there.path()));
    for n in ["far", "gone", "both"] {
        index.add(&claim(&other, n).dir).unwrap();
    }
    let both = claim(&state, "both");
    index.add(&both.dir).unwrap();
    index.add(&both.dir).unwrap();
    assert_eq!(index.runs().len(), 4);
    assert_eq!(find(&state, Some(&index), Some("far")).unwrap().name(), "far");
    assert_eq!(find(&state, Some(&index), Some("both")).unwrap().path(), both.dir.path(), "ours comes first");
    fs::remove_dir_all(other.path().join("gone")).unwrap();
    assert_eq!(index.runs().len(), 3);
    assert_eq!(fs::read_dir(home.path().join("state/runs")).unwrap().count(), 3);
    // A disk that is not there now: nothing is forgotten.
    let away = there.path().join("away");
    fs::rename(other.path(), &away).unwrap();
    assert_eq!(index.runs().len(), 1);
    fs::rename(&away, other.path()).unwrap();
    assert_eq!(index.runs().len(), 3);
    // Rubbish in it does no harm.
    fs::write(home.path().join("state/runs/rubbish"), b"\xff\0not a path").unwrap();
    assert_eq!(index.runs().len(), 3);
}

#[test]
fn many_processes_write_the_index_at_once() {
    let (dir, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let state = Arc::new(StateDir::within(dir.path()));
    let index = Index::at(home.path().join("runs"));
    let threads: Vec<_> = (0..16)
        .map(|n| {
            let (state, index) = (Arc::clone(&state), index.clone());
            std::thread::spawn(move || index.add(&claim(&state, &format!("run{n}")).dir).unwrap())
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
    assert_eq!(index.runs().len(), 16);
    assert_eq!(list(&state, Some(&index)).len(), 16, "each once");
}

#[test]
fn an_index_that_cannot_be_written_is_an_error_to_warn_about() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("runs"), "a file").unwrap();
    let index = Index::at(dir.path().join("runs"));
    assert!(index.add(&claim(&StateDir::within(dir.path()), "a").dir).is_err());
    assert!(index.runs().is_empty());
}

#[test]
fn the_users_index_is_where_the_platform_keeps_state() {
    let of = |pairs: &'static [(&str, &str)]| {
        let var = |name: &str| pairs.iter().find(|p| p.0 == name).map(|p| p.1.into());
        Index::of_user(var).map(|i| format!("{i:?}"))
    };
    if cfg!(target_os = "linux") {
        assert_eq!(of(&[("HOME", "/home/ada")]).unwrap(), "Index(\"/home/ada/.local/state/haul/runs\")");
        let both: &[_] = &[("HOME", "/home/ada"), ("XDG_STATE_HOME", "/var/ada")];
        assert_eq!(of(both).unwrap(), "Index(\"/var/ada/haul/runs\")");
        assert_eq!(of(&[("XDG_STATE_HOME", "relative"), ("HOME", "")]), None);
    }
    assert_eq!(of(&[]), None);
}

#[test]
fn the_list_tells_who_lives_who_died_and_who_ended() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::within(dir.path());
    let _alive = claim(&state, "alive");
    for (n, end) in [("dead", None), ("ended", Some(RunState::Finished))] {
        let c = claim(&state, n);
        let mut ledger = SqliteLedger::open(&c.dir.ledger()).unwrap();
        ledger.start_run("1", UnixMs(1)).unwrap();
        if let Some(state) = end {
            ledger.end_run(&RunEnd { state, at: UnixMs(2), exit_status: 0, rss_peak: 0, cpu_ms: 0 }).unwrap();
        }
    }
    drop(claim(&state, "unreadable"));
    fs::write(state.path().join("unreadable/ledger.db"), "rubbish").unwrap();
    let mut told: Vec<_> =
        list(&state, None).into_iter().map(|l| (l.dir.name().to_owned(), l.status)).collect();
    told.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(matches!(&told[0], (n, Status::Alive(Some(o))) if n == "alive" && o.pid == std::process::id()));
    assert_eq!(told[1], ("dead".to_owned(), Status::Dead));
    assert_eq!(told[2], ("ended".to_owned(), Status::Ended(RunState::Finished)));
    assert!(matches!(&told[3].1, Status::Unreadable(e) if e.contains("damaged")), "{:?}", told[3]);
}

#[test]
fn a_thousand_runs_are_listed_quickly() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::within(dir.path());
    let first = claim(&state, "run0").dir;
    for n in 1..1000 {
        let to = state.path().join(format!("run{n}"));
        fs::create_dir(&to).unwrap();
        for file in ["job.toml", "ledger.db", "lock"] {
            fs::copy(first.path().join(file), to.join(file)).unwrap();
        }
    }
    let start = Instant::now();
    let listed = list(&state, None);
    assert_eq!(listed.len(), 1000);
    assert!(listed.iter().all(|l| l.status == Status::Ended(RunState::Created)));
    let took = start.elapsed();
    // 0.1 s on a quiet machine with an optimised build; tests run beside others and are not.
    assert!(took < Duration::from_secs(5), "{took:?}");
}
