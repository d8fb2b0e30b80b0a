//! Replies of every shape, and what their lanes are told.

use std::io::Write;
use std::time::Duration;

use haul_connect::http::StatusRules;
use haul_core::FaultClass;
use haul_core::job::{OnStatus, StatusSet};
use haul_core::lane::Sign;

use super::Rig;
use crate::serve::{Act, Server, reply, then_close};

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    e.write_all(data).unwrap();
    e.finish().unwrap()
}

fn zlib(data: &[u8]) -> Vec<u8> {
    let mut e = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    e.write_all(data).unwrap();
    e.finish().unwrap()
}

fn brotli(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    brotli::CompressorWriter::new(&mut out, 4096, 5, 22).write_all(data).unwrap();
    out
}

async fn get_once(acts: impl Fn() -> Vec<Act> + Send + Sync + 'static) -> haul_connect::http::Reply {
    let server = Server::start(move |_| acts()).await;
    Rig::new().get(&server.url("/")).await.unwrap()
}

#[tokio::test]
async fn bodies_are_decoded_whether_asked_for_or_not() {
    let data =
        b"{\"data\": {\"id\": 1, \"text\": \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}}";
    for (name, coded) in [
        ("gzip", gzip(data)),
        ("X-Gzip", [gzip(&data[..10]), gzip(&data[10..])].concat()),
        ("deflate", zlib(data)),
        ("br", brotli(data)),
        ("zstd", zstd::encode_all(&data[..], 1).unwrap()),
        ("gzip, br", brotli(&gzip(data))),
        ("identity", data.to_vec()),
    ] {
        let header = format!("Content-Encoding: {name}\r\n");
        let server = Server::start(move |_| reply("200 OK", &header, &coded)).await;
        let rig = Rig::new();
        assert_eq!(&rig.get(&server.url("/")).await.unwrap().body[..], data, "{name}");
        let verdict = rig.world.last_verdict();
        assert_eq!(verdict.decoded_in, data.len() as u64, "{name}");
        assert!(verdict.wire_in > 0 && verdict.wire_out > 0 && verdict.sign == Sign::Answered);
    }
}

#[tokio::test]
async fn broken_codings_are_faults_and_bombs_are_refused() {
    for (name, body, code, class) in [
        ("gzip", gzip(&[1; 999])[..20].to_vec(), "body", FaultClass::Transient),
        ("br", b"{\"not\": \"brotli\"}".to_vec(), "body", FaultClass::Transient),
        ("zstd", b"{\"not\": \"zstd\"}".to_vec(), "body", FaultClass::Transient),
        ("deflate", b"{\"not\": \"deflate\"}".to_vec(), "body", FaultClass::Transient),
        ("snappy", b"x".to_vec(), "body", FaultClass::Permanent),
        ("gzip", gzip(&vec![0; 17 << 20]), "too_large", FaultClass::Permanent),
        ("br", brotli(&vec![0; 17 << 20]), "too_large", FaultClass::Permanent),
        ("zstd", zstd::encode_all(&vec![0; 17 << 20][..], 1).unwrap(), "too_large", FaultClass::Permanent),
    ] {
        let header = format!("Content-Encoding: {name}\r\n");
        let server = Server::start(move |_| reply("200 OK", &header, &body)).await;
        let fault = Rig::new().get(&server.url("/")).await.unwrap_err();
        assert_eq!((fault.code(), fault.class()), (code, class), "{name}: {fault}");
    }
}

