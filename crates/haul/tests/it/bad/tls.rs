//! Certificates that do not verify: the same for every item, so no item is failed for it.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::web::{Web, json};
use crate::enrich::Scene;
use crate::program::{Said, said};

/// A server whose certificate it has signed itself, for these names; and that certificate.
fn self_signed(names: &[&str]) -> (Web, String) {
    let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(names).unwrap();
    // Authorities are found by their name.
    params.distinguished_name.push(rcgen::DnType::CommonName, format!("{:x}", fastrand::u64(..)));
    let certificate = params.self_signed(&key).unwrap();
    let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let config = Arc::new(config);
    let wrap = move |tcp: TcpStream| {
        let session = ServerConnection::new(config.clone()).unwrap();
        Some(StreamOwned::new(session, tcp))
    };
    (Web::over(wrap, |path, _| json(&format!("{{\"path\": \"{path}\"}}"))), certificate.pem())
}

/// Looks users up at `https://HOST`, believing this certificate alone.
fn run(scene: &Scene, host: &str, trusted: &str) -> Said {
    scene.place.write("trusted.pem", trusted);
    let lookup = format!("--lookup=user=https://{host}/users/{{user_id}}");
    let args = ["enrich", "pairs.csv", "--columns=user_id:int,video_id:int", &lookup, "--to=out.jsonl"];
    let mut command = scene.place.command(&args);
    said(
        command
            .env("SSL_CERT_FILE", scene.place.file("trusted.pem"))
            .env_remove("SSL_CERT_DIR")
            .output()
            .unwrap(),
    )
}

#[test]
fn a_certificate_that_does_not_verify_ends_the_run_before_it_began() {
    let scene = Scene::new(50);
    let (web, certificate) = self_signed(&["127.0.0.1"]);
    let (_, another) = self_signed(&["127.0.0.1"]);
    let none = run(&scene, &web.at(), &another).ended(1);
    none.told(&[
        &format!("haul: https://{}: ", web.at()),
        "is signed by an unknown authority",
        "set SSL_CERT_FILE",
    ]);
    scene.is_untouched();
    assert_eq!(web.asked(), 0, "nothing is sent to a stranger");

    let (elsewhere, theirs) = self_signed(&["other.example"]);
    run(&scene, &elsewhere.at(), &theirs).ended(1).told(&["its certificate is not for 127.0.0.1, only for"]);
    run(&scene, &web.at(), "no certificate").ended(1).told(&["this system has no certificate authorities"]);
    scene.is_untouched();

    // Trusted, the same command does it.
    assert_eq!(run(&scene, &web.at(), &certificate).ended(0).counts()[..2], [50, 50]);
    assert_eq!(scene.rows(), 50);
}

#[test]
fn https_to_a_service_without_it_ends_the_run_before_it_began() {
    let scene = Scene::new(50);
    let (_, certificate) = self_signed(&["127.0.0.1"]);
    // It answers the handshake as any request that it does not understand.
    let plain = |mut tcp: TcpStream| {
        tcp.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").unwrap();
        Some(tcp)
    };
    let web = Web::over(plain, |_, _| json("{}"));
    run(&scene, &web.at(), &certificate).ended(1).told(&["does not speak TLS (is it an http:// service?)"]);
    scene.is_untouched();
}
