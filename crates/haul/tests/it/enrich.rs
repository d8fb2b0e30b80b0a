//! `haul enrich` end to end: the real program, real sockets, and services that remember the truth.

use haul_lab::generate::Pairs;
use haul_lab::{Lab, LabSpec, Service};

use crate::program::{Place, Said};

/// Three services, their input, and a directory for the program.
pub(crate) struct Scene {
    pub(crate) lab: Lab,
    pub(crate) place: Place,
}

impl Scene {
    /// Services that are well, and `pairs` pairs.
    pub(crate) fn new(pairs: u64) -> Self {
        Scene::with(pairs, LabSpec::enrich().seed(5))
    }

    pub(crate) fn with(pairs: u64, spec: LabSpec) -> Self {
        let scene = Scene { lab: Lab::start(&spec).unwrap(), place: Place::new() };
        scene.feed(pairs, 0.0);
        scene
    }

    /// Writes `pairs.csv`; a longer one begins like a shorter one.
    pub(crate) fn feed(&self, pairs: u64, bad_rate: f64) {
        let mut text = Vec::new();
        let spec = Pairs { count: pairs, bad_rate, ..Pairs::default() };
        spec.write_to(&mut text).unwrap();
        self.place.write("pairs.csv", text);
    }

    /// The command line of the workload, with more of it.
    pub(crate) fn args(&self, input: &str, more: &[&str]) -> Vec<String> {
        let url = |s| self.lab.url(s);
        let mut args: Vec<String> =
            ["enrich", input, "--columns=user_id:int,video_id:int"].map(str::to_owned).into();
        args.push(format!("--lookup=user={}/users/{{user_id}}", url(Service::Users)));
        args.push("--take=user=.data".to_owned());
        args.push(format!("--lookup=video={}/videos/{{video_id}}", url(Service::Videos)));
        args.push("--take=video=.data".to_owned());
        args.extend(more.iter().map(|m| (*m).to_owned()));
        args
    }

    /// The same with the post.
    pub(crate) fn posting(&self, more: &[&str]) -> Vec<String> {
        let mut args = self.args("pairs.csv", more);
        args.push(format!("--post={}/index", self.lab.url(Service::Index)));
        args
    }

    pub(crate) fn run(&self, more: &[&str]) -> Said {
        self.place.haul(&self.posting(more))
    }

    /// Every pair was accepted once, as it was served.
    #[track_caller]
    pub(crate) fn accepted(&self, pairs: u64) {
        let truth = self.lab.truth(Service::Index).unwrap();
        assert_eq!(
            (truth.unique, truth.repeated, truth.mismatched, truth.keyless),
            (pairs, 0, 0, 0),
            "{truth:?}"
        );
    }
}

#[track_caller]
fn is_empty(said: &Said) {
    assert_eq!(said.out, "", "standard output is for data");
}

#[test]
fn nothing_is_lost_or_repeated_by_services_that_fail() {
    let spec = LabSpec::enrich().seed(5).all(|s| {
        s.error_rate = 0.05;
        s.reply_loss = 0.02;
        s.drop_rate = 0.01;
        s.gzip = true;
    });
    let scene = Scene::with(500, spec);
    let said = scene.run(&["--expect=201"]).ended(0).told(&[
        "haul: run enrich-pairs-",
        "finished after",
        "read 500 = done 500 + skipped 0 + failed 0 + rejected 0 + in doubt 0 + waiting 0\n",
        "tried again",
        "requests saved by memo",
        "\nuser ",
        "peak memory",
    ]);
    is_empty(&said);
    assert_eq!(said.err.lines().last(), Some("all done"));
    scene.accepted(500);
    let run = scene.place.runs().pop().unwrap();
    assert!(run.starts_with("enrich-pairs-") && run.len() == "enrich-pairs-".len() + 4, "{run}");
}

#[test]
fn the_same_command_takes_only_what_was_added() {
    let scene = Scene::new(200);
    scene.run(&[]).ended(0);
    scene.run(&[]).ended(0).told(&["goes on: 200 of 200 read are settled", "there is nothing new"]);
    scene.feed(230, 0.0);
    scene.run(&[]).ended(0).told(&["(30 items settled, the rest earlier", "read 230 = done 230"]);
    scene.accepted(230);
    assert!(scene.lab.truth(Service::Users).unwrap().requests <= 230, "nothing is fetched again");
}

