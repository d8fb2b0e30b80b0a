//! HTTP/2 against a real server of the `h2` crate over TLS.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use h2::{Reason, server};
use haul_connect::http::{ClientOptions, Url};
use haul_core::FaultClass;
use haul_core::lane::Sign;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::Rig;
use super::tls::Authority;

/// What the server does with a request.
enum Act {
    /// A status, header lines, a body.
    Reply(u16, Vec<(&'static str, String)>, Bytes),
    /// The same after a while.
    Late(Duration, Bytes),
    Reset(Reason),
    /// Nothing, ever.
    Hang,
    /// The beginning of a body, then a reset.
    Cut,
    /// A reply; the connection takes nothing after it.
    Last(Bytes),
    /// The connection is dropped.
    Drop,
}

fn ok(body: impl Into<Bytes>) -> Act {
    Act::Reply(200, Vec::new(), body.into())
}

struct Asked {
    connection: usize,
    number: usize,
    request: http::request::Parts,
    body: Bytes,
}

type Script = dyn Fn(&Asked) -> Act + Send + Sync;

struct Service {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    connections: Arc<AtomicUsize>,
    /// Most streams open at once on one connection.
    peak: Arc<AtomicUsize>,
}

impl Service {
    async fn start(
        authority: &Authority,
        streams: u32,
        script: impl Fn(&Asked) -> Act + Send + Sync + 'static,
    ) -> Service {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let acceptor = authority.speaking(&["127.0.0.1"], &[b"h2", b"http/1.1"]);
        let service = Service {
            address: listener.local_addr().unwrap(),
            asked: Arc::default(),
            connections: Arc::default(),
            peak: Arc::default(),
        };
        let (asked, connections, peak) =
            (service.asked.clone(), service.connections.clone(), service.peak.clone());
        let script: Arc<Script> = Arc::new(script);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let n = connections.fetch_add(1, SeqCst);
                let (acceptor, script) = (acceptor.clone(), script.clone());
                let (asked, peak) = (asked.clone(), peak.clone());
                tokio::spawn(async move {
                    let Ok(mut tls) = acceptor.accept(tcp).await else { return };
                    if tls.get_ref().1.alpn_protocol() != Some(b"h2") {
                        let mut head = vec![0; 4096];
                        while tls.read(&mut head).await.is_ok_and(|n| n > 0) {
                            let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none";
                            if tls.write_all(reply).await.is_err() || tls.flush().await.is_err() {
                                return;
                            }
                        }
                        return;
                    }
                    let mut builder = server::Builder::new();
                    let connection = builder.max_concurrent_streams(streams).handshake(tls).await.unwrap();
                    serve(connection, n, script, asked, peak).await;
                });
            }
        });
        service
    }

    fn url(&self, path: &str) -> Url {
        Url::parse(&format!("https://{}{path}", self.address)).unwrap()
    }

    fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }
}

async fn serve(
    mut connection: server::Connection<tokio_rustls::server::TlsStream<tokio::net::TcpStream>, Bytes>,
    n: usize,
    script: Arc<Script>,
    asked: Arc<Mutex<Vec<Asked>>>,
    peak: Arc<AtomicUsize>,
) {
    let open = Arc::new(AtomicUsize::new(0));
    let over = Arc::new(tokio::sync::Notify::new());
    let mut leaving = false;
    loop {
        let (request, respond) = tokio::select! {
            next = connection.accept() => match next {
                Some(Ok(next)) => next,
                _ => return,
            },
            () = over.notified() => return,
        };
        peak.fetch_max(open.fetch_add(1, SeqCst) + 1, SeqCst);
        let (parts, body) = request.into_parts();
        if parts.uri.path().starts_with("/last") && !leaving {
            leaving = true;
            connection.graceful_shutdown();
        }
        let (script, asked, open, over) = (script.clone(), asked.clone(), open.clone(), over.clone());
        tokio::spawn(async move {
            answer(parts, body, respond, (n, &*script, &asked), &over).await;
            open.fetch_sub(1, SeqCst);
        });
    }
}

