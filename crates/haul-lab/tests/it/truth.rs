//! The record of the truth against what a client did.

use haul_lab::{Lab, LabSpec, Service};

use crate::client::{Client, get};

/// Posts a document as given; the status.
fn post(client: &mut Client, key: &str, user: &[u8], video: &[u8]) -> u16 {
    let header = if key.is_empty() { String::new() } else { format!("Idempotency-Key: {key}\r\n") };
    let body = [b"{\"user\":", user, b",\"video\":", video, b"}"].concat();
    client.post("/index", &header, &body).unwrap().status
}

#[test]
fn documents_are_told_apart_by_pair_and_key() {
    let lab = Lab::start(&LabSpec::enrich()).unwrap();
    let mut client = Client::connect(&lab.url(Service::Index)).unwrap();
    let (user, video) = (|id| lab.served(Service::Users, id), |id| lab.served(Service::Videos, id));
    for n in 0..50 {
        assert_eq!(post(&mut client, &format!("k{n}"), &user(n), &video(2 * n)), 201);
    }
    let t = lab.truth(Service::Index).unwrap();
    assert_eq!((t.accepted, t.unique, t.repeated, t.replayed, t.mismatched), (50, 50, 0, 0, 0));
    post(&mut client, "k7", &user(7), &video(14));
    post(&mut client, "other", &user(7), &video(14));
    post(&mut client, "", &user(8), &video(16));
    post(&mut client, "k9", &user(7), &video(99));
    let t = lab.truth(Service::Index).unwrap();
    assert_eq!((t.accepted, t.unique, t.repeated, t.replayed, t.conflicts, t.keyless), (52, 50, 2, 1, 1, 1));
    assert_eq!(t.statuses[&201], 54);
}

#[test]
fn bytes_that_are_not_what_was_served_are_mismatched() {
    let lab = Lab::start(&LabSpec::enrich()).unwrap();
    let mut client = Client::connect(&lab.url(Service::Index)).unwrap();
    let mut rates = (0..4000).filter_map(|id| {
        let text = String::from_utf8(lab.served(Service::Videos, id)).unwrap();
        text.contains("23.9760239760,").then_some((id, text))
    });
    let (id, video) = rates.next().unwrap();
    let user = lab.served(Service::Users, 5);
    post(&mut client, "a", &user, video.as_bytes());
    assert_eq!(lab.truth(Service::Index).unwrap().mismatched, 0);
    // What a round trip through a double makes of it.
    let value: serde_json::Value = serde_json::from_str(&video).unwrap();
    assert_eq!(value["id"], id);
    post(&mut client, "b", &user, video.replace("23.9760239760,", "23.976023976,").as_bytes());
    let t = lab.truth(Service::Index).unwrap();
    assert_eq!(t.mismatched, 1);
    assert!(t.first_mismatch.unwrap().contains("23.976023976,"));
    // A part of the members, from the same bytes.
    let name = String::from_utf8(user.clone()).unwrap();
    let country = name.split("\"country\"").nth(1).unwrap().split('"').nth(1).unwrap();
    let part = format!("{{\"id\":5,\"country\":\"{country}\"}}");
    post(&mut client, "c", part.as_bytes(), video.as_bytes());
    assert_eq!(lab.truth(Service::Index).unwrap().mismatched, 1);
    post(&mut client, "d", b"{\"id\":5,\"country\":\"??\"}", video.as_bytes());
    post(&mut client, "e", b"null", video.as_bytes());
    let t = lab.truth(Service::Index).unwrap();
    assert_eq!((t.mismatched, t.unidentified, t.unique, t.repeated), (3, 1, 1, 3));
}

