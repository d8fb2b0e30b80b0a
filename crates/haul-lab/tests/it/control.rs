//! The lab's own paths, specs that cannot be, and the line to paste.

use haul_lab::{Lab, LabError, LabSpec, Service, Truth};

use crate::client::{Broken, get, post};
use crate::faults::wait_until;

#[test]
fn truth_and_reset_by_http() {
    let lab = Lab::start(&LabSpec::enrich()).unwrap();
    let users = lab.url(Service::Users);
    get(&users, "/users/1").unwrap();
    let own: Truth = serde_json::from_str(&get(&users, "/_truth").unwrap().text()).unwrap();
    assert_eq!(own, lab.truth(Service::Users).unwrap());
    assert_eq!((own.requests, own.unique), (1, 1));
    let all = get(&lab.url(Service::Index), "/_truth/all").unwrap().json();
    assert_eq!((&all["users"]["requests"], &all["videos"]["requests"]), (&1.into(), &0.into()));
    assert_eq!(get(&lab.url(Service::Index), "/_truth/users").unwrap().json()["requests"], 1);
    assert_eq!(post(&lab.url(Service::Index), "/_reset/all", "", b"").unwrap().status, 200);
    assert_eq!(lab.truth(Service::Users).unwrap().requests, 0);
}

#[test]
fn a_script_changes_while_it_runs() {
    let lab = Lab::start(&LabSpec::enrich().all(|s| s.gzip = true)).unwrap();
    let users = lab.url(Service::Users);
    assert_eq!(post(&users, "/_set", "", b"{\"error_rate\": 1, \"error_status\": 500}").unwrap().status, 200);
    assert_eq!(get(&users, "/users/1").unwrap().status, 500);
    assert_eq!(post(&users, "/_set", "", b"{\"error_rate\": 0}").unwrap().status, 200);
    let reply = get(&users, "/users/1").unwrap();
    assert_eq!((reply.status, reply.header("content-encoding")), (200, Some("gzip")));
    post(&users, "/_set/all", "", b"{\"deny\": 401}").unwrap();
    assert_eq!(get(&lab.url(Service::Videos), "/videos/1").unwrap().status, 401);
}

#[test]
fn a_service_goes_down_and_up_by_http() {
    let lab = Lab::start(&LabSpec::enrich()).unwrap();
    let (users, videos) = (lab.url(Service::Users), lab.url(Service::Videos));
    assert_eq!(post(&users, "/_set/videos", "", b"{\"down\": true}").unwrap().status, 200);
    wait_until(|| get(&videos, "/videos/1") == Err(Broken::Refused));
    post(&users, "/_set/videos", "", b"{\"down\": false}").unwrap();
    wait_until(|| get(&videos, "/videos/1").is_ok());
    assert_eq!(post(&videos, "/_set", "", b"{\"down_ms\": 100}").unwrap().status, 200);
    wait_until(|| get(&videos, "/videos/1") == Err(Broken::Refused));
    wait_until(|| get(&videos, "/videos/1").is_ok());
}

#[test]
fn bad_changes_are_refused_and_change_nothing() {
    let lab = Lab::start(&LabSpec::new(&[Service::Users])).unwrap();
    let url = lab.url(Service::Users);
    for (body, why) in [
        ("{\"error_rat\": 1}", "unknown field `error_rat`"),
        ("{\"error_rate\": 2}", "error_rate is 2"),
        ("{\"gzip\": 1}", "invalid type"),
        ("{\"down\": 1}", "down is true or false"),
        ("nonsense", "not a JSON object"),
    ] {
        let reply = post(&url, "/_set", "", body.as_bytes()).unwrap();
        assert_eq!(reply.status, 400);
        assert!(reply.text().contains(why), "{} lacks {why}", reply.text());
    }
    assert_eq!(get(&url, "/users/1").unwrap().status, 200);
    assert_eq!(get(&url, "/_truth/videos").unwrap().status, 404);
    assert_eq!(get(&url, "/_truth/cats").unwrap().status, 404);
    assert_eq!(get(&url, "/_nothing").unwrap().status, 404);
}

#[test]
fn impossible_specs_say_why() {
    let why = |spec: LabSpec| match Lab::start(&spec) {
        Ok(_) => panic!("it started"),
        Err(e) => e.to_string(),
    };
    assert!(why(LabSpec::new(&[])).contains("at least one service"));
    assert!(why(LabSpec::new(&[Service::Users, Service::Users])).contains("users is named twice"));
    assert!(
        why(LabSpec::enrich().only(Service::Videos, |s| s.drop_rate = -1.0))
            .contains("videos: drop_rate is -1")
    );
    assert!(why(LabSpec::enrich().threads(0)).contains("0 server threads"));
    let first = Lab::start(&LabSpec::new(&[Service::Users])).unwrap();
    let port = first.url(Service::Users).rsplit(':').next().unwrap().parse().unwrap();
    let second = Lab::start(&LabSpec::new(&[Service::Users]).ports_from(port));
    assert!(matches!(second, Err(LabError::Bind { service: "users", .. })));
}

#[test]
fn a_stopped_lab_frees_its_ports() {
    let lab = Lab::start(&LabSpec::enrich()).unwrap();
    let url = lab.url(Service::Users);
    let port = url.rsplit(':').next().unwrap().parse().unwrap();
    get(&url, "/users/1").unwrap();
    lab.stop();
    assert_eq!(get(&url, "/users/1"), Err(Broken::Refused));
    let again = Lab::start(&LabSpec::new(&[Service::Users]).ports_from(port)).unwrap();
    assert_eq!(get(&again.url(Service::Users), "/users/1").unwrap().status, 200);
}

#[test]
fn the_line_to_paste_names_what_is_there() {
    let lab = Lab::start(&LabSpec::enrich()).unwrap();
    let [users, videos, index] = [Service::Users, Service::Videos, Service::Index].map(|s| lab.url(s));
    let want = format!(
        "haul enrich pairs.csv --columns user_id:int,video_id:int --lookup user={users}/users/{{user_id}} --take user=.data \
         --lookup video={videos}/videos/{{video_id}} --take video=.data --post {index}/index"
    );
    assert_eq!(lab.line("pairs.csv"), Some(want));
    assert_eq!(Lab::start(&LabSpec::new(&[Service::Index])).unwrap().line("x"), None);
}