async fn answer(
    parts: http::request::Parts,
    mut body: h2::RecvStream,
    mut respond: server::SendResponse<Bytes>,
    (connection, script, asked): (usize, &Script, &Mutex<Vec<Asked>>),
    over: &tokio::sync::Notify,
) {
    let mut bytes = Vec::new();
    while let Some(Ok(data)) = body.data().await {
        let _ = body.flow_control().release_capacity(data.len());
        bytes.extend_from_slice(&data);
    }
    let act = {
        let mut asked = asked.lock().unwrap();
        let number = asked.len();
        asked.push(Asked { connection, number, request: parts, body: bytes.into() });
        script(&asked[number])
    };
    let head = |status: u16, fields: &[(&str, String)]| {
        let head = http::Response::builder().status(status);
        fields.iter().fold(head, |head, (name, value)| head.header(*name, value)).body(()).unwrap()
    };
    let mut whole = |status, fields: &[(&str, String)], body: Bytes| {
        if let Ok(mut out) = respond.send_response(head(status, fields), false) {
            let _ = out.send_data(body, true);
        }
    };
    match act {
        Act::Reply(status, fields, body) => whole(status, &fields, body),
        Act::Late(wait, body) => {
            tokio::time::sleep(wait).await;
            whole(200, &[], body);
        }
        Act::Last(body) => whole(200, &[], body),
        Act::Reset(reason) => respond.send_reset(reason),
        Act::Hang => std::future::pending().await,
        Act::Cut => {
            let mut out = respond.send_response(head(200, &[]), false).unwrap();
            let _ = out.send_data("half".into(), false);
            tokio::time::sleep(Duration::from_millis(50)).await;
            out.send_reset(Reason::INTERNAL_ERROR);
        }
        Act::Drop => over.notify_one(),
    }
}

fn rig(authority: &Authority) -> Rig {
    Rig::with(ClientOptions {
        roots: authority.roots(),
        read_timeout: Duration::from_secs(5),
        ..ClientOptions::default()
    })
}

#[tokio::test]
async fn many_requests_share_one_connection() {
    let authority = Authority::new("ours");
    let service = Service::start(&authority, 100, |asked| {
        let text = format!("{} {}", asked.request.uri.path(), asked.body.len());
        Act::Late(Duration::from_millis(20), text.into())
    })
    .await;
    let rig = rig(&authority);
    let urls: Vec<Url> = (0..40).map(|n| service.url(&format!("/{n}"))).collect();
    let replies = join_all(urls.iter().map(|url| rig.get(url))).await;
    for (n, reply) in replies.into_iter().enumerate() {
        assert_eq!(reply.unwrap().body, format!("/{n} 0"));
    }
    // Larger than any window.
    let url = service.url("/large");
    let large = join_all((0..3).map(|_| rig.post(&url, vec![b'x'; 700_000]))).await;
    assert!(large.into_iter().all(|reply| reply.unwrap().body == "/large 700000"));
    assert_eq!(service.connections(), 1);
    let verdicts = rig.world.verdicts();
    let sent: u64 = verdicts.iter().flatten().map(|v| v.wire_out).sum();
    assert!((2_100_000..2_300_000).contains(&sent), "{sent}");
    assert!(verdicts.iter().all(|v| v.is_some_and(|v| v.status == Some(200))));
}

#[tokio::test]
async fn no_more_streams_than_the_peer_allows_and_no_more_connections_than_needed() {
    let authority = Authority::new("ours");
    let service = Service::start(&authority, 4, |_| Act::Late(Duration::from_millis(100), "x".into())).await;
    let rig = rig(&authority);
    let url = service.url("/");
    for _ in 0..2 {
        let replies = join_all((0..10).map(|_| rig.get(&url))).await;
        assert!(replies.into_iter().all(|reply| reply.unwrap().body == "x"));
    }
    assert_eq!((service.connections(), service.peak.load(SeqCst)), (3, 4));
}

