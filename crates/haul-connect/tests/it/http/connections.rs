//! Which connections are used, used again, and given up.

use std::time::Duration;

use haul_connect::http::{BodyUse, Method};

use super::Rig;
use crate::serve::{Act, Server, reply, shown, then_close};

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let server = Server::start(|seen| reply("200 OK", "", seen.path())).await;
    let rig = Rig::new();
    for i in 0..20 {
        let got = rig.get(&server.url(&format!("/{i}"))).await.unwrap();
        assert_eq!(got.body, format!("/{i}"));
    }
    assert_eq!(server.connections(), 1);
    assert_eq!(rig.world.verdicts().len(), 20);
}

#[tokio::test]
async fn requests_at_the_same_time_have_a_connection_each() {
    let server = Server::start(|_| {
        let mut acts = vec![Act::Wait(Duration::from_millis(50))];
        acts.extend(reply("200 OK", "", "x"));
        acts
    })
    .await;
    let rig = Rig::new();
    let url = server.url("/");
    for _ in 0..2 {
        let (a, b, c) = tokio::join!(rig.get(&url), rig.get(&url), rig.get(&url));
        assert!(a.is_ok() && b.is_ok() && c.is_ok());
    }
    assert_eq!(server.connections(), 3);
}

#[tokio::test]
async fn a_connection_closed_while_idle_is_replaced_in_silence() {
    let server = Server::start(|_| then_close("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")).await;
    let rig = Rig::new();
    for method in [Method::Get, Method::Post, Method::Put] {
        rig.send(method, &server.url("/"), Some("{}".into())).await.unwrap();
        // Long enough for the end of the connection to arrive.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!((server.connections(), server.seen().len()), (3, 3));
    assert!(rig.world.verdicts().iter().all(Option::is_some));
}

#[tokio::test]
async fn a_connection_idle_for_long_that_breaks_under_a_request_costs_a_get_nothing() {
    // The second request on a connection is answered with its end.
    let server =
        Server::start(|seen| if seen.number == 1 { vec![Act::Close] } else { reply("200 OK", "", "x") })
            .await;
    let rig = Rig::new();
    rig.get(&server.url("/1")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    rig.get(&server.url("/2")).await.unwrap();
    let asked: Vec<(usize, String)> =
        server.seen().iter().map(|s| (s.connection, s.path().to_owned())).collect();
    assert_eq!(asked, [(0, "/1".into()), (0, "/2".into()), (1, "/2".into())]);
    assert_eq!(rig.world.verdicts().len(), 2, "one permit each");
}

#[tokio::test]
async fn a_busy_connection_that_breaks_is_a_fault_so_that_nothing_is_sent_without_a_slot() {
    let server =
        Server::start(|seen| if seen.number == 1 { vec![Act::Close] } else { reply("200 OK", "", "x") })
            .await;
    let rig = Rig::new();
    rig.get(&server.url("/1")).await.unwrap();
    assert_eq!(rig.get(&server.url("/2")).await.unwrap_err().code(), "reset");
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_post_that_may_have_been_delivered_is_not_sent_again() {
    for reset in [false, true] {
        let server = Server::start(move |seen| match seen.number {
            1 if reset => vec![Act::Reset],
            1 => vec![Act::Close],
            _ => reply("200 OK", "", "x"),
        })
        .await;
        let rig = Rig::new();
        rig.post(&server.url("/1"), "{}").await.unwrap();
        let fault = rig.post(&server.url("/2"), "{}").await.unwrap_err();
        assert!(fault.is_ambiguous() && fault.code() == "reset", "{}", shown(&fault));
        assert_eq!(server.seen().len(), 2);
    }
}

#[tokio::test]
async fn a_get_that_breaks_on_a_new_connection_is_a_fault() {
    let server = Server::start(|_| vec![Act::Close]).await;
    let fault = Rig::new().get(&server.url("/")).await.unwrap_err();
    assert_eq!((fault.code(), server.seen().len()), ("reset", 1));
}

#[tokio::test]
async fn connections_end_when_either_side_says_so() {
    for head in [
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
        "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx",
        // Bytes after the reply belong to nothing: the connection is not trusted.
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxy",
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    ] {
        let server = Server::start(move |_| vec![Act::Send(head.into())]).await;
        let rig = Rig::new();
        for _ in 0..2 {
            assert_eq!(rig.get(&server.url("/")).await.unwrap().body, "x", "{head}");
        }
        assert_eq!(server.connections(), 2, "{head}");
    }
    let keeps = "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx";
    let server = Server::start(move |_| vec![Act::Send(keeps.into())]).await;
    let rig = Rig::new();
    for _ in 0..2 {
        rig.get(&server.url("/")).await.unwrap();
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_connection_is_not_used_when_the_service_is_about_to_close_it() {
    let server = Server::start(|_| reply("200 OK", "Keep-Alive: timeout=1\r\n", "x")).await;
    let rig = Rig::new();
    for (wait_ms, connections) in [(0, 1), (50, 1), (600, 2)] {
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        rig.get(&server.url("/")).await.unwrap();
        assert_eq!(server.connections(), connections, "after {wait_ms} ms");
    }
}

#[tokio::test]
async fn an_attempt_that_is_given_up_takes_its_connection_and_permit_along() {
    let server = Server::start(|_| vec![Act::Wait(Duration::from_secs(60))]).await;
    let rig = Rig::new();
    let url = server.url("/");
    let cancelled = tokio::time::timeout(Duration::from_millis(50), rig.get(&url)).await;
    assert!(cancelled.is_err());
    assert!(matches!(rig.world.verdicts()[..], [None]));
}

#[tokio::test]
async fn a_reply_before_the_body_was_sent_is_taken() {
    let server = Server::start_early(|_| {
        then_close("HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig")
    })
    .await;
    let rig = Rig::new();
    // More than the sockets hold, so that sending cannot end.
    let got = rig.post(&server.url("/"), vec![b'x'; 12 << 20]).await.unwrap();
    assert_eq!((got.status, &got.body[..]), (413, &b"big"[..]));
}

#[tokio::test]
async fn large_bodies_arrive_whole() {
    let server = Server::start(|seen| reply("200 OK", "", seen.body.len().to_string())).await;
    let rig = Rig::new();
    for size in [0, 1, 8 * 1024, 8 * 1024 + 1, 3 << 20] {
        let body: Vec<u8> = (0..size).map(|i: usize| i.to_le_bytes()[i % 3]).collect();
        let got = rig.post(&server.url("/"), body.clone()).await.unwrap();
        assert_eq!(got.body, size.to_string());
        assert!(server.seen().last().unwrap().body == body, "{size}");
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_long_drained_body_is_not_read_to_its_end() {
    let server = Server::start(|_| {
        let head = b"HTTP/1.1 500 No\r\nContent-Length: 100000000\r\n\r\nsorry".to_vec();
        vec![Act::Send(head), Act::Send(vec![b' '; 20_000]), Act::Wait(Duration::from_secs(60))]
    })
    .await;
    let mut rig = Rig::new();
    rig.body_use = BodyUse::Drain;
    let got = rig.post(&server.url("/"), "{}").await.unwrap();
    assert!(got.status == 500 && got.body.starts_with(b"sorry"));
}
