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
