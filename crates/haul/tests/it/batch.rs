//! Several items in one request, end to end: an index that takes bulk requests, and one that takes a
//! user with many videos, both keeping a record of every document they were sent.

use std::time::{Duration, Instant};

use haul_lab::{Lab, LabSpec, Service};

use crate::enrich::Scene;
use crate::program::Said;

/// The workload as a job file, its last step as given.
pub(crate) fn job(lab: &Lab, step: &str) -> String {
    let url = |s| lab.url(s);
    format!(
        "haul = 1\n[source]\ncsv = \"pairs.csv\"\ncolumns = [\"user_id:int\", \"video_id:int\"]\n\
         [service.users]\nurl = \"{}\"\n[service.videos]\nurl = \"{}\"\n[service.index]\nurl = \"{}\"\n\
         [[step]]\nname = \"user\"\nget = \"{{users}}/users/{{user_id}}\"\ntake = \".data\"\n\
         [[step]]\nname = \"video\"\nget = \"{{videos}}/videos/{{video_id}}\"\ntake = \".data\"\n\
         [[step]]\nname = \"index\"\n{step}",
        url(Service::Users),
        url(Service::Videos),
        url(Service::Index)
    )
}

/// As Elasticsearch and OpenSearch take documents.
pub(crate) const BULK: &str = r#"
post     = "{index}/index/_bulk"
batch    = { max = 50, linger = "50ms", format = "ndjson" }
body     = ".items[] | {index: {_id: .idempotency_key}}, {user, video}"
outcomes = "[.items[].index | {status, error: .error.reason}]"
"#;

/// One user, many videos.
const VIDEOS: &str = r#"
post  = "{index}/index/videos"
batch = { max = 50, by = "user_id", linger = "100ms" }
body  = "{user: .items[0].user, videos: [.items[] | {key: .idempotency_key, video}]}"
"#;

fn run(scene: &Scene, step: &str, more: &[&str]) -> Said {
    scene.place.write("job.toml", job(&scene.lab, step));
    scene.place.haul(&[&["run", "job.toml"], more].concat())
}

/// So many pairs, of which the index refuses as many as said.
fn feed(scene: &Scene, pairs: u64, refused: u64, user: impl Fn(u64) -> u64) {
    let (mut text, mut good, mut bad) = (String::new(), pairs - refused, refused);
    for n in 1_u64.. {
        let left = if scene.lab.is_refused(user(n), n) { &mut bad } else { &mut good };
        if *left > 0 {
            *left -= 1;
            text.push_str(&format!("{},{n}\n", user(n)));
        }
        if good + bad == 0 {
            break;
        }
    }
    scene.place.write("pairs.csv", text);
}

#[test]
fn an_index_that_accepts_all_but_one_of_a_thousand() {
    let spec = LabSpec::enrich().seed(5).only(Service::Index, |s| s.refuse_rate = 0.01);
    let scene = Scene::with(0, spec);
    feed(&scene, 1000, 1, |n| n % 70);
    let said = run(&scene, BULK, &["-j8"]).ended(3).told(&["read 1,000 = done 999 + skipped 0 + failed 1 "]);
    assert!(said.err.contains("400 Bad Request: \"failed to parse\""), "{}", said.err);
    let index = scene.lab.truth(Service::Index).unwrap();
    // Each was sent once: the reply says which one was refused.
    assert_eq!((index.documents, index.refused, index.accepted, index.unique), (1000, 1, 999, 999));
    assert_eq!((index.mismatched, index.keyless, index.replayed), (0, 0, 0), "{index:?}");
    // 20 if every batch were full; a batch that lingers is not.
    assert!((20..=60).contains(&index.requests), "{index:?}");
    scene.place.haul(&["errors", "--list"]).ended(0);
}

#[test]
fn one_user_with_many_videos_and_one_that_spoils_its_batch() {
    let spec = LabSpec::enrich().seed(5).only(Service::Index, |s| s.refuse_rate = 0.01);
    let scene = Scene::with(0, spec);
    feed(&scene, 320, 1, |n| n % 10);
    run(&scene, VIDEOS, &["-j8"]).ended(3).told(&["read 320 = done 319 + skipped 0 + failed 1 "]);
    let index = scene.lab.truth(Service::Index).unwrap();
    assert_eq!(
        (index.accepted, index.unique, index.replayed, index.conflicts),
        (319, 319, 0, 0),
        "{index:?}"
    );
    // The bad one was found by halving a batch of at most 50: the others were sent once.
    assert!(index.refused < 50 + 25 + 13 + 7 + 4 + 2 + 1, "{index:?}");
    assert!(index.requests < 100, "{index:?}");
}

#[test]
fn nothing_is_lost_or_repeated_by_services_that_fail() {
    let spec = LabSpec::enrich().seed(5).all(|s| {
        (s.error_rate, s.reply_loss, s.drop_rate, s.truncate_rate) = (0.05, 0.03, 0.02, 0.02);
    });
    let scene = Scene::with(1500, spec);
    run(&scene, BULK, &["-j8"]).ended(0).told(&["read 1,500 = done 1,500"]);
    scene.accepted(1500);
    let index = scene.lab.truth(Service::Index).unwrap();
    assert!(index.requests < 400, "{index:?}");
    let scene = Scene::with(300, LabSpec::enrich().seed(5).all(|s| s.error_rate = 0.1));
    run(&scene, VIDEOS, &["-j8"]).ended(0);
    let index = scene.lab.truth(Service::Index).unwrap();
    assert_eq!((index.unique, index.repeated, index.keyless), (300, 0, 0), "{index:?}");
}

#[test]
fn at_most_once_leaves_in_doubt_what_a_lost_reply_carried() {
    let spec = LabSpec::enrich().seed(5).only(Service::Index, |s| s.reply_loss = 0.2);
    let scene = Scene::with(400, spec);
    let said = run(&scene, BULK, &["-j8", "--set=delivery=at-most-once"]).ended(3);
    let index = scene.lab.truth(Service::Index).unwrap();
    assert_eq!((index.accepted, index.unique, index.replayed), (400, 400, 0), "nothing is sent twice");
    assert!(index.reply_lost > 0);
    assert!(!said.err.contains("in doubt 0 ") && said.err.contains("failed 0"), "{}", said.err);
}

#[test]
fn a_stop_does_not_wait_for_company() {
    let scene = Scene::with(40, LabSpec::enrich().seed(5));
    let step = BULK.replace("50ms", "1m").replace("max = 50", "max = 64");
    scene.place.write("job.toml", job(&scene.lab, &step));
    let mut child = scene.place.command(&["run", "job.toml", "-j8"]).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while scene.lab.truth(Service::Videos).unwrap().accepted < 40 {
        assert!(Instant::now() < until, "the lookups are not made: {:?}", child.try_wait());
        std::thread::sleep(Duration::from_millis(20));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let asked = Instant::now();
    let said = crate::program::said(child.wait_with_output().unwrap()).ended(4);
    assert!(asked.elapsed() < Duration::from_secs(20), "{}", said.err);
    assert_eq!(scene.lab.truth(Service::Index).unwrap().documents, 0, "what gathered was not sent");
    run(&scene, &step.replace("1m", "50ms"), &["-j8"]).ended(0).told(&["done 40"]);
    scene.accepted(40);
    assert_eq!(scene.lab.truth(Service::Users).unwrap().accepted, 40, "lookups are not made again");
}
