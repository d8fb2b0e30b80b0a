//! The crash suite of the whole program: killed at random, and the power cut, again and again. The
//! services remember what really happened to them.
//!
//! `HAUL_CRASH_CYCLES` says how many cycles each test makes (default 8).

use std::collections::HashMap;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::Duration;

use haul_lab::generate::Pairs;
use haul_lab::{Lab, LabSpec, Service};

use crate::powercut::PowerCut;
use crate::program::Place;

/// Items read and not committed that one crash may repeat.
const WINDOW: u64 = 4096;
/// Pairs that a cycle gets through, at the most.
const PAIRS_A_CYCLE: u64 = 700;

fn cycles() -> u64 {
    std::env::var("HAUL_CRASH_CYCLES").ok().and_then(|n| n.parse().ok()).unwrap_or(8)
}

struct Scene {
    lab: Lab,
    place: Place,
    pairs: u64,
}

impl Scene {
    fn new(pairs: u64) -> Self {
        let spec = LabSpec::enrich().seed(11).all(|s| {
            s.error_rate = 0.05;
            s.reply_loss = 0.02;
            s.latency_ms = 10.0;
            s.jitter_ms = 5.0;
            s.gzip = true;
        });
        let lab = Lab::start(&spec).unwrap();
        let place = Place::new();
        std::fs::create_dir(place.file("work")).unwrap();
        let mut file = std::fs::File::create(place.file("pairs.csv")).unwrap();
        Pairs { count: pairs, seed: 5, ..Pairs::default() }.write_to(&mut file).unwrap();
        Scene { lab, place, pairs }
    }

    /// `haul enrich` with both lookups, and these flags; its state is in `work/`.
    fn args(&self, flags: &[String]) -> Vec<String> {
        let (users, videos) = (self.lab.url(Service::Users), self.lab.url(Service::Videos));
        let base = [
            "enrich".into(),
            self.place.file("pairs.csv").display().to_string(),
            format!("--lookup=user={users}/users/{{user_id}}"),
            "--take=user=.data | {id, fullName}".into(),
            format!("--lookup=video={videos}/videos/{{video_id}}"),
            "--take=video=.data".into(),
            "--columns=user_id:int,video_id:int".into(),
            "--state=work/state".into(),
            "-j64".into(),
            "-q".into(),
        ];
        base.into_iter().chain(flags.iter().cloned()).collect()
    }

    fn post(&self) -> Vec<String> {
        self.args(&[format!("--post={}/index", self.lab.url(Service::Index)), "--expect=201".into()])
    }

    fn write(&self) -> Vec<String> {
        let out = self.place.file("work").join("out.jsonl");
        self.args(&[format!("--to={}", out.display()), "--row={user_id, video_id, user: .user.id}".into()])
    }

    /// Starts and kills the program until it has been killed so often, or is done. How often it was.
    fn kill_again_and_again(&self, args: &[String], cycles: u64) -> u64 {
        let mut rng = fastrand::Rng::with_seed(3);
        let mut killed = 0;
        for _ in 0..cycles {
            let mut child = self.place.command(args).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(rng.u64(20..300)));
            child.kill().unwrap();
            let done = child.wait_with_output().unwrap();
            match done.status.signal() {
                Some(_) => killed += 1,
                None => assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr)),
            }
        }
        killed
    }

    fn finish(&self, args: &[String]) {
        let said = self.place.haul(args);
        assert_eq!(said.status, 0, "{}", said.err);
    }

    /// Every pair indexed, none under two keys, and no more sent again than crashes and lost replies
    /// explain.
    fn check_index(&self, crashes: u64) {
        let index = self.lab.truth(Service::Index).unwrap();
        assert_eq!((index.unique, index.repeated), (self.pairs, 0), "{index:?}");
        assert_eq!((index.mismatched, index.keyless, index.conflicts), (0, 0, 0), "{index:?}");
        let explained = index.reply_lost + crashes * WINDOW;
        assert!(index.replayed <= explained, "{} sent again, {explained} explained", index.replayed);
    }

    /// Each pair stands in the output exactly once, as a whole row.
    fn check_output(&self) {
        let out = std::fs::read_to_string(self.place.file("work/out.jsonl")).unwrap();
        let mut rows: HashMap<(u64, u64), u64> = HashMap::new();
        for line in out.lines() {
            let row: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"));
            let id = |name| row[name].as_u64().unwrap();
            assert_eq!(row["user"], row["user_id"], "{line}");
            *rows.entry((id("user_id"), id("video_id"))).or_default() += 1;
        }
        assert_eq!(rows.len() as u64, self.pairs);
        assert!(rows.values().all(|n| *n == 1), "rows are repeated");
    }
}

#[test]
fn killed_at_random_every_pair_is_indexed_under_one_key() {
    let scene = Scene::new(cycles() * PAIRS_A_CYCLE);
    let args = scene.post();
    let killed = scene.kill_again_and_again(&args, cycles());
    assert!(killed >= cycles() / 2, "only {killed} kills came before the end");
    scene.finish(&args);
    scene.check_index(killed);
}

