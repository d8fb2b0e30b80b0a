//! Every kind of fault, as a client meets it.

use std::time::{Duration, Instant};

use haul_lab::{Lab, LabSpec, Script, Service};

use crate::client::{Broken, Client, get, post};

const DOCUMENT: &[u8] = b"{\"user\":{\"id\":1},\"video\":{\"id\":2}}";

fn lab(change: impl Fn(&mut Script)) -> Lab {
    Lab::start(&LabSpec::enrich().all(change)).unwrap()
}

fn index_post(lab: &Lab) -> Result<crate::client::Reply, Broken> {
    post(&lab.url(Service::Index), "/index", "Idempotency-Key: k\r\n", DOCUMENT)
}

#[test]
fn errors_come_before_the_effect() {
    let lab = lab(|s| s.error_rate = 1.0);
    let mut seen = [0, 0];
    for _ in 0..40 {
        match index_post(&lab).unwrap().status {
            500 => seen[0] += 1,
            503 => seen[1] += 1,
            other => panic!("{other}"),
        }
    }
    assert!(seen[0] > 5 && seen[1] > 5, "{seen:?}");
    let truth = lab.truth(Service::Index).unwrap();
    assert_eq!((truth.accepted, truth.requests), (0, 40));
    assert_eq!(truth.statuses.values().sum::<u64>(), 40);
    lab.set(Service::Index, |s| s.error_status = 502).unwrap();
    assert_eq!(index_post(&lab).unwrap().status, 502);
}

#[test]
fn a_dropped_connection_had_no_effect_and_a_lost_reply_had() {
    let lab = lab(|s| s.drop_rate = 1.0);
    assert!((0..20).all(|_| index_post(&lab) == Err(Broken::Closed)));
    let truth = lab.truth(Service::Index).unwrap();
    assert_eq!((truth.accepted, truth.dropped), (0, 20));
    lab.set(Service::Index, |s| (s.drop_rate, s.reply_loss) = (0.0, 1.0)).unwrap();
    assert_eq!(index_post(&lab), Err(Broken::Closed));
    assert_eq!(index_post(&lab), Err(Broken::Closed));
    let truth = lab.truth(Service::Index).unwrap();
    assert_eq!((truth.accepted, truth.replayed, truth.reply_lost), (1, 1, 2));
}

#[test]
fn a_truncated_reply_announces_more_than_comes() {
    let lab = lab(|s| (s.truncate_rate, s.gzip) = (1.0, true));
    assert_eq!(get(&lab.url(Service::Users), "/users/1"), Err(Broken::Short));
    assert_eq!(index_post(&lab), Err(Broken::Short));
    assert_eq!(lab.truth(Service::Index).unwrap().accepted, 1);
    assert_eq!(lab.truth(Service::Users).unwrap().truncated, 1);
}

#[test]
fn an_html_page_comes_with_200_and_without_effect() {
    let lab = lab(|s| s.html_rate = 1.0);
    let reply = index_post(&lab).unwrap();
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(reply.text().starts_with("<!DOCTYPE html>"));
    let truth = lab.truth(Service::Index).unwrap();
    assert_eq!((truth.accepted, truth.html), (0, 1));
}

#[test]
fn a_hung_request_is_never_answered_and_stays_in_flight() {
    let lab = lab(|s| s.hang_rate = 1.0);
    let mut client = Client::connect(&lab.url(Service::Users)).unwrap().patience(100);
    assert_eq!(client.get("/users/1"), Err(Broken::Timeout));
    let truth = lab.truth(Service::Users).unwrap();
    assert_eq!((truth.hung, truth.in_flight, truth.accepted), (1, 1, 0));
    drop(client);
    wait_until(|| lab.truth(Service::Users).unwrap().in_flight == 0);
}

#[test]
fn some_ids_are_always_missing() {
    let lab = lab(|s| s.missing_rate = 0.2);
    let mut client = Client::connect(&lab.url(Service::Users)).unwrap();
    let missing = |client: &mut Client| -> Vec<u64> {
        (0..500).filter(|id| client.get(&format!("/users/{id}")).unwrap().status == 404).collect()
    };
    let first = missing(&mut client);
    assert!((60..140).contains(&first.len()), "{} of 500", first.len());
    assert_eq!(first, missing(&mut client));
    assert!(first.iter().all(|id| lab.is_missing(Service::Users, *id)));
}

#[test]
fn latency_is_kept_for_each_of_many_requests_at_once() {
    let lab = lab(|s| (s.latency_ms, s.jitter_ms) = (60.0, 20.0));
    let mut clients: Vec<Client> =
        (0..30).map(|_| Client::connect(&lab.url(Service::Users)).unwrap()).collect();
    let start = Instant::now();
    for client in &mut clients {
        client.send(b"GET /users/1 HTTP/1.1\r\n\r\n").unwrap();
    }
    for client in &mut clients {
        assert_eq!(client.receive().unwrap().status, 200);
        assert!(start.elapsed() >= Duration::from_millis(60), "{:?}", start.elapsed());
    }
    assert!(
        start.elapsed() < Duration::from_millis(600),
        "they waited for each other: {:?}",
        start.elapsed()
    );
    assert_eq!(lab.truth(Service::Users).unwrap().max_in_flight, 30);
}

