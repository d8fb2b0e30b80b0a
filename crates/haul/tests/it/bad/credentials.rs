//! Credentials that are refused: before the first success the run does not start; later the service
//! is waited for, and the reference is read again.

use std::time::{Duration, Instant};

use haul_lab::{LabSpec, Service};

use crate::enrich::Scene;
use crate::program::said;

fn asking(token: &str) -> Scene {
    let token = token.to_owned();
    Scene::with(600, LabSpec::enrich().only(Service::Index, move |s| s.token.clone_from(&token)))
}

fn header(scene: &Scene, reference: &str) -> String {
    let at = scene.lab.url(Service::Index).replace("http://", "");
    format!("-H={at}=Authorization: Bearer {reference}")
}

#[test]
fn refused_before_the_first_success_nothing_is_settled() {
    let scene = asking("right");
    let at = scene.lab.url(Service::Index).replace("http://", "");
    let none = scene.run(&[]).ended(1);
    none.told(&[&format!(
        "haul: {at} refuses access with 401, and no credentials were given: add -H 'Authorization: …'"
    )]);
    let header = header(&scene, "{file:token}");
    scene.run(&[&header]).ended(1).told(&["haul: secret index: cannot read token: "]);
    scene.place.write("token", "wr0ng\n");
    let wrong = scene.run(&[&header]).ended(1).told(&[&format!(
        "haul: {at} refuses the credentials (index) with 401: correct what the secret refers to"
    )]);
    assert!(!wrong.err.contains("wr0ng"), "{}", wrong.err);
    scene.accepted(0);
    assert_eq!(scene.place.runs(), Vec::<String>::new());
    // The same command goes on once the credentials are right.
    scene.place.write("token", "right\n");
    assert_eq!(scene.run(&[&header]).ended(0).counts()[..2], [600, 600]);
    scene.accepted(600);
}

#[test]
fn refused_later_the_service_is_waited_for_and_the_reference_read_again() {
    let scene = asking("monday");
    scene.lab.set(Service::Index, |s| s.latency_ms = 10.0).unwrap();
    scene.place.write("token", "monday");
    let args = scene.posting(&["-j8", "--attempts=2", &header(&scene, "{file:token}")]);
    let child = scene.place.command(&args).spawn().unwrap();
    while scene.lab.truth(Service::Index).unwrap().unique < 50 {
        std::thread::sleep(Duration::from_millis(5));
    }
    scene.lab.set(Service::Index, |s| s.token = "tuesday".to_owned()).unwrap();
    let expired = Instant::now();
    while expired.elapsed() < Duration::from_millis(2200) {
        std::thread::sleep(Duration::from_millis(50));
    }
    let asked = scene.lab.truth(Service::Index).unwrap().requests;
    scene.place.write("token", "tuesday");
    let said = said(child.wait_with_output().unwrap()).ended(0).ends_with("all done");
    let said = said.told(&["needs credentials: it refuses those it is given (index), which are read again"]);
    assert_eq!(said.counts(), [600, 600, 0, 0, 0, 0, 0], "no item is charged for it");
    scene.accepted(600);
    assert!(asked < 50 + 200, "an expired token burns no requests: {asked}");
    assert!(expired.elapsed() < Duration::from_secs(9), "{:?}", expired.elapsed());
}

#[test]
fn items_that_may_not_be_read_fail_alone() {
    let scene = Scene::new(0);
    let mut text = String::from("user_id,video_id\n");
    (0..300).for_each(|n| text.push_str(&format!("{n},{n}\n")));
    scene.place.write("pairs.csv", text);
    // Every tenth item, as of things that are private: not enough to wait for the service.
    let web = super::web::Web::start(|path, _| match path.ends_with('7') {
        true => super::web::reply("403 Forbidden", "text/plain", "not yours"),
        false => super::web::json("{\"ok\": true}"),
    });
    let lookup = format!("--lookup=user={}", web.url("/users/{user_id}"));
    let args = ["enrich", "pairs.csv", "--columns=user_id:int,video_id:int", &lookup, "--to=out.jsonl"];
    let said = scene.place.haul(&args).ended(3).told(&["7: 403 Forbidden", "not yours"]);
    assert_eq!(said.counts(), [300, 270, 0, 30, 0, 0, 0]);
}
