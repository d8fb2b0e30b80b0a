//! Every way a request can fail to get its reply.

use std::time::{Duration, Instant};

use haul_connect::http::{BodyUse, ClientOptions, Url};
use haul_core::FaultClass;
use haul_core::lane::Sign;

use super::Rig;
use crate::serve::{Act, Server, shown, then_close, then_reset};

#[tokio::test]
async fn nobody_listens() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let rig = Rig::new();
    let fault = rig.get(&Url::parse(&format!("http://{address}/x")).unwrap()).await.unwrap_err();
    assert_eq!(shown(&fault), format!("transient connect: http://{address}: connection refused"));
    assert!(!fault.is_ambiguous() && fault.origin() == Some(&address.to_string()));
    assert_eq!(rig.world.last_verdict().sign, Sign::Unreachable);
}

#[tokio::test]
async fn a_name_without_address() {
    let rig = Rig::new();
    let fault = rig.get(&Url::parse("http://no-such-host.invalid/").unwrap()).await.unwrap_err();
    assert_eq!((fault.code(), fault.class()), ("connect", FaultClass::Transient));
    assert!(fault.message().contains("no address for no-such-host.invalid"), "{fault}");
}

#[tokio::test]
async fn the_addresses_of_a_name_are_tried_in_turn() {
    // localhost may have ::1 first, where nobody listens.
    let server = Server::start(|_| crate::serve::reply("200 OK", "", "x")).await;
    let rig = Rig::new();
    for _ in 0..2 {
        assert_eq!(rig.get(&server.url_as("localhost", "/")).await.unwrap().body, "x");
    }
}

#[tokio::test]
async fn silence_and_slowness_have_their_own_ends() {
    let silent = || vec![Act::Wait(Duration::from_secs(60))];
    let cut_silent = || {
        vec![
            Act::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab".to_vec()),
            Act::Wait(Duration::from_secs(60)),
        ]
    };
    let dripping = || {
        let mut acts = vec![Act::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n".to_vec())];
        for _ in 0..900 {
            acts.push(Act::Send(b"x".to_vec()));
            acts.push(Act::Wait(Duration::from_millis(20)));
        }
        acts
    };
    type Script = fn() -> Vec<Act>;
    let scripts: [(Script, &str); 3] = [
        (silent, "nothing came for 80ms"),
        (cut_silent, "nothing came for 80ms"),
        (dripping, "no complete reply within 200ms"),
    ];
    for (script, says) in scripts {
        let server = Server::start(move |_| script()).await;
        let read_timeout = Duration::from_millis(80);
        let mut rig = Rig::with(ClientOptions { read_timeout, ..ClientOptions::default() });
        rig.timeout = Duration::from_millis(200);
        let from = Instant::now();
        let fault = rig.post(&server.url("/"), "{}").await.unwrap_err();
        assert!(from.elapsed() < Duration::from_secs(3));
        assert_eq!(
            (fault.code(), fault.class(), fault.is_ambiguous()),
            ("timeout", FaultClass::Transient, true)
        );
        assert!(fault.message().ends_with(says), "{fault}");
        assert_eq!(rig.world.last_verdict().sign, Sign::Lost);
    }
}

#[tokio::test]
async fn the_timer_of_a_connection_serves_one_request_after_the_other() {
    let server = Server::start(|seen| {
        let wait = if seen.number < 4 { 60 } else { 10_000 };
        let mut acts = vec![Act::Wait(Duration::from_millis(wait))];
        acts.extend(crate::serve::reply("200 OK", "", "x"));
        acts
    })
    .await;
    let read_timeout = Duration::from_secs(10);
    let mut rig = Rig::with(ClientOptions { read_timeout, ..ClientOptions::default() });
    rig.timeout = Duration::from_millis(150);
    // Together longer than one time-out: each request has its own.
    for _ in 0..4 {
        rig.get(&server.url("/")).await.unwrap();
    }
    rig.timeout = Duration::from_millis(50);
    let from = Instant::now();
    assert_eq!(rig.get(&server.url("/")).await.unwrap_err().code(), "timeout");
    assert!(from.elapsed() < Duration::from_millis(140), "a shorter time-out is not late");
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn no_connection_within_its_time() {
    // A listener whose queue is full lets further connections wait.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut filling = Vec::new();
    for _ in 0..4 {
        let connect = tokio::net::TcpStream::connect(address);
        filling.push(tokio::time::timeout(Duration::from_millis(50), connect).await);
    }
    let connect_timeout = Duration::from_millis(100);
    let rig = Rig::with(ClientOptions { connect_timeout, ..ClientOptions::default() });
    let fault = rig.post(&Url::parse(&format!("http://{address}/")).unwrap(), "{}").await.unwrap_err();
    assert_eq!(fault.code(), "timeout", "{}", shown(&fault));
    assert!(!fault.is_ambiguous() && fault.message().contains("connection"), "{fault}");
}

#[tokio::test]
async fn cut_off_at_every_stage() {
    const LENGTH: &str = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n";
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (sent, code) in [
        (String::new(), "reset"),
        ("HTTP/1.1 2".to_owned(), "truncated"),
        ("HTTP/1.1 200 OK\r\nContent-".to_owned(), "truncated"),
        (LENGTH.to_owned(), "truncated"),
        (format!("{LENGTH}abc"), "truncated"),
        (CHUNKED.to_owned(), "truncated"),
        (format!("{CHUNKED}5\r\nab"), "truncated"),
        (format!("{CHUNKED}5\r\nabcde\r\n"), "truncated"),
        (format!("{CHUNKED}5\r\nabcde\r\n0\r\n"), "truncated"),
    ] {
        for reset in [false, true] {
            let bytes = sent.clone();
            let server =
                Server::start(move |_| if reset { then_reset(&bytes) } else { then_close(&bytes) }).await;
            let rig = Rig::new();
            let fault = rig.post(&server.url("/"), "{}").await.unwrap_err();
            assert_eq!(fault.code(), code, "reset {reset} after {sent:?}: {fault}");
            assert!(fault.class() == FaultClass::Transient && fault.is_ambiguous());
            assert_eq!(rig.world.last_verdict().sign, Sign::Lost);
        }
    }
}

#[tokio::test]
async fn a_drained_reply_counts_from_its_status() {
    let server = Server::start(|_| then_close("HTTP/1.1 201 Created\r\nContent-Length: 10\r\n\r\nabc")).await;
    let mut rig = Rig::new();
    rig.body_use = BodyUse::Drain;
    assert_eq!(rig.post(&server.url("/"), "{}").await.unwrap().status, 201);
}

#[tokio::test]
async fn what_is_no_http() {
    for (bytes, says) in [
        ("SSH-2.0-OpenSSH_9.6\r\n", "does not start with HTTP/1."),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "two Content-Lengths"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "chunk size"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "not supported"),
    ] {
        let server = Server::start(move |_| then_close(bytes)).await;
        let rig = Rig::new();
        let fault = rig.get(&server.url("/")).await.unwrap_err();
        assert_eq!((fault.code(), fault.class()), ("body", FaultClass::Transient));
        assert!(fault.message().contains(says), "{fault}");
    }
}

#[tokio::test]
async fn faults_show_no_signature() {
    let server = Server::start(|_| vec![Act::Close]).await;
    let url = server.url("/k?X-Amz-Signature=5ecre7&n=1");
    let fault = Rig::new().get(&url).await.unwrap_err();
    assert!(fault.message().contains("n=1") && !fault.message().contains("5ecre7"), "{fault}");
    assert!(server.seen()[0].path().contains("5ecre7"), "the request has it");
}