#[test]
fn beyond_its_capacity_a_service_slows_down_and_then_sheds() {
    let lab = lab(|s| (s.latency_ms, s.capacity) = (30.0, 4));
    let url = lab.url(Service::Users);
    let mut clients: Vec<Client> = (0..20).map(|_| Client::connect(&url).unwrap()).collect();
    let start = Instant::now();
    for client in &mut clients {
        client.send(b"GET /users/1 HTTP/1.1\r\n\r\n").unwrap();
    }
    let mut replies = vec![];
    for client in &mut clients {
        replies.push((client.receive().unwrap().status, start.elapsed()));
    }
    assert_eq!(replies.iter().filter(|(status, _)| *status == 503).count(), 4, "{replies:?}");
    let last = replies.iter().filter(|(status, _)| *status == 200).map(|(_, at)| *at).max().unwrap();
    assert!(last >= Duration::from_millis(120), "16 in flight at 4 take four times 30 ms, not {last:?}");
}

#[test]
fn a_rate_limit_says_when_to_come_back() {
    let lab = lab(|s| (s.rate_limit, s.rate_headers, s.retry_after_s) = (20, true, Some(7)));
    let mut client = Client::connect(&lab.url(Service::Users)).unwrap();
    let replies: Vec<_> = (0..10).map(|_| client.get("/users/1").unwrap()).collect();
    let refused: Vec<_> = replies.iter().filter(|r| r.status == 429).collect();
    assert!((5..=8).contains(&refused.len()), "{replies:?}");
    assert_eq!(refused[0].header("retry-after"), Some("7"));
    assert_eq!(refused[0].header("x-ratelimit-limit"), Some("20"));
    assert_eq!(refused[0].header("x-ratelimit-remaining"), Some("0"));
    assert_eq!((replies[0].status, replies[0].header("x-ratelimit-remaining")), (200, Some("1")));
    assert_eq!(replies[0].header("x-ratelimit-limit"), Some("20"));
    let truth = lab.truth(Service::Users).unwrap();
    assert_eq!((truth.statuses[&429], truth.accepted), (refused.len() as u64, 10 - refused.len() as u64));
    std::thread::sleep(Duration::from_millis(120));
    assert_eq!(client.get("/users/1").unwrap().status, 200);
}

#[test]
fn credentials_are_refused_at_once_or_after_a_while() {
    let lab = lab(|s| (s.deny, s.deny_after) = (403, 3));
    let mut client = Client::connect(&lab.url(Service::Users)).unwrap();
    let statuses: Vec<u16> = (0..5).map(|_| client.get("/users/1").unwrap().status).collect();
    assert_eq!(statuses, [200, 200, 200, 403, 403]);
    lab.set(Service::Users, |s| (s.deny, s.token) = (0, "sesame".to_owned())).unwrap();
    assert_eq!(client.get("/users/1").unwrap().status, 401);
    client.send(b"GET /users/1 HTTP/1.1\r\nauthorization: Bearer sesame\r\n\r\n").unwrap();
    assert_eq!(client.receive().unwrap().status, 200);
    client.send(b"GET /users/1 HTTP/1.1\r\nauthorization: Bearer sesam\r\n\r\n").unwrap();
    assert_eq!(client.receive().unwrap().status, 401);
}

#[test]
fn a_closed_service_cuts_and_refuses_and_opens_at_the_same_port() {
    let lab = lab(|_| {});
    let url = lab.url(Service::Videos);
    let mut client = Client::connect(&url).unwrap();
    assert_eq!(client.get("/videos/1").unwrap().status, 200);
    lab.close(Service::Videos).unwrap();
    assert_eq!(client.get("/videos/1"), Err(Broken::Closed));
    assert_eq!(get(&url, "/videos/1"), Err(Broken::Refused));
    assert_eq!(get(&lab.url(Service::Users), "/users/1").unwrap().status, 200);
    lab.close(Service::Videos).unwrap();
    lab.open(Service::Videos).unwrap();
    lab.open(Service::Videos).unwrap();
    assert_eq!(get(&url, "/videos/1").unwrap().status, 200);
}

#[test]
fn a_service_is_down_in_its_window() {
    let ms = Duration::from_millis;
    let lab = Lab::start(&LabSpec::enrich().down(Service::Users, ms(0), ms(250))).unwrap();
    let start = Instant::now();
    wait_until(|| get(&lab.url(Service::Users), "/users/1") == Err(Broken::Refused));
    wait_until(|| get(&lab.url(Service::Users), "/users/1").is_ok());
    assert!(start.elapsed() >= ms(200), "{:?}", start.elapsed());
}

#[test]
fn faults_follow_from_the_seed() {
    let outcomes = |seed: u64| -> Vec<u16> {
        let lab = Lab::start(&LabSpec::enrich().seed(seed).all(|s| s.error_rate = 0.5)).unwrap();
        let mut client = Client::connect(&lab.url(Service::Users)).unwrap();
        (0..50).map(|_| client.get("/users/1").unwrap().status).collect()
    };
    assert_eq!(outcomes(5), outcomes(5));
    assert_ne!(outcomes(5), outcomes(6));
}

pub(crate) fn wait_until(mut met: impl FnMut() -> bool) {
    let start = Instant::now();
    while !met() {
        assert!(start.elapsed() < Duration::from_secs(5), "still not so after 5 s");
        std::thread::sleep(Duration::from_millis(5));
    }
}