#[test]
fn killed_at_random_every_pair_of_a_batch_is_indexed_under_one_key() {
    let scene = Scene::new(cycles() * PAIRS_A_CYCLE);
    let job = crate::batch::job(&scene.lab, crate::batch::BULK);
    scene.place.write("job.toml", job);
    let args: Vec<String> = ["run", "job.toml", "--state=work/state", "-j16", "-q"].map(str::to_owned).into();
    let killed = scene.kill_again_and_again(&args, cycles());
    assert!(killed >= cycles() / 2, "only {killed} kills came before the end");
    scene.finish(&args);
    let index = scene.lab.truth(Service::Index).unwrap();
    assert_eq!((index.unique, index.repeated), (scene.pairs, 0), "{index:?}");
    assert_eq!((index.mismatched, index.keyless, index.conflicts), (0, 0, 0), "{index:?}");
}

#[test]
fn killed_at_random_each_row_is_written_once() {
    let scene = Scene::new(cycles() * PAIRS_A_CYCLE);
    let args = scene.write();
    let killed = scene.kill_again_and_again(&args, cycles());
    assert!(killed >= cycles() / 2, "only {killed} kills came before the end");
    scene.finish(&args);
    scene.check_output();
}

/// Cuts the power again and again, each time after `most` writes and syncs at the latest, and looks at what is left; how
/// often.
fn cut_again_and_again(place: &Place, args: &[String], most: u64, look: impl Fn()) -> u64 {
    let mut rng = fastrand::Rng::with_seed(17);
    let mut cuts = 0;
    for seed in 0..cycles() {
        // Anew each time: `look` may change what is there.
        let mut power = PowerCut::new(&place.file("work"));
        // Anything from the making of the run directory to some dozens of commits.
        let records = if seed % 4 == 0 { rng.u64(1..most / 15) } else { rng.u64(most / 15..most) };
        power.kill_after(records);
        let child = power.watch(&mut place.command(args)).spawn().unwrap();
        let done = child.wait_with_output().unwrap();
        if done.status.signal().is_none() {
            assert!(done.status.success(), "cycle {seed}: {}", String::from_utf8_lossy(&done.stderr));
            break;
        }
        power.verify().unwrap();
        power.cut(seed);
        look();
        cuts += 1;
    }
    cuts
}

#[test]
fn after_power_cuts_every_pair_is_indexed_under_one_key() {
    let scene = Scene::new(cycles() * PAIRS_A_CYCLE);
    let args = scene.post();
    let cuts = cut_again_and_again(&scene.place, &args, 900, || ());
    assert!(cuts >= cycles() / 2, "only {cuts} power cuts came before the end");
    scene.finish(&args);
    scene.check_index(cuts);
}

#[test]
fn after_power_cuts_each_row_is_written_once() {
    let scene = Scene::new(cycles() * PAIRS_A_CYCLE);
    let args = scene.write();
    let cuts = cut_again_and_again(&scene.place, &args, 900, || ());
    assert!(cuts >= cycles() / 2, "only {cuts} power cuts came before the end");
    scene.finish(&args);
    scene.check_output();
}

/// A crawl whose counts, and whose rows, are known exactly; the services fail now and then.
struct Crawling {
    lab: Lab,
    place: Place,
    args: Vec<String>,
}

impl Crawling {
    fn new() -> Self {
        let range = 0..cycles() * 12_000;
        let lab = crate::crawl::lab(range.clone(), |s| {
            s.error_rate = 0.02;
            s.drop_rate = 0.01;
            s.latency_ms = 20.0;
            s.jitter_ms = 10.0;
        });
        let place = Place::new();
        std::fs::create_dir(place.file("work")).unwrap();
        let mut args = crate::crawl::args(&lab, &format!("{}..{}", range.start, range.end));
        let more = ["--to=work/out.jsonl", "--row={id}", "--state=work/state", "--rate=400/s", "-j64", "-q"];
        args.extend(more.map(str::to_owned));
        Crawling { lab, place, args }
    }

    /// Runs it to its end: every record counted once and written once.
    fn finish(&self) {
        let said = self.place.haul(&self.args);
        assert_eq!(said.status, 0, "{}", said.err);
        crate::crawl::check(&self.lab, &said.out);
        let out = self.place.read("work/out.jsonl");
        let rows: std::collections::HashSet<&str> = out.lines().collect();
        let records = self.lab.pages_truth().records;
        assert_eq!((rows.len() as u64, out.lines().count() as u64), (records, records));
    }
}

#[test]
fn killed_at_random_a_crawl_counts_and_writes_each_record_once() {
    let crawling = Crawling::new();
    let mut rng = fastrand::Rng::with_seed(23);
    let mut killed = 0;
    for _ in 0..cycles() {
        let mut child = crawling.place.command(&crawling.args).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(rng.u64(50..600)));
        child.kill().unwrap();
        killed += u64::from(child.wait_with_output().unwrap().status.signal().is_some());
    }
    assert!(killed >= cycles() / 2, "only {killed} kills came before the end");
    crawling.finish();
}