#[tokio::test]
async fn fields_codings_and_redirects_are_as_in_http_1() {
    let authority = Authority::new("ours");
    let service = Service::start(&authority, 100, |asked| match asked.request.uri.path() {
        "/from" => Act::Reply(302, vec![("location", "/to".into())], Bytes::new()),
        "/slow" => Act::Reply(429, vec![("retry-after", "7".into())], "wait".into()),
        "/none" => Act::Reply(204, Vec::new(), Bytes::new()),
        _ => {
            use std::io::Write;
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(format!("{:?}", asked.request.headers).as_bytes()).unwrap();
            Act::Reply(200, vec![("content-encoding", "gzip".into())], gzip.finish().unwrap().into())
        }
    })
    .await;
    let mut rig = rig(&authority);
    rig.configured.push("X-Team", "blue").unwrap();
    rig.secret.push("Authorization", "Bearer t0k3n").unwrap();
    let got = rig.get(&service.url("/from")).await.unwrap();
    let text = String::from_utf8(got.body.to_vec()).unwrap();
    assert!(text.contains("\"x-team\": \"blue\"") && text.contains("Bearer t0k3n"), "{text}");
    assert_eq!(got.moved.unwrap().target(), "/to");
    let slow = rig.get(&service.url("/slow")).await.unwrap();
    assert_eq!((slow.status, slow.wait(), &slow.body[..]), (429, Some(Duration::from_secs(7)), &b"wait"[..]));
    assert_eq!(rig.world.last_verdict().sign, Sign::Throttled);
    assert_eq!(rig.get(&service.url("/none")).await.unwrap().status, 204);
    rig.post(&service.url("/p"), "{}").await.unwrap();
    let asked = service.asked.lock().unwrap();
    let post = asked.last().unwrap();
    assert_eq!(post.request.method, "POST");
    assert_eq!(post.request.headers["idempotency-key"], "key-1");
    assert_eq!(post.request.headers["content-length"], "2");
    assert_eq!(post.request.uri.authority().unwrap().as_str(), service.address.to_string());
    assert!(asked.iter().all(|a| a.connection == 0));
}

#[tokio::test]
async fn what_the_peer_did_not_look_at_is_sent_again() {
    let authority = Authority::new("ours");
    let service = Service::start(&authority, 100, |asked| match asked.request.uri.path() {
        "/once" if asked.number > 0 => ok("at last"),
        _ => Act::Reset(Reason::REFUSED_STREAM),
    })
    .await;
    let rig = rig(&authority);
    assert_eq!(rig.post(&service.url("/once"), "{}").await.unwrap().body, "at last");
    assert_eq!(service.asked.lock().unwrap().len(), 2);
    let fault = rig.post(&service.url("/never"), "{}").await.unwrap_err();
    assert_eq!(service.asked.lock().unwrap().len(), 5, "twice more, and no longer");
    assert!(!fault.is_ambiguous() && fault.class() == FaultClass::Transient, "{fault}");
    assert_eq!((service.connections(), rig.world.verdicts().len()), (1, 2));
}