#[test]
fn input_that_changed_stops_a_job_that_posts_and_says_what_to_do() {
    let scene = Scene::new(100);
    scene.run(&[]).ended(0);
    let text = scene.place.read("pairs.csv");
    let without_third: String =
        text.lines().enumerate().filter(|(i, _)| *i != 2).map(|(_, l)| format!("{l}\n")).collect();
    scene.place.write("pairs.csv", without_third + "1,2\n");
    scene.run(&[]).ended(1).told(&["pairs.csv is not what it was: item 3 differs", "--if-changed skip-done"]);
    scene.accepted(100);
    scene.run(&["--if-changed=skip-done"]).ended(0);
    scene.accepted(101);
}

#[test]
fn rows_are_written_once_and_bytes_stay_as_the_service_wrote_them() {
    let scene = Scene::new(300);
    let args = scene.args("pairs.csv", &["--to=out.jsonl", "--row={user_id, video: .video}"]);
    scene.place.haul(&args).ended(0);
    let rows = scene.place.read("out.jsonl");
    assert_eq!(rows.lines().count(), 300);
    let mut users: Vec<&str> = rows.lines().map(|l| l.split([':', ',']).nth(1).unwrap()).collect();
    users.sort_unstable();
    users.dedup();
    assert!(users.len() > 290, "rows are of different pairs");
    assert!(rows.contains("12345678901234567890123"), "a long number stays as it was");
    scene.place.haul(&args).ended(0).told(&["nothing new"]);
    assert_eq!(scene.place.read("out.jsonl"), rows);
    let other = scene.args("pairs.csv", &["--to=out.jsonl"]);
    scene.place.haul(&other).ended(1).told(&["out.jsonl", "--overwrite"]);
    assert_eq!(scene.place.read("out.jsonl"), rows, "a file that was there is not touched");
    assert_eq!(scene.place.runs().len(), 1, "a run that could not begin leaves nothing");
}

#[test]
fn rows_go_to_standard_output_and_such_a_run_starts_over() {
    let scene = Scene::new(20);
    let args = scene.args("pairs.csv", &["--to=-", "--row={user_id}"]);
    let first = scene.place.haul(&args).ended(0);
    assert_eq!(first.out.lines().count(), 20);
    assert!(first.out.lines().all(|l| l.starts_with("{\"user_id\":")), "{}", first.out);
    let second = scene.place.haul(&args).ended(0).told(&["cannot be taken back: the run starts over"]);
    assert_eq!(second.out.lines().count(), 20);
}

#[test]
fn standard_input_is_read_and_known_again() {
    let scene = Scene::new(50);
    let input = scene.place.read("pairs.csv");
    let mut args = scene.args("-", &[]);
    args.push(format!("--post={}/index", scene.lab.url(Service::Index)));
    scene.place.haul_fed(&args, input.as_bytes()).ended(0).told(&["run enrich-stdin-", "read 50 = done 50"]);
    scene.place.haul_fed(&args, format!("{input}7,8\n").as_bytes()).ended(0).told(&["read 51 = done 51"]);
    scene.accepted(51);
}

#[test]
fn statuses_mean_what_was_said() {
    let spec = LabSpec::enrich().only(Service::Videos, |s| s.missing_rate = 0.3);
    let scene = Scene::with(200, spec);
    let said = scene.run(&["--on=video:404=skip"]).ended(0);
    let done = scene.lab.truth(Service::Index).unwrap().unique;
    assert!((100..190).contains(&done), "{done}");
    said.told(&[&format!("read 200 = done {done} + skipped {} + failed 0", 200 - done)]);
}

#[test]
fn bad_lines_are_rejected_with_their_reason_or_stop_the_run() {
    let scene = Scene::new(0);
    scene.place.write("pairs.csv", "user_id,video_id\n1,2\nabc,3\n4,5\n6\n");
    scene
        .run(&[])
        .ended(3)
        .told(&["read 4 = done 2 + skipped 0 + failed 0 + rejected 2", "\nnext: haul errors enrich-pairs-"]);
    let errors = scene.place.haul(&["errors", "--list"]).ended(0).out;
    assert!(errors.contains("line 3") && errors.contains("user_id \"abc\" is not an integer"), "{errors}");
    scene.accepted(2);
    scene.run(&["--fresh", "--on-invalid=stop"]).ended(2).told(&["pairs.csv:3: ", "next: repair the input"]);
}