#[tokio::test]
async fn framings_and_interim_replies() {
    let chunked = || {
        let mut acts = Vec::new();
        let wire = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n\
                    HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3;x=y\r\ndef\r\n0\r\nT: u\r\n\r\n";
        for piece in wire.as_bytes().chunks(11) {
            acts.push(Act::Send(piece.to_vec()));
            acts.push(Act::Wait(Duration::from_millis(1)));
        }
        acts
    };
    assert_eq!(get_once(chunked).await.body, "abcdef");
    let until_close = || then_close("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nold but good");
    assert_eq!(get_once(until_close).await.body, "old but good");
    let empty = get_once(|| vec![Act::Send(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec())]).await;
    assert_eq!((empty.status, empty.body.len()), (204, 0));
    let not_modified =
        get_once(|| vec![Act::Send(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n".to_vec())])
            .await;
    assert_eq!((not_modified.status, not_modified.body.len()), (304, 0));
    let coded_nothing = get_once(|| reply("200 OK", "Content-Encoding: gzip\r\n", "")).await;
    assert_eq!(coded_nothing.body.len(), 0);
}

#[tokio::test]
async fn large_heads_and_large_bodies_within_their_bounds() {
    let header = format!("X-Large: {}\r\n", "y".repeat(60_000));
    let server = Server::start(move |_| reply("200 OK", &header, vec![b'z'; 5 << 20])).await;
    assert_eq!(Rig::new().get(&server.url("/")).await.unwrap().body.len(), 5 << 20);

    let header = format!("X-Large: {}\r\n", "y".repeat(70_000));
    let server = Server::start(move |_| reply("200 OK", &header, "x")).await;
    let fault = Rig::new().get(&server.url("/")).await.unwrap_err();
    assert_eq!((fault.code(), fault.class()), ("too_large", FaultClass::Permanent));

    let claims = "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n";
    let server =
        Server::start(move |_| vec![Act::Send(claims.into()), Act::Wait(Duration::from_secs(60))]).await;
    assert_eq!(Rig::new().get(&server.url("/")).await.unwrap_err().code(), "too_large");
}

#[tokio::test]
async fn retry_after_reaches_the_lane_and_the_fault_in_both_forms() {
    let in_a_minute = httpdate::fmt_http_date(std::time::SystemTime::now() + Duration::from_secs(60));
    for (status, value, least, most) in
        [("429 Too Many Requests", "7".to_owned(), 7, 7), ("503 Service Unavailable", in_a_minute, 50, 60)]
    {
        let header = format!("Retry-After: {value}\r\n");
        let server = Server::start(move |_| reply(status, &header, "slow down")).await;
        let rig = Rig::new();
        let got = rig.get(&server.url("/")).await.unwrap();
        let wait = got.wait().unwrap().as_secs();
        assert!((least..=most).contains(&wait), "{value}: {wait}");
        let verdict = rig.world.last_verdict();
        assert_eq!((verdict.sign, verdict.retry_after.map(|w| w.as_secs())), (Sign::Throttled, Some(wait)));
    }
}

#[tokio::test]
async fn lanes_are_told_how_it_went() {
    let server = Server::start(|seen| reply(&seen.path()[1..4], "", "x")).await;
    for (status, sign) in [
        (200, Sign::Answered),
        (404, Sign::Answered),
        (401, Sign::Denied),
        (403, Sign::Denied),
        (500, Sign::Erred),
        (429, Sign::Throttled),
    ] {
        let rig = Rig::new();
        rig.get(&server.url(&format!("/{status}"))).await.unwrap();
        assert_eq!(rig.world.last_verdict().sign, sign, "{status}");
    }
    let mut rig = Rig::new();
    rig.rules = StatusRules { on: vec![(StatusSet::One(403), OnStatus::Skip)], expect: Vec::new() };
    rig.get(&server.url("/403")).await.unwrap();
    assert_eq!(rig.world.last_verdict().sign, Sign::Answered, "the job expects it");
}

#[tokio::test]
async fn bodies_are_counted_while_they_live() {
    let server = Server::start(|_| reply("200 OK", "", vec![b'x'; 1000])).await;
    let rig = Rig::new();
    let got = rig.get(&server.url("/")).await.unwrap();
    assert_eq!(rig.world.budget.used(), 1000);
    drop(got);
    assert_eq!(rig.world.budget.used(), 0);
}