#[tokio::test]
async fn a_connection_that_is_being_closed_is_followed_by_another() {
    let authority = Authority::new("ours");
    let service = Service::start(&authority, 100, |asked| match asked.request.uri.path() {
        "/last" => Act::Last("last".into()),
        _ => Act::Late(Duration::from_millis(30), "x".into()),
    })
    .await;
    let rig = rig(&authority);
    for round in 1..4 {
        // Some are under way when it says that it goes away: these are answered.
        let (x, last) = (service.url("/x"), service.url("/last"));
        let replies = tokio::join!(rig.post(&x, "{}"), rig.post(&last, "{}"), rig.post(&x, "{}"));
        for reply in [replies.0, replies.1, replies.2] {
            assert_eq!(reply.unwrap().status, 200);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(rig.post(&x, "{}").await.unwrap().body, "x");
        assert!((round..=round * 2 + 1).contains(&service.connections()), "{}", service.connections());
    }
    assert_eq!(service.asked.lock().unwrap().len(), 12, "none was looked at twice");
}

#[tokio::test]
async fn faults_say_what_may_have_happened() {
    let authority = Authority::new("ours");
    let service = Service::start(&authority, 100, |asked| match asked.request.uri.path() {
        "/internal" => Act::Reset(Reason::INTERNAL_ERROR),
        "/calm" => Act::Reset(Reason::ENHANCE_YOUR_CALM),
        "/cut" => Act::Cut,
        "/hang" => Act::Hang,
        "/drop" => Act::Drop,
        _ => ok("x"),
    })
    .await;
    let mut rig = rig(&authority);
    rig.timeout = Duration::from_millis(400);
    for (path, code, class, sign) in [
        ("/internal", "reset", FaultClass::Transient, Sign::Lost),
        ("/calm", "stream", FaultClass::Throttled, Sign::Throttled),
        ("/cut", "reset", FaultClass::Transient, Sign::Lost),
        ("/hang", "timeout", FaultClass::Transient, Sign::Lost),
        ("/drop", "reset", FaultClass::Transient, Sign::Lost),
    ] {
        let fault = rig.post(&service.url(path), "{}").await.unwrap_err();
        assert_eq!((fault.code(), fault.class()), (code, class), "{path}: {fault}");
        assert!(fault.is_ambiguous() && fault.origin().is_some(), "{path}");
        assert_eq!(rig.world.last_verdict().sign, sign, "{path}");
        assert_eq!(rig.get(&service.url("/x")).await.unwrap().body, "x", "after {path}");
    }
    assert_eq!(service.connections(), 2, "only the one that was dropped was replaced");
}

#[tokio::test]
async fn a_service_that_wants_http_1_gets_it() {
    let authority = Authority::new("ours");
    let service = Service::start(&authority, 100, |_| Act::Reset(Reason::HTTP_1_1_REQUIRED)).await;
    let rig = rig(&authority);
    for _ in 0..3 {
        assert_eq!(rig.get(&service.url("/")).await.unwrap().body, "one");
    }
    assert_eq!((service.connections(), service.asked.lock().unwrap().len()), (2, 1));
}

#[tokio::test]
async fn when_no_connection_can_be_opened_everybody_learns_it_at_once() {
    let authority = Authority::new("ours");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("https://{}/", listener.local_addr().unwrap())).unwrap();
    // It accepts, and never answers the handshake.
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = accepted.clone();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((tcp, _)) = listener.accept().await {
            count.fetch_add(1, SeqCst);
            held.push(tcp);
        }
    });
    let rig = Rig::with(ClientOptions {
        roots: authority.roots(),
        connect_timeout: Duration::from_millis(300),
        ..ClientOptions::default()
    });
    let started = std::time::Instant::now();
    let faults = join_all((0..20).map(|_| rig.get(&url))).await;
    assert!(faults.into_iter().all(|fault| fault.unwrap_err().code() == "timeout"));
    assert!(started.elapsed() < Duration::from_secs(4), "one after the other: {:?}", started.elapsed());
    assert_eq!(accepted.load(SeqCst), 1);
    assert!(rig.world.verdicts().iter().all(|v| v.is_some_and(|v| v.sign == Sign::Unreachable)));
}

#[tokio::test]
async fn a_connection_that_leads_nowhere_is_given_up() {
    let authority = Authority::new("ours");
    let service = Service::start(&authority, 100, |_| ok("x")).await;
    // Between the two stands somebody who passes on everything, until the first connection is lost.
    let between = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("https://{}/", between.local_addr().unwrap())).unwrap();
    let (lose, lost) = tokio::sync::oneshot::channel::<()>();
    let to = service.address;
    tokio::spawn(async move {
        let (mut first, _) = between.accept().await.unwrap();
        let mut out = tokio::net::TcpStream::connect(to).await.unwrap();
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut first, &mut out) => {}
            _ = lost => {}
        }
        while let Ok((mut tcp, _)) = between.accept().await {
            let mut out = tokio::net::TcpStream::connect(to).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut tcp, &mut out).await });
        }
        drop((first, out));
    });
    let rig = Rig::with(ClientOptions {
        roots: authority.roots(),
        read_timeout: Duration::from_secs(2),
        ..ClientOptions::default()
    });
    assert_eq!(rig.get(&url).await.unwrap().body, "x");
    lose.send(()).unwrap();
    let fault = rig.get(&url).await.unwrap_err();
    assert!(fault.is_ambiguous() && fault.class() == FaultClass::Transient, "{fault}");
    // The silence of the request and that of the connection may end in either order.
    let mut again = rig.get(&url).await;
    if again.is_err() {
        again = rig.get(&url).await;
    }
    assert_eq!(again.unwrap().body, "x");
    assert_eq!(service.connections(), 2);
}

#[tokio::test]
async fn a_peer_that_allows_no_streams_is_not_dialled_for_ever() {
    let authority = Authority::new("ours");
    let service = Service::start(&authority, 0, |_| ok("x")).await;
    let rig = rig(&authority);
    let fault = rig.get(&service.url("/")).await.unwrap_err();
    assert_eq!((fault.code(), fault.class()), ("stream", FaultClass::Throttled));
    assert_eq!((service.connections(), service.asked.lock().unwrap().len()), (1, 0));
}