#[test]
fn after_power_cuts_a_crawl_counts_and_writes_each_record_once() {
    let crawling = Crawling::new();
    let cuts = cut_again_and_again(&crawling.place, &crawling.args, 45, || ());
    assert!(cuts >= cycles() / 2, "only {cuts} power cuts came before the end");
    crawling.finish();
}

/// Notes of unfinished files hold within one boot of the machine, and it has not really been cut.
fn boot_anew(dir: &Path) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.file_name().to_string_lossy().ends_with(".note") {
            true => {
                let note = std::fs::read_to_string(entry.path()).unwrap();
                std::fs::write(entry.path(), note.replace("\"boot\":\"", "\"boot\":\"an earlier ")).unwrap();
            }
            false => boot_anew(&entry.path()),
        }
    }
}

#[test]
fn after_power_cuts_every_file_is_whole_or_not_there() {
    let files = cycles() * 200;
    let spec = LabSpec::new(&[Service::Files]).seed(5).all(|s| (s.latency_ms, s.error_rate) = (20.0, 0.02));
    let (lab, place) = (Lab::start(&spec).unwrap(), Place::new());
    // Most are small and nameless until their commit, some are not.
    let size = |id: u64| if id.is_multiple_of(50) { 1_100_000 } else { 500 + id };
    let url = |id: u64| format!("{}/files/{id}-{}.png\n", lab.url(Service::Files), size(id));
    std::fs::create_dir_all(place.file("work/content")).unwrap();
    place.write("urls.txt", (0..files).map(url).collect::<String>());
    let args = ["get", "urls.txt", "--to=work/content", "--state=work/runs", "-q", "-j16"].map(str::to_owned);
    let content = place.file("work/content");
    let check = || {
        let names =
            std::fs::read_dir(&content).unwrap().flatten().map(|e| e.file_name().into_string().unwrap());
        let names: Vec<_> = names.filter(|name| name.ends_with(".png")).collect();
        for name in &names {
            let id = name.split_once('-').unwrap().0.parse().unwrap();
            let there = std::fs::read(content.join(name)).unwrap();
            assert!(there == lab.file(id, Some(size(id)), "png"), "{name} is not what was served");
        }
        names.len() as u64
    };
    let cuts = cut_again_and_again(&place, &args, 2500, || {
        check();
        boot_anew(&content.join(".haul-part"));
    });
    assert!(cuts >= cycles() / 2, "only {cuts} power cuts came before the end");
    assert_eq!(place.haul(&args.each_ref().map(String::as_str)).ended(0).status, 0);
    assert_eq!(check(), files);
    let left: Vec<_> = std::fs::read_dir(&content).unwrap().flatten().map(|e| e.file_name()).collect();
    assert_eq!(left.len() as u64, files, "{left:?}");
}

#[test]
fn killed_at_random_every_object_is_copied() {
    use haul_lab::{ACCESS_KEY, SECRET_KEY};
    let spec = LabSpec::new(&[Service::S3]).seed(11).all(|s| (s.latency_ms, s.error_rate) = (10.0, 0.02));
    let (old, new, place) = (Lab::start(&spec).unwrap(), Lab::start(&spec).unwrap(), Place::new());
    std::fs::create_dir_all(place.file("config/haul")).unwrap();
    let store =
        |name: &str, lab: &Lab| format!("[{name}]\ntype = \"s3\"\nendpoint = \"{}\"\n", lab.url(Service::S3));
    place.write("config/haul/stores.toml", store("old", &old) + &store("new", &new));
    let run = |from: &str, to: &str| {
        let mut command = place.command(&["copy", from, to, "-j16", "-q"]);
        command.env("XDG_CONFIG_HOME", place.file("config"));
        command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
        command
    };
    let (mut rng, mut killed) = (fastrand::Rng::with_seed(3), 0);
    let objects = cycles() * 300;
    let small = (format!("old:img-{objects}-3000"), "new:small");
    let large = ("old:img-3-20000001".to_owned(), "new:large");
    for (from, to) in [&small, &large] {
        for _ in 0..cycles() {
            let mut child = run(from, to).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(rng.u64(50..400)));
            child.kill().unwrap();
            let done = child.wait_with_output().unwrap();
            killed += u64::from(done.status.signal().is_some());
        }
        let said = crate::program::said(run(from, to).output().unwrap());
        assert_eq!(said.status, 0, "{}", said.err);
    }
    assert!(killed >= cycles() / 2, "only {killed} kills came before the end");
    for (from, to, n) in [(&small.0, "small", objects), (&large.0, "large", 3)] {
        for id in 0..n {
            let key = format!("img/{id:08}.png");
            let there = new.object(to, &key).unwrap_or_else(|| panic!("{key} is missing"));
            assert!(there.bytes == old.object(&from[4..], &key).unwrap().bytes, "{key} has other bytes");
        }
    }
    // What was finished is seen in the listing: only what was under way is sent again.
    let truth = new.truth(Service::S3).unwrap();
    assert_eq!(truth.unique, objects, "the large ones have the names of small ones");
    assert!(truth.repeated <= 3 + (killed + 1) * 16, "{truth:?}");
    assert_eq!(new.open_uploads(), 0);
}
