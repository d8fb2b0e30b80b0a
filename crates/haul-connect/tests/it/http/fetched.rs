//! Bodies that are handed on as they come, as downloads take them.

use std::io::Write;

use haul_connect::http::encoding::{Coding, encode_gzip};
use haul_connect::http::fetch::{FetchHead, Receive};
use haul_connect::http::{BodyUse, Call, HeaderLines, Method, RequestHeaders, Url};
use haul_core::{Fault, FaultClass};

use super::tls::Authority;
use super::{NONE, Rig};
use crate::serve::{Server, reply};

/// Takes a body and keeps what it is told.
#[derive(Default)]
struct Taken {
    head: Option<FetchHead>,
    first: Option<Vec<u8>>,
    body: Vec<u8>,
    ended: bool,
    keeps: bool,
}

impl Receive for Taken {
    fn head(&mut self, head: &FetchHead, _: &Url) -> Result<(), Fault> {
        self.head = Some(head.clone());
        Ok(())
    }

    fn first(&mut self, bytes: &[u8], _: &Url) -> Result<(), Fault> {
        assert!(self.first.replace(bytes.to_vec()).is_none(), "first bytes come once");
        Ok(())
    }

    fn body(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.body.extend_from_slice(bytes);
        Ok(())
    }

    fn end(&mut self) -> Result<(), Fault> {
        self.ended = true;
        Ok(())
    }

    fn keeps(&self, _: Coding) -> bool {
        self.keeps
    }
}

async fn fetch(rig: &Rig, url: &Url, to: &mut Taken) -> Result<(), Fault> {
    let own = HeaderLines::plain("*/*", &NONE);
    let headers = RequestHeaders { own: &own, idempotency: None, configured: &NONE, secret: &NONE };
    let (method, body_use, timeout) = (Method::Get, BodyUse::Keep, rig.timeout);
    let call = Call { method, url, headers, body: None, body_use, timeout };
    let cx = rig.world.cx();
    let lane = cx.lanes.lane(&url.origin(&"".into()));
    rig.client.fetch(&call, lane, &rig.rules, &cx, to).await.map(drop)
}

fn coded(name: &str, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match name {
        "gzip" => return encode_gzip(data).unwrap(),
        "deflate" => {
            let mut e = flate2::write::ZlibEncoder::new(&mut out, flate2::Compression::default());
            e.write_all(data).unwrap();
            e.finish().unwrap();
        }
        "br" => brotli::CompressorWriter::new(&mut out, 4096, 5, 22).write_all(data).unwrap(),
        _ => return zstd::encode_all(data, 3).unwrap(),
    }
    out
}

#[tokio::test]
async fn a_coding_that_nobody_asked_for_is_undone() {
    let data: Vec<u8> = (0..90_000u32).flat_map(|n| (n / 3).to_le_bytes()).collect();
    let served = data.clone();
    let server = Server::start(move |seen| {
        let name = seen.path().trim_start_matches('/').split('/').next().unwrap();
        let mut body = coded(name, &served);
        if seen.path().ends_with("/cut") {
            body.truncate(body.len() / 2);
        }
        reply("200 OK", &format!("Content-Encoding: {name}\r\nETag: \"e\"\r\n"), body)
    })
    .await;
    let rig = Rig::new();
    for name in ["gzip", "deflate", "br", "zstd"] {
        let mut taken = Taken::default();
        fetch(&rig, &server.url(&format!("/{name}")), &mut taken).await.unwrap();
        assert!(taken.body == data && taken.ended, "{name}");
        assert!(data.starts_with(&taken.first.unwrap()), "{name}");
        let head = taken.head.unwrap();
        assert_eq!((head.length, head.validator), (None, None), "they speak of what is sent");
        // A file that is one in this coding stays one.
        let mut kept = Taken { keeps: true, ..Taken::default() };
        fetch(&rig, &server.url(&format!("/{name}")), &mut kept).await.unwrap();
        assert!(kept.body == coded(name, &data) && kept.head.unwrap().length.is_some(), "{name}");
    }
    for name in ["gzip", "br"] {
        let mut taken = Taken::default();
        let fault = fetch(&rig, &server.url(&format!("/{name}/cut")), &mut taken).await.unwrap_err();
        assert_eq!((fault.code(), fault.class()), ("body", FaultClass::Transient), "{name}");
    }
    assert_eq!(server.seen()[0].header("accept-encoding"), Some("identity"));
}

#[tokio::test]
async fn unknown_codings_and_coded_parts_are_refused() {
    let server = Server::start(|seen| match seen.path() {
        "/part" => {
            reply("206 Partial Content", "Content-Encoding: gzip\r\nContent-Range: bytes 0-2/9\r\n", "abc")
        }
        _ => reply("200 OK", "Content-Encoding: compress\r\n", "abc"),
    })
    .await;
    let rig = Rig::new();
    for (path, code) in [("/part", "range"), ("/", "body")] {
        let fault = fetch(&rig, &server.url(path), &mut Taken::default()).await.unwrap_err();
        assert_eq!(fault.code(), code, "{}", fault.message());
    }
}

#[tokio::test]
async fn files_come_in_http1_from_a_service_that_would_rather_speak_http2() {
    let authority = Authority::new("ours");
    let tls = authority.speaking(&["127.0.0.1"], &[b"h2", b"http/1.1"]);
    let server = Server::start_tls(tls, |_| reply("200 OK", "", "the file")).await;
    let rig = Rig::trusting(authority.roots());
    let mut taken = Taken::default();
    fetch(&rig, &server.url("/a"), &mut taken).await.unwrap();
    assert_eq!(taken.body, b"the file");
    assert!(server.seen()[0].head.starts_with("GET /a HTTP/1.1"));
}
