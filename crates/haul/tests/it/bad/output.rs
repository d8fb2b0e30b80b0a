//! Outputs and state directories that cannot be written.

use std::process::Stdio;

use crate::enrich::Scene;
use crate::program::said;

#[test]
fn an_output_that_cannot_be_made_says_why() {
    let scene = Scene::new(5);
    let to = |path: &str| {
        scene.place.haul(
            &scene
                .look_up("pairs.csv", &["--columns=user_id:int,video_id:int"])
                .iter()
                .map(|a| if a == "--to=out.jsonl" { format!("--to={path}") } else { a.clone() })
                .collect::<Vec<_>>(),
        )
    };
    scene.place.write("there.jsonl", "mine\n");
    to("there.jsonl")
        .ended(1)
        .told(&["there.jsonl exists: --overwrite empties it, --append writes after what is there"]);
    assert_eq!(scene.place.read("there.jsonl"), "mine\n");
    to("no/dir/out.jsonl").ended(1).told(&["no/dir does not exist (mkdir -p ", "no/dir)"]);
    to(".").ended(1).told(&["is a directory: give the name of a file"]);
    to("pairs.csv/out.jsonl").ended(1).told(&["pairs.csv is not a directory"]);
    to("pairs.csv").ended(64).told(&["the job would write over the file it reads"]);
    to("out.jsonl.gz").ended(64).told(&["rows are written uncompressed"]);
    to("/dev/null")
        .ended(1)
        .told(&["/dev/null is no regular file: use - and redirect it: --to - > /dev/null"]);
    scene.is_untouched();
}

#[test]
fn what_was_there_stays_behind_what_is_appended() {
    let scene = Scene::new(5);
    scene.place.write("out.jsonl", "{\"mine\": 1}\n");
    scene.typed("pairs.csv", &["--append"]).ended(0);
    assert_eq!(scene.rows(), 6);
    // It was shortened, or replaced: a run does not guess.
    let whole = scene.place.read("out.jsonl");
    scene.place.write("out.jsonl", &whole[..40]);
    scene.feed(6, 0.0);
    scene
        .typed("pairs.csv", &["--append"])
        .ended(1)
        .told(&["out.jsonl is shorter than what was committed of it", "put it back"]);
    std::fs::remove_file(scene.place.file("out.jsonl")).unwrap();
    scene.typed("pairs.csv", &["--append"]).ended(1).told(&["out.jsonl is gone, but "]);
    // Put back, the same command goes on. (A copy is another file: it says so.)
    scene.place.write("out.jsonl", whole);
    let said = scene.typed("pairs.csv", &["--append"]);
    assert!(said.status == 0 || said.err.contains("it was replaced"), "{}", said.err);
}

#[test]
fn rows_of_different_columns_do_not_fit_one_csv() {
    let scene = Scene::new(0);
    scene.place.write("in.jsonl", "{\"id\": 1, \"a\": 2}\n{\"id\": 2, \"b\": 3}\n{\"id\": 3, \"a\": [4]}\n");
    let said = scene.place.haul(&["enrich", "in.jsonl", "--to=out.csv", "-j1"]).ended(3);
    let said = said.told(&["id, a", "b"]);
    assert_eq!(said.counts()[0], 3);
    let rows = scene.place.read("out.csv");
    assert!(rows.starts_with("id,a\n1,2\n"), "{rows}");
}

#[test]
fn a_state_directory_that_cannot_be_written() {
    let scene = Scene::new(5);
    scene.place.write("file", "");
    scene
        .typed("pairs.csv", &["--state=file"])
        .ended(1)
        .told(&["haul: file cannot be made: file is a file: ", "--state DIR"]);
    scene
        .typed("pairs.csv", &["--state=file/runs"])
        .ended(1)
        .told(&["haul: file/runs cannot be made: file is a file: ", "--state DIR"]);
    if cfg!(target_os = "linux") {
        // Even root cannot make directories there.
        scene
            .typed("pairs.csv", &["--state=/proc/haul"])
            .ended(1)
            .told(&["haul: /proc/haul cannot be made: ", "--state DIR"]);
    }
    scene.is_untouched();
}

#[test]
fn a_broken_ledger_stops_everything_and_is_not_touched() {
    let scene = Scene::new(5);
    scene.typed("pairs.csv", &["--run=r"]).ended(0);
    scene.place.write(".haul/r/ledger.db", vec![b'x'; 5000]);
    let told = ["ledger.db", "--fresh"];
    scene.typed("pairs.csv", &["--run=r"]).ended(1).told(&told);
    scene.place.haul(&["errors", "r"]).ended(1).told(&["ledger.db"]);
    assert_eq!(scene.place.read(".haul/r/ledger.db"), "x".repeat(5000));
    scene
        .typed("pairs.csv", &["--run=r", "--fresh", "--overwrite"])
        .ended(0)
        .told(&["the old run is kept as r@"]);
    assert_eq!(scene.rows(), 5);
}

#[test]
#[cfg(unix)]
fn rows_for_nobody_stop_the_run() {
    let scene = Scene::new(3000);
    let args: Vec<String> = scene
        .look_up("pairs.csv", &["--columns=user_id:int,video_id:int"])
        .iter()
        .map(|a| if a == "--to=out.jsonl" { "--to=-".to_owned() } else { a.clone() })
        .collect();
    let mut child = scene.place.command(&args).spawn().unwrap();
    drop(child.stdout.take());
    let ended = said(child.wait_with_output().unwrap()).ended(4).told(&["haul: standard output was closed"]);
    ended.told(&["(starts over: rows on standard output cannot be taken back)"]);
    if cfg!(target_os = "linux") {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let child = scene.place.command(&args).stdout(full).stderr(Stdio::piped()).spawn().unwrap();
        said(child.wait_with_output().unwrap())
            .ended(4)
            .told(&["standard output: No space left on device", "free some space"]);
    }
    // Help that nobody reads is no error.
    let mut child = scene.place.command(&["--help"]).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(said(child.wait_with_output().unwrap()).ended(0).err, "");
}