#[test]
fn the_sums_agree_with_what_the_client_saw() {
    let spec = LabSpec::enrich().all(|s| {
        (s.error_rate, s.drop_rate, s.reply_loss, s.truncate_rate, s.html_rate) = (0.1, 0.1, 0.1, 0.1, 0.1);
    });
    let lab = Lab::start(&spec).unwrap();
    let url = lab.url(Service::Users);
    let (mut good, mut html, mut broken) = (0, 0, 0);
    for id in 0..300 {
        match get(&url, &format!("/users/{id}")) {
            Ok(reply) if reply.status == 200 && reply.header("content-type") == Some("application/json") => {
                good += 1
            }
            Ok(reply) if reply.status == 200 => html += 1,
            Ok(_) => {}
            Err(_) => broken += 1,
        }
    }
    let t = lab.truth(Service::Users).unwrap();
    assert_eq!((t.requests, t.connections, t.statuses[&200], t.html), (300, 300, good, html));
    assert_eq!(t.dropped + t.reply_lost + t.truncated, broken);
    assert_eq!(t.accepted, good + t.reply_lost + t.truncated);
    assert_eq!(t.statuses.values().sum::<u64>() + t.html + broken, 300);
    assert_eq!((t.max_in_flight, t.in_flight), (1, 0));
    assert!(t.busiest_second > 0 && t.busiest_second <= 300);
}

#[test]
fn lookups_asked_for_again_are_seen() {
    let lab = Lab::start(&LabSpec::enrich()).unwrap();
    let mut client = Client::connect(&lab.url(Service::Users)).unwrap();
    for id in [1, 2, 3, 2, 2] {
        client.get(&format!("/users/{id}")).unwrap();
    }
    let t = lab.truth(Service::Users).unwrap();
    assert_eq!((t.accepted, t.unique, t.repeated), (5, 3, 2));
}

#[test]
fn documents_may_come_in_bulk() {
    let lab = Lab::start(&LabSpec::enrich().only(Service::Index, |s| s.refuse_rate = 0.3)).unwrap();
    let text = |service, id| String::from_utf8(lab.served(service, id)).unwrap().replace(['\n', '\r'], " ");
    let refused = (0..10).filter(|v| lab.is_refused(1, *v)).count() as u64;
    assert!((1..10).contains(&refused));
    let lines: String = (0..10)
        .map(|v| {
            let (user, video) = (text(Service::Users, 1), text(Service::Videos, v));
            format!("{{\"index\":{{\"_id\":\"k{v}\"}}}}\n{{\"user\":{user},\"video\":{video}}}\n")
        })
        .collect();
    let mut client = Client::connect(&lab.url(Service::Index)).unwrap();
    let mut post = |path: &str, body: &str| client.post(path, "", body.as_bytes()).unwrap();
    let reply = post("/index/_bulk", &lines);
    assert_eq!(reply.status, 200);
    let said = reply.json();
    for v in 0..10 {
        let item = &said["items"][v as usize]["index"];
        assert_eq!(item["_id"], format!("k{v}"));
        assert_eq!(item["status"], if lab.is_refused(1, v) { 400 } else { 201 });
    }
    assert_eq!(post("/index/_bulk", lines.trim_end()).status, 400, "the last line is not ended");
    assert_eq!(post("/index/_bulk", "{\"delete\":{}}\n{}\n").status, 400);
    let t = lab.truth(Service::Index).unwrap();
    assert_eq!((t.documents, t.refused, t.accepted, t.unique), (10, refused, 10 - refused, 10 - refused));
    let videos = |good: bool| -> Vec<u64> { (10..30).filter(|v| lab.is_refused(2, *v) != good).collect() };
    let body = |ids: &[u64]| {
        let entry = |v: &u64| format!("{{\"key\":\"k{v}\",\"video\":{}}}", text(Service::Videos, *v));
        let entries: Vec<String> = ids.iter().map(entry).collect();
        format!("{{\"user\":{},\"videos\":[{}]}}", text(Service::Users, 2), entries.join(","))
    };
    assert_eq!(post("/index/videos", &body(&videos(true))).status, 201);
    assert_eq!(post("/index/videos", &body(&[videos(true)[0], videos(false)[0]])).status, 422);
    let t = lab.truth(Service::Index).unwrap();
    assert_eq!(t.unique, 10 - refused + videos(true).len() as u64);
    assert_eq!((t.replayed, t.mismatched, t.refused), (0, 0, refused + 2), "{t:?}");
}
