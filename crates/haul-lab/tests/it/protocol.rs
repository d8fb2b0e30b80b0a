//! What HTTP/1.1 asks of a server.

use haul_lab::{Lab, LabSpec, Service};

use crate::client::{Broken, Client, get, post};

fn lab() -> Lab {
    Lab::start(&LabSpec::enrich()).unwrap()
}

#[test]
fn one_connection_serves_many_requests() {
    let lab = lab();
    let mut client = Client::connect(&lab.url(Service::Users)).unwrap();
    for id in 1..=100 {
        let reply = client.get(&format!("/users/{id}")).unwrap();
        assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
        assert_eq!(reply.json()["data"]["id"], id);
    }
    let truth = lab.truth(Service::Users).unwrap();
    assert_eq!((truth.connections, truth.requests, truth.unique), (1, 100, 100));
}

#[test]
fn members_are_those_of_the_workload() {
    let lab = lab();
    let names = |url: String, path: &str| {
        let value = get(&url, path).unwrap().json();
        value["data"].as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(
        names(lab.url(Service::Users), "/users/7"),
        ["id", "fullName", "email", "country", "language", "lastIp"]
    );
    assert_eq!(
        names(lab.url(Service::Videos), "/videos/7"),
        ["id", "title", "caption", "privacy", "frameRate", "videoCodec", "audioCodec", "audioSampleRate"]
    );
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    for latency in [0.0, 3.0] {
        let lab = Lab::start(&LabSpec::enrich().all(|s| s.latency_ms = latency)).unwrap();
        let mut client = Client::connect(&lab.url(Service::Videos)).unwrap();
        let all: String = (1..=20).map(|id| format!("GET /videos/{id} HTTP/1.1\r\n\r\n")).collect();
        client.send(all.as_bytes()).unwrap();
        for id in 1..=20 {
            assert_eq!(client.receive().unwrap().json()["data"]["id"], id);
        }
    }
}

#[test]
fn a_request_may_come_in_pieces() {
    let lab = lab();
    let mut client = Client::connect(&lab.url(Service::Index)).unwrap();
    let user = lab.served(Service::Users, 1);
    let video = lab.served(Service::Videos, 2);
    let body = [b"{\"user\":", &user[..], b",\"video\":", &video[..], b"}"].concat();
    let head =
        format!("POST /index HTTP/1.1\r\nIdempotency-Key: a\r\ncontent-length: {}\r\n\r\n", body.len());
    for piece in [head.as_bytes(), &body].concat().chunks(37) {
        client.send(piece).unwrap();
    }
    assert_eq!(client.receive().unwrap().status, 201);
    let truth = lab.truth(Service::Index).unwrap();
    assert_eq!((truth.unique, truth.mismatched), (1, 0), "{truth:?}");
}

#[test]
fn bodies_may_be_chunked_or_gzip() {
    let lab = lab();
    let url = lab.url(Service::Index);
    let document = |v: u64| {
        let (user, video) = (lab.served(Service::Users, 1), lab.served(Service::Videos, v));
        [b"{\"user\":", &user[..], b",\"video\":", &video[..], b"}"].concat()
    };
    let mut chunked = b"POST /index HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for part in document(2).chunks(100) {
        chunked.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
        chunked.extend_from_slice(&[part, b"\r\n"].concat());
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    let mut client = Client::connect(&url).unwrap();
    client.send(&chunked).unwrap();
    assert_eq!(client.receive().unwrap().status, 201);

    let mut packed = vec![0; 4096];
    let mut deflate = libdeflater::Compressor::new(libdeflater::CompressionLvl::best());
    let n = deflate.gzip_compress(&document(3), &mut packed).unwrap();
    assert_eq!(post(&url, "/index", "Content-Encoding: gzip\r\n", &packed[..n]).unwrap().status, 201);
    let truth = lab.truth(Service::Index).unwrap();
    assert_eq!((truth.unique, truth.mismatched, truth.keyless), (2, 0, 2), "{truth:?}");
}

#[test]
fn replies_come_in_gzip_without_being_asked_for() {
    let lab = Lab::start(&LabSpec::enrich().all(|s| s.gzip = true)).unwrap();
    for (service, path) in [(Service::Users, "/users/"), (Service::Videos, "/videos/")] {
        let mut client = Client::connect(&lab.url(service)).unwrap();
        for id in [1, 22, 333, u64::MAX] {
            let reply = client.get(&format!("{path}{id}")).unwrap();
            assert_eq!(reply.header("content-encoding"), Some("gzip"));
            let object = String::from_utf8(lab.served(service, id)).unwrap();
            assert!(reply.text().contains(&object), "{} lacks {object}", reply.text());
        }
    }
    let reply =
        post(&lab.url(Service::Index), "/index", "", b"{\"user\":{\"id\":1},\"video\":{\"id\":2}}").unwrap();
    assert_eq!((reply.status, reply.header("content-encoding")), (201, Some("gzip")));
    assert_eq!(reply.json()["result"], "created");
}

#[test]
fn a_large_body_is_taken_and_a_larger_one_refused() {
    let lab = lab();
    let url = lab.url(Service::Index);
    let body = format!("{{\"user\":{{\"id\":1}},\"video\":{{\"id\":2,\"x\":\"{}\"}}}}", "y".repeat(3 << 20));
    assert_eq!(post(&url, "/index", "", body.as_bytes()).unwrap().status, 201);
    let mut client = Client::connect(&url).unwrap();
    client.send(b"POST /index HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 34\r\n\r\n").unwrap();
    assert_eq!(client.receive().unwrap().status, 100);
    client.send(b"{\"user\":{\"id\":3},\"video\":{\"id\":4}}").unwrap();
    assert_eq!(client.receive().unwrap().status, 201);
    client.send(b"POST /index HTTP/1.1\r\ncontent-length: 99999999\r\n\r\n").unwrap();
    assert_eq!(client.receive().unwrap().status, 413);
    assert_eq!(client.receive(), Err(Broken::Closed));
}

#[test]
fn connection_close_is_honoured() {
    let lab = lab();
    let mut client = Client::connect(&lab.url(Service::Users)).unwrap();
    client.send(b"GET /users/1 HTTP/1.1\r\nConnection: close\r\n\r\n").unwrap();
    assert_eq!(client.receive().unwrap().status, 200);
    assert_eq!(client.receive(), Err(Broken::Closed));
}

#[test]
fn wrong_requests_get_their_status() {
    let lab = lab();
    let (users, index) = (lab.url(Service::Users), lab.url(Service::Index));
    assert_eq!(get(&users, "/users/abc").unwrap().status, 400);
    assert_eq!(get(&users, "/videos/1").unwrap().status, 404);
    assert_eq!(post(&users, "/users/1", "", b"").unwrap().status, 405);
    assert_eq!(get(&index, "/index").unwrap().status, 405);
    assert_eq!(post(&index, "/other", "", b"{}").unwrap().status, 404);
    for body in ["", "{}", "[]", "{\"user\":{}}", "{\"user\":{\"id\":1},\"video\":{\"id\":2}"] {
        assert_eq!(post(&index, "/index", "", body.as_bytes()).unwrap().status, 400, "{body}");
    }
    assert_eq!(lab.truth(Service::Index).unwrap().accepted, 0);
    let mut client = Client::connect(&users).unwrap();
    client.send(b"\x16\x03\x01 this is not HTTP\r\n\r\n").unwrap();
    assert_eq!(client.receive().unwrap().status, 400);
}

#[test]
fn connections_spread_over_server_threads() {
    let lab = Lab::start(&LabSpec::enrich().threads(3)).unwrap();
    let url = lab.url(Service::Users);
    let mut clients: Vec<Client> = (0..6).map(|_| Client::connect(&url).unwrap()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.get(&format!("/users/{n}")).unwrap().json()["data"]["id"], n);
    }
    let truth = lab.truth(Service::Users).unwrap();
    assert_eq!((truth.connections, truth.requests), (6, 6));
    lab.close(Service::Users).unwrap();
    for client in &mut clients {
        assert_eq!(client.get("/users/1"), Err(Broken::Closed));
    }
}
