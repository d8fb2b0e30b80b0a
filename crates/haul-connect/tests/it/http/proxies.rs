//! Requests through proxies: the whole URL for plain ones, tunnels for TLS.

use std::sync::{Arc, Mutex};

use haul_connect::http::{ClientOptions, Proxies, Url};
use haul_core::FaultClass;
use haul_core::lane::Sign;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::Rig;
use super::tls::Authority;
use crate::serve::{Server, reply};

fn through(variable: &str, place: &str, roots: haul_connect::http::Roots) -> Rig {
    let proxies =
        Proxies::read(|name| (name == variable).then(|| format!("http://me:s3cret@{place}"))).unwrap();
    Rig::with(ClientOptions { proxies, roots, ..ClientOptions::default() })
}

/// `me:s3cret`.
const BASIC: &str = "Basic bWU6czNjcmV0";

#[tokio::test]
async fn plain_requests_name_the_whole_url() {
    let proxy = Server::start(|seen| match seen.header("proxy-authorization") {
        Some(BASIC) => reply("200 OK", "", seen.path()),
        _ => reply("407 Proxy Authentication Required", "", "who?"),
    })
    .await;
    let rig = through("http_proxy", &proxy.address.to_string(), Default::default());
    // The name is the proxy's to look up.
    let url = Url::parse("http://users.invalid:81/u/1?q=2").unwrap();
    for _ in 0..3 {
        assert_eq!(rig.get(&url).await.unwrap().body, "http://users.invalid:81/u/1?q=2");
    }
    rig.post(&url, vec![b'x'; 100_000]).await.unwrap();
    assert_eq!(proxy.connections(), 1);
    let seen = proxy.seen();
    assert_eq!(seen[0].header("host"), Some("users.invalid:81"));
    // What is near is asked for directly.
    let near = Server::start(|seen| reply("200 OK", "", seen.head.clone())).await;
    let head = rig.get(&near.url("/near")).await.unwrap().body;
    let head = String::from_utf8_lossy(&head).to_lowercase();
    assert!(head.starts_with("get /near ") && !head.contains("proxy-authorization"), "{head}");
}

#[tokio::test]
async fn a_proxy_that_wants_other_credentials_is_waited_for() {
    let proxy = Server::start(|_| reply("407 Proxy Authentication Required", "", "who?")).await;
    let rig = through("http_proxy", &proxy.address.to_string(), Default::default());
    let got = rig.get(&Url::parse("http://users.invalid/").unwrap()).await.unwrap();
    assert_eq!((got.status, rig.world.last_verdict().sign), (407, Sign::Denied));
}

/// A proxy that opens tunnels to one place, whatever is asked for; what it was asked.
async fn tunnels(to: std::net::SocketAddr, answer: &'static str) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = listener.local_addr().unwrap().to_string();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heads = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            let heads = Arc::clone(&heads);
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = tcp.read_u8().await else { return };
                    head.push(byte);
                }
                heads.lock().unwrap().push(String::from_utf8(head).unwrap());
                tcp.write_all(answer.as_bytes()).await.unwrap();
                if answer.contains(" 200 ") {
                    let mut service = TcpStream::connect(to).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut tcp, &mut service).await;
                }
            });
        }
    });
    (place, asked)
}

#[tokio::test]
async fn tls_goes_through_a_tunnel() {
    let authority = Authority::new("ours");
    let server = Server::start_tls(authority.identity(&["users.invalid"], false), |seen| {
        reply("200 OK", "", seen.head.clone())
    })
    .await;
    let (place, asked) =
        tunnels(server.address, "HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n").await;
    let rig = through("HTTPS_PROXY", &place, authority.roots());
    let url = Url::parse("https://users.invalid/u/1").unwrap();
    for _ in 0..3 {
        let head = String::from_utf8_lossy(&rig.get(&url).await.unwrap().body).to_lowercase();
        assert!(head.starts_with("get /u/1 ") && !head.contains("proxy-"), "{head}");
    }
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 1);
    assert!(asked[0].starts_with("CONNECT users.invalid:443 HTTP/1.1\r\nHost: users.invalid:443\r\n"));
    assert!(asked[0].contains(&format!("Proxy-Authorization: {BASIC}\r\n")));
}

#[tokio::test]
async fn tunnels_that_are_not_opened_say_why() {
    let nowhere = std::net::SocketAddr::from(([127, 0, 0, 1], 9));
    for (answer, says, sign) in [
        ("HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n", "407: put user and password", Sign::Denied),
        ("HTTP/1.1 502 Bad Gateway\r\n\r\n", "opens no tunnel: 502 Bad Gateway", Sign::Unreachable),
        ("SSH-2.0-x\r\n\r\n", "its answer is not HTTP", Sign::Unreachable),
        ("", "it closed the connection", Sign::Unreachable),
    ] {
        let (place, _) = tunnels(nowhere, answer).await;
        let rig = through("ALL_PROXY", &place, Default::default());
        let fault = rig.get(&Url::parse("https://users.invalid/").unwrap()).await.unwrap_err();
        assert!(fault.message().contains(says), "{fault}");
        assert!(!fault.message().contains("s3cret") && !fault.is_ambiguous());
        assert_eq!((fault.class(), rig.world.last_verdict().sign), (FaultClass::Transient, sign));
        assert_eq!(fault.origin(), Some("users.invalid:443"));
    }
    let rig = through("ALL_PROXY", "127.0.0.1:9", Default::default());
    let fault = rig.get(&Url::parse("http://users.invalid/").unwrap()).await.unwrap_err();
    assert!(fault.message().starts_with("http://users.invalid: its proxy: http://127.0.0.1:9"), "{fault}");
}
