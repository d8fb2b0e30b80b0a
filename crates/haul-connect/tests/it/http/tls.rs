//! TLS: good and bad certificates, handshakes that do not end.

use std::sync::Arc;

use haul_connect::http::Roots;
use haul_core::FaultClass;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::Rig;
use crate::serve::{Act, Server, reply, shown, then_close};

/// A certificate authority.
pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(super) fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(super) fn roots(&self) -> Roots {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        Roots::Given(Arc::new(roots))
    }

    /// A server identity for some names; it speaks HTTP/1.1.
    pub(super) fn identity(&self, names: &[&str], expired: bool) -> TlsAcceptor {
        self.made(names, expired, &[b"http/1.1"])
    }

    /// One that offers these protocols.
    pub(super) fn speaking(&self, names: &[&str], protocols: &[&[u8]]) -> TlsAcceptor {
        self.made(names, false, protocols)
    }

    fn made(&self, names: &[&str], expired: bool, protocols: &[&[u8]]) -> TlsAcceptor {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        if expired {
            params.not_before = rcgen::date_time_ymd(2001, 1, 1);
            params.not_after = rcgen::date_time_ymd(2002, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let certificate: CertificateDer<'static> = params.signed_by(&key, &self.0).unwrap().der().clone();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|p| p.to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}

#[tokio::test]
async fn a_trusted_service_answers_on_one_connection() {
    let authority = Authority::new("ours");
    let server = Server::start_tls(authority.identity(&["127.0.0.1", "localhost"], false), |seen| {
        reply("200 OK", "", format!("{}{}", seen.path(), seen.body.len()))
    })
    .await;
    let rig = Rig::trusting(authority.roots());
    for i in 0..5 {
        assert_eq!(rig.get(&server.url(&format!("/{i}/"))).await.unwrap().body, format!("/{i}/0"));
    }
    let got = rig.post(&server.url("/p"), vec![b'x'; 300_000]).await.unwrap();
    assert_eq!(got.body, "/p300000");
    assert_eq!(server.connections(), 1);
    assert!(rig.world.last_verdict().wire_out > 300_000);
    assert_eq!(rig.get(&server.url_as("localhost", "/")).await.unwrap().body, "/0");
}

#[tokio::test]
async fn certificates_that_do_not_verify_say_why_and_tell_the_lane() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    for (identity, says) in [
        (theirs.identity(&["127.0.0.1"], false), "signed by an unknown authority"),
        (ours.identity(&["other.example"], false), "is not for 127.0.0.1, only for"),
        (ours.identity(&["127.0.0.1"], true), "has expired"),
    ] {
        let server = Server::start_tls(identity, |_| reply("200 OK", "", "x")).await;
        let rig = Rig::trusting(ours.roots());
        let fault = rig.post(&server.url("/"), "{}").await.unwrap_err();
        assert_eq!(rig.world.last_verdict().sign, haul_core::lane::Sign::Denied);
        assert_eq!((fault.code(), fault.class()), ("untrusted", FaultClass::Transient), "{}", shown(&fault));
        assert!(fault.message().contains(says) && fault.message().contains("127.0.0.1"), "{fault}");
        assert!(!fault.is_ambiguous(), "nothing was sent");
        assert!(server.seen().is_empty());
    }
}

#[tokio::test]
async fn a_handshake_with_something_else() {
    let authority = Authority::new("ours");
    let plain = Server::start(|_| reply("200 OK", "", "x")).await;
    let url = haul_connect::http::Url::parse(&format!("https://{}/", plain.address)).unwrap();
    // The plain server waits for a blank line that a handshake has not: silence, then its end.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let talks = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            use tokio::io::AsyncWriteExt;
            tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    });
    let rig = Rig::trusting(authority.roots());
    let fault =
        rig.get(&haul_connect::http::Url::parse(&format!("https://{talks}/")).unwrap()).await.unwrap_err();
    assert_eq!((fault.code(), fault.class()), ("untrusted", FaultClass::Transient));
    assert!(fault.message().contains("does not speak TLS"), "{fault}");

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hangs_up = listener.local_addr().unwrap();
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    let fault =
        rig.get(&haul_connect::http::Url::parse(&format!("https://{hangs_up}/")).unwrap()).await.unwrap_err();
    assert_eq!((fault.code(), fault.class()), ("tls", FaultClass::Transient), "{fault}");
    drop((url, plain));
}

#[tokio::test]
async fn secrets_do_not_follow_to_plain_http() {
    let authority = Authority::new("ours");
    let plain = Server::start(|_| reply("200 OK", "", "plain")).await;
    let to = plain.url("/").as_str().to_owned();
    let server = Server::start_tls(authority.identity(&["127.0.0.1"], false), move |_| {
        reply("302", &format!("Location: {to}\r\n"), "")
    })
    .await;
    let mut rig = Rig::trusting(authority.roots());
    assert_eq!(rig.get(&server.url("/")).await.unwrap().body, "plain");
    rig.secret.push("Authorization", "Bearer x").unwrap();
    let fault = rig.get(&server.url("/")).await.unwrap_err();
    assert_eq!(fault.code(), "redirect", "{fault}");
    assert_eq!(plain.seen().len(), 1);
}

#[tokio::test]
async fn an_end_of_tls_without_its_alert_does_not_complete_a_body() {
    let authority = Authority::new("ours");
    let server = Server::start_tls(authority.identity(&["127.0.0.1"], false), |seen| match seen.path() {
        "/alert" => then_close("HTTP/1.1 200 OK\r\n\r\nwhole"),
        "/cut" => vec![Act::Send(b"HTTP/1.1 200 OK\r\n\r\nhalf".to_vec()), Act::Wait(MOMENT), Act::Reset],
        _ => reply("200 OK", "", "x"),
    })
    .await;
    let rig = Rig::trusting(authority.roots());
    assert_eq!(rig.get(&server.url("/alert")).await.unwrap().body, "whole");
    assert_eq!(rig.get(&server.url("/cut")).await.unwrap_err().code(), "truncated");
}

const MOMENT: std::time::Duration = std::time::Duration::from_millis(20);
