//! Bodies that are read piece by piece, as sources of rows.

use std::time::Duration;

use haul_connect::assemble::{AssembleContext, assemble};
use haul_core::{FaultClass, Opener};

use super::Rig;
use crate::serve::{Act, Server, World, reply, shown};
use crate::steps::job;

async fn rows(server: &Server, world: &World) -> Result<Vec<String>, haul_core::Fault> {
    let mut job = job("[output]\njsonl = \"-\"");
    job.source.location = server.url("/rows?token=t0k").as_str().to_owned();
    job.limits.timeout = Duration::from_secs(5);
    job.limits.read_timeout = Duration::from_millis(300);
    let ready = assemble(&job, &AssembleContext { output: None, ..AssembleContext::default() }).unwrap();
    let opener: std::sync::Arc<dyn Opener> = ready.opener;
    let cx = world.cx();
    let mut source = opener.open(&opener.slices()[0], None, &cx).await?;
    let mut all = Vec::new();
    while let Some(page) = source.next_page(&cx).await? {
        for item in page.items {
            all.push(String::from_utf8(item.record.unwrap().base().to_vec()).unwrap());
        }
    }
    Ok(all)
}

fn lines(n: usize) -> String {
    (0..n).map(|i| format!("{{\"row\":{i}}}\n")).collect()
}

#[tokio::test]
async fn rows_come_from_a_url_in_any_framing() {
    let body = lines(5000);
    let chunked = || {
        let mut wire = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for chunk in lines(5000).as_bytes().chunks(999) {
            wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            wire.extend_from_slice(chunk);
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b"0\r\n\r\n");
        vec![Act::Send(wire)]
    };
    let until_close =
        || vec![Act::Send(format!("HTTP/1.0 200 OK\r\n\r\n{}", lines(5000)).into()), Act::Close];
    let server = Server::start(move |seen| match seen.number {
        0 => reply("302 Found", "Location: /elsewhere\r\n", ""),
        1 => reply("200 OK", "", &body),
        2 => chunked(),
        _ => until_close(),
    })
    .await;
    for _ in 0..3 {
        let world = World::new();
        let got = rows(&server, &world).await.unwrap();
        assert_eq!((got.len(), got[4999].as_str()), (5000, "{\"row\":4999}"));
        assert!(world.verdicts().iter().all(Option::is_some), "permits end with the head");
    }
    assert_eq!(server.seen()[0].header("accept-encoding"), Some("identity"));
}

#[tokio::test]
async fn a_stream_that_cannot_be_opened_says_why() {
    for (status, class) in [
        ("404 Not Found", FaultClass::Permanent),
        ("503 Service Unavailable", FaultClass::Throttled),
        ("500 No", FaultClass::Transient),
    ] {
        let server = Server::start(move |_| reply(status, "Retry-After: 4\r\n", "x")).await;
        let fault = rows(&server, &World::new()).await.unwrap_err();
        assert_eq!((fault.code(), fault.class()), ("status", class), "{}", shown(&fault));
        assert_eq!(fault.retry_after(), Some(Duration::from_secs(4)));
        assert!(fault.message().contains("/rows?token=***: "), "{fault}");
    }
}

#[tokio::test]
async fn a_stream_that_ends_early_or_falls_silent_is_a_fault() {
    let rig = Rig::new();
    for (acts, code) in [
        (vec![Act::Close], "truncated"),
        (vec![Act::Reset], "truncated"),
        (vec![Act::Wait(Duration::from_secs(30))], "timeout"),
    ] {
        let acts = std::sync::Mutex::new(Some(acts));
        let server = Server::start(move |_| {
            let head = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\nETag: \"v1\"\r\n\r\nabc".to_vec();
            let mut all = vec![Act::Send(head), Act::Wait(Duration::from_millis(20))];
            all.extend(acts.lock().unwrap().take().unwrap());
            all
        })
        .await;
        let fault = rig.stream_until_fault(&server.url("/")).await;
        assert_eq!((fault.code(), fault.class()), (code, FaultClass::Transient), "{fault}");
    }
}