#[test]
fn inputs_without_items_are_done_at_once() {
    let scene = Scene::new(0);
    for text in ["", "user_id,video_id\n", "\n\n"] {
        scene.place.write("pairs.csv", text);
        scene.run(&["--fresh"]).ended(0).told(&["read 0 = done 0"]);
    }
}

#[test]
fn what_cannot_start_says_why_and_leaves_nothing() {
    let scene = Scene::new(5);
    let post = format!("--post={}/index", scene.lab.url(Service::Index));
    let run =
        |input: &str, more: &[&str]| scene.place.haul(&[&["enrich", input, post.as_str()], more].concat());
    run("nosuch.csv", &[]).ended(1).told(&["nosuch.csv"]);
    run(".", &[]).ended(1).told(&["directory"]);
    run("pairs.csv", &["-H", "Authorization: Bearer {env:HAUL_NO_SUCH_TOKEN}"])
        .ended(1)
        .told(&["the environment variable HAUL_NO_SUCH_TOKEN is not set"]);
    run("pairs.csv", &["--to=no/such/dir/out.jsonl"]).ended(1).told(&["no/such/dir"]);
    run("pairs.csv", &["--body={a: .b"]).ended(64).told(&["haul: --body {a: .b: "]);
    run("pairs.csv", &["--where=.a ==="]).ended(64).told(&["haul: --where .a ===: "]);
    run("pairs.csv", &["--key={nosuch"]).ended(64).told(&["haul: --key {nosuch: "]);
    run("pairs.csv", &["--run=a/b"]).ended(64).told(&["run name \"a/b\" has '/' in it"]);
    scene.place.write("empty.jsonl", "");
    run("pairs.csv", &["--to=empty.jsonl"]).ended(1).told(&["empty.jsonl exists"]);
    assert_eq!(scene.place.read("empty.jsonl"), "", "what was there stays");
    // A source that is found to be missing only when it is read leaves no empty output either.
    let missing = format!("{}/nosuch", scene.lab.url(Service::Users));
    run(&missing, &["--to=out.jsonl"]).ended(1).told(&["/nosuch: 404"]);
    assert!(!scene.place.file("out.jsonl").exists());
    assert_eq!(scene.place.runs(), Vec::<String>::new());
    scene.accepted(0);
}

#[test]
fn a_broken_expression_of_a_job_file_is_shown_at_its_byte() {
    let scene = Scene::new(1);
    scene.place.write(
        "job.toml",
        "haul = 1\n[source]\ncsv = \"pairs.csv\"\n[[step]]\nname = \"a\"\nmap = '.x | | .y'\n[output]\njsonl = \"o\"\n",
    );
    let said = scene.place.haul(&["run", "job.toml"]).ended(64);
    assert!(said.err.starts_with("haul: job.toml:6:"), "{}", said.err);
    said.told(&[" 6 │ map = '.x | | .y'"]);
}

#[test]
fn secrets_are_sent_and_never_kept() {
    let spec = LabSpec::enrich().only(Service::Index, |s| s.token = "s3cret-t0ken".to_owned());
    let scene = Scene::with(20, spec);
    let scope = format!(
        "-H={}=Authorization: Bearer {{env:INDEX_TOKEN}}",
        scene.lab.url(Service::Index).replace("http://", "")
    );
    let mut command = scene.place.command(&scene.posting(&[&scope]));
    let said = crate::program::said(command.env("INDEX_TOKEN", "s3cret-t0ken").output().unwrap()).ended(0);
    assert!(!said.err.contains("s3cret"));
    scene.accepted(20);
    for file in ["job.toml", "ledger.db"] {
        let path = format!(".haul/{}/{file}", scene.place.runs()[0]);
        let bytes = std::fs::read(scene.place.file(&path)).unwrap();
        assert!(!bytes.windows(6).any(|w| w == b"s3cret"), "{file}");
    }
}
