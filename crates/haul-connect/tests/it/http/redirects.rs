//! Redirects: where they lead, and what stays behind.

use haul_connect::http::{StatusRules, Url};
use haul_core::FaultClass;
use haul_core::job::StatusSet;

use super::Rig;
use crate::serve::{Server, reply, shown};

/// A server that redirects `/STATUS/...` to `/...` and answers the rest.
async fn redirecting() -> Server {
    Server::start(|seen| {
        let path = seen.path();
        match path.get(1..4).filter(|s| s.starts_with('3')) {
            Some(status) => reply(status, &format!("Location: {}\r\n", &path[4..]), "moved"),
            None => reply("200 OK", "", format!("{} {}", seen.head.split(' ').next().unwrap(), path)),
        }
    })
    .await
}

#[tokio::test]
async fn a_get_follows_every_kind() {
    let server = redirecting().await;
    let rig = Rig::new();
    for status in [301, 302, 303, 307, 308] {
        let got = rig.get(&server.url(&format!("/{status}/302/x?q=1"))).await.unwrap();
        assert_eq!(got.body, "GET /x?q=1", "{status}");
        assert_eq!(got.moved, Some(server.url("/x?q=1")));
    }
    assert_eq!(server.connections(), 1);
    assert_eq!(rig.world.verdicts().len(), 15, "a permit for each hop");
}

#[tokio::test]
async fn a_post_is_sent_again_with_its_body_and_key_or_not_at_all() {
    let server = redirecting().await;
    let rig = Rig::new();
    for status in [307, 308] {
        let got = rig.post(&server.url(&format!("/{status}/x")), "{\"a\":1}").await.unwrap();
        assert_eq!(got.body, "POST /x");
        let last = server.seen().pop().unwrap();
        assert_eq!((&last.body[..], last.header("idempotency-key")), (&b"{\"a\":1}"[..], Some("key-1")));
    }
    for status in [301, 302, 303] {
        let got = rig.post(&server.url(&format!("/{status}/x")), "{}").await.unwrap();
        assert_eq!(got.status, status, "not turned into a GET");
    }
}

#[tokio::test]
async fn a_status_that_the_job_names_is_not_followed() {
    let server = redirecting().await;
    let mut rig = Rig::new();
    rig.rules = StatusRules { on: Vec::new(), expect: vec![StatusSet::One(302)] };
    assert_eq!(rig.get(&server.url("/302/x")).await.unwrap().status, 302);
}

#[tokio::test]
async fn another_host_gets_no_secrets_and_has_its_own_lane() {
    let there = Server::start(|_| reply("200 OK", "", "there")).await;
    let to = there.url("/there").as_str().to_owned();
    let here = Server::start(move |seen| {
        if seen.path() == "/near" {
            reply("302", "Location: /far\r\n", "")
        } else {
            reply("307", &format!("Location: {to}\r\n"), "")
        }
    })
    .await;
    let mut rig = Rig::new();
    rig.secret.push("Authorization", "Bearer s3cr3t").unwrap();
    rig.configured.push("X-Team", "blue").unwrap();
    assert_eq!(rig.post(&here.url("/far"), "{}").await.unwrap().body, "there");
    assert_eq!(rig.get(&here.url("/near")).await.unwrap().body, "there");
    for seen in here.seen() {
        assert_eq!(seen.header("authorization"), Some("Bearer s3cr3t"), "{}", seen.head);
        assert_eq!(seen.header("x-team"), Some("blue"));
    }
    for seen in there.seen() {
        assert_eq!((seen.header("authorization"), seen.header("x-team")), (None, None), "{}", seen.head);
        assert_eq!(seen.header("host"), Some(&*there.address.to_string()));
    }
    assert_eq!(there.seen()[0].header("idempotency-key"), Some("key-1"));
    assert_eq!(rig.world.lanes_used(), [0, 1, 0, 0, 1]);
}

#[tokio::test]
async fn the_same_address_under_another_name_is_another_host() {
    let server = Server::start(|seen| {
        if seen.path() == "/" {
            let port = seen.header("host").unwrap().split(':').nth(1).unwrap().to_owned();
            reply("302", &format!("Location: http://localhost:{port}/there\r\n"), "")
        } else {
            reply("200 OK", "", "x")
        }
    })
    .await;
    let mut rig = Rig::new();
    rig.secret.push("Cookie", "session=1").unwrap();
    rig.get(&server.url("/")).await.unwrap();
    assert_eq!(server.seen()[1].header("cookie"), None);
}

#[tokio::test]
async fn circles_long_ways_and_nonsense_end() {
    let server = Server::start(|seen| match seen.path() {
        "/circle" => reply("302", "Location: /circle2\r\n", ""),
        "/circle2" => reply("302", "Location: /circle\r\n", ""),
        "/nowhere" => reply("302", "Location: ftp://x/\r\n", ""),
        "/user" => reply("302", "Location: http://me:pass@x/\r\n", ""),
        "/silent" => reply("302", "", "no location"),
        path => reply("302", &format!("Location: {path}x\r\n"), ""),
    })
    .await;
    let rig = Rig::new();
    for (path, says) in [
        ("/circle", "circle"),
        ("/long", "more than 10 redirects"),
        ("/nowhere", "redirect to nowhere"),
        ("/user", "user info"),
    ] {
        let fault = rig.get(&server.url(path)).await.unwrap_err();
        assert_eq!((fault.code(), fault.class()), ("redirect", FaultClass::Permanent), "{}", shown(&fault));
        assert!(fault.message().contains(says) && !fault.message().contains("pass"), "{fault}");
    }
    assert_eq!(rig.get(&server.url("/silent")).await.unwrap().status, 302);
    let unreachable = Url::parse("http://127.0.0.1:1/").unwrap();
    assert!(rig.get(&unreachable).await.is_err());
}
