//! Stores of other providers, with servers of others. `.ci/stores DIR` installs these; where one is not
//! there, its test says so and ends.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use haul_connect::stores::Dal;
use haul_core::job::StoreKind;
use haul_core::secret::SecretFrom;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// A server, until it is dropped.
struct Server {
    child: Child,
    port: u16,
    dir: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `HAUL_STORES`, or where `.ci/run` installs them.
fn program(name: &str) -> Option<PathBuf> {
    let usual = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/stores");
    let path = std::env::var_os("HAUL_STORES").map_or_else(usual, PathBuf::from).join(name);
    if !path.exists() {
        println!("skipped: {} is not installed (.ci/stores target/tools/stores)", path.display());
    }
    path.exists().then_some(path)
}

impl Server {
    /// Starts a program with what `args` make of a port and a directory; `None`: it is not installed.
    async fn start(name: &str, args: impl Fn(u16, &Path) -> Vec<String>) -> Option<Server> {
        let program = program(name)?;
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let dir = tempfile::tempdir().unwrap();
        let child = Command::new(program)
            .args(args(port, dir.path()))
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut server = Server { child, port, dir };
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert!(started.elapsed().as_secs() < 60, "{name} does not listen");
            assert!(server.child.try_wait().unwrap().is_none(), "{name} ended");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Some(server)
    }

    /// A file with a secret.
    fn secret(&self, secret: &str) -> Option<SecretFrom> {
        let path = self.dir.path().join("secret");
        std::fs::write(&path, secret).unwrap();
        Some(SecretFrom::File(path.to_str().unwrap().to_owned()))
    }

    async fn ask(&self, request: &str) -> String {
        let mut socket = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut reply = String::new();
        socket.read_to_string(&mut reply).await.unwrap();
        reply
    }
}

fn store(spec: &StoreSpec, bucket: &str) -> Dal {
    let client = Arc::new(Client::new(ClientOptions::default()));
    Dal::new("other", bucket, spec, client, Duration::from_secs(20)).unwrap()
}

/// Keys that OpenDAL would change fail, and nothing is written.
async fn refuses_odd_keys(store: &dyn Store) {
    let world = World::new();
    let long = "x".repeat(1025);
    for key in ["", "/a", "a//b", "a/", ".", "../up", "a/./b", " a", "a ", "a\n", &long] {
        let key = Key::from(key.to_owned());
        let fault = store.put(&key, &meta(1), &mut Pieces(vec![b"y"], None), &world.cx()).await.unwrap_err();
        assert_eq!((fault.class(), fault.code()), (FaultClass::Permanent, "key"), "{key:?}");
        assert_eq!(store.open(&key, None, &world.cx()).await.err().unwrap().code(), "key", "{key:?}");
    }
    let bytes = Key::from(b"a\xff".to_vec());
    let fault = store.put(&bytes, &meta(1), &mut Pieces(vec![b"y"], None), &world.cx()).await.unwrap_err();
    assert_eq!(fault.code(), "key");
    let prefix = Key::from("a//b".to_owned());
    assert_eq!(store.list(&prefix, None, &world.cx()).await.err().unwrap().code(), "prefix");
}

/// Objects that are no text and larger than any buffer; they pass as they are.
async fn carries_large_objects(store: &dyn Store, key: &str) -> haul_core::store::Receipt {
    let bytes: &'static [u8] =
        (0..20_000_003u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect::<Vec<u8>>().leak();
    let world = World::new();
    let key = Key::from(key.to_owned());
    let mut content = Pieces(bytes.chunks(128 << 10).collect(), None);
    let receipt = store.put(&key, &meta(bytes.len() as u64), &mut content, &world.cx()).await.unwrap();
    let (there, all) = read(store, &key.to_string(), None).await.unwrap();
    assert!(all == bytes);
    assert_eq!(there.len, bytes.len() as u64);
    let (_, part) = read(store, &key.to_string(), Some(12_345_678..12_345_999)).await.unwrap();
    assert!(part == bytes[12_345_678..12_345_999]);
    receipt
}

#[tokio::test]
async fn webdav_conforms() {
    let Some(server) = Server::start("bin/wsgidav", |port, dir| {
        std::fs::create_dir(dir.join("files")).unwrap();
        let config = format!(
            "host: 127.0.0.1\nport: {port}\nprovider_mapping:\n  /dav: {}/files\n\
             simple_dc:\n  user_mapping:\n    '*':\n      me:\n        password: s3cret\n\
             http_authenticator:\n  accept_basic: true\n  accept_digest: false\n  default_to_digest: false\n",
            dir.display()
        );
        std::fs::write(dir.join("dav.yaml"), config).unwrap();
        vec!["--config=dav.yaml".to_owned()]
    })
    .await
    else {
        return;
    };
    let spec = StoreSpec {
        kind: StoreKind::Webdav,
        endpoint: Some(format!("http://127.0.0.1:{}/dav", server.port)),
        account: Some("me".to_owned()),
        secret: server.secret("s3cret\n"),
        ..StoreSpec::default()
    };
    let files = store(&spec, "my pictures");
    conforms(&files).await;
    refuses_odd_keys(&files).await;
    // This server takes a question mark in a destination for the beginning of a query, which is noticed.
    let (world, key) = (World::new(), Key::from("what?".to_owned()));
    let fault = files.put(&key, &meta(1), &mut Pieces(vec![b"y"], None), &world.cx()).await.unwrap_err();
    assert!(fault.code() == "key" && fault.message().contains("is not there after"), "{fault}");
    carries_large_objects(&files, "large/öbject+%2F&.bin").await;
    // What is unfinished is nobody's, and there is nothing of it.
    let parts = server.dir.path().join("files/my pictures/.haul-part");
    assert_eq!(std::fs::read_dir(parts).unwrap().count(), 0);
    // A directory is not replaced by a file.
    let world = World::new();
    let fault =
        files.put(&"ab/c".to_owned().into(), &meta(1), &mut Pieces(vec![b"y"], None), &world.cx()).await;
    assert_eq!(fault.unwrap_err().code(), "key");
    assert_eq!(read(&files, "ab/c/d", None).await.unwrap().1, b"x");
    // More than is listed at once.
    std::fs::create_dir(server.dir.path().join("files/many")).unwrap();
    let mut names: Vec<String> = (0..LISTED + 3).map(|n| n.to_string()).collect();
    for name in &names {
        std::fs::write(server.dir.path().join("files/many").join(name), "").unwrap();
    }
    names.sort_unstable();
    assert_eq!(list(&store(&spec, "many"), "", None).await, names);
    // A wrong password, and none that can be read.
    let wrong = StoreSpec { secret: server.secret("wrong"), ..spec.clone() };
    let fault = store(&wrong, "many").head(&"1".to_owned().into(), &world.cx()).await.unwrap_err();
    assert_eq!(fault.status(), Some(401), "{fault}");
    assert!(!fault.message().contains("wrong"));
    let none = StoreSpec { secret: Some(SecretFrom::Env("HAUL_NO_SUCH_VARIABLE".into())), ..spec };
    let fault = store(&none, "many").head(&"1".to_owned().into(), &world.cx()).await.unwrap_err();
    assert_eq!((fault.class(), fault.code()), (FaultClass::Fatal, "credentials"));
    assert!(fault.message().contains("name another in [store.other]"), "{fault}");
}

#[tokio::test]
async fn google_cloud_storage_conforms() {
    let Some(server) = Server::start("bin/gcp-storage-emulator", |port, _| {
        let args = ["start", "--host=127.0.0.1", "--in-memory", "--default-bucket=pics"];
        args.iter().map(ToString::to_string).chain([format!("--port={port}")]).collect()
    })
    .await
    else {
        return;
    };
    let spec = StoreSpec {
        kind: StoreKind::Gcs,
        endpoint: Some(format!("http://127.0.0.1:{}", server.port)),
        secret: server.secret("t0ken"),
        ..StoreSpec::default()
    };
    let pics = store(&spec, "pics");
    // This one keeps what it has of an object whose sender is gone, as Google does not.
    conforms_but(&pics, true).await;
    lists_many(&pics).await;
    refuses_odd_keys(&pics).await;
    assert!(carries_large_objects(&pics, "large/öbject+%2F?#&.bin").await.confirmed);
    keeps_headers(&pics, &["content-type", "cache-control", "meta-owner"]).await;
    let missing = store(&spec, "nowhere");
    let world = World::new();
    let mut listing = missing.list(&Key::default(), None, &world.cx()).await.unwrap();
    assert_eq!(listing.next(&world.cx()).await.unwrap_err().status(), Some(404));
}

/// What travels with an object is there again; the rest is told.
async fn keeps_headers(store: &dyn Store, kept: &[&str]) {
    let all = ["content-type", "cache-control", "content-disposition", "meta-owner", "meta-o-1"];
    let value = |name: &str| if name == "content-type" { "image/png" } else { "max-age=5" };
    let headers = all.map(|name| (name.into(), value(name).into())).to_vec();
    let (world, key) = (World::new(), Key::from("kept".to_owned()));
    let meta = Meta { len: 1, headers, ..Meta::default() };
    let receipt = store.put(&key, &meta, &mut Pieces(vec![b"y"], None), &world.cx()).await.unwrap();
    let there = store.head(&key, &world.cx()).await.unwrap().unwrap().headers;
    for name in kept {
        assert!(there.contains(&((*name).into(), value(name).into())), "{name}: {there:?}");
        assert!(!receipt.dropped.contains(&(*name).into()), "{name}");
    }
    assert!(receipt.dropped.contains(&"content-disposition".into()), "{:?}", receipt.dropped);
}

#[tokio::test]
async fn azure_blob_storage_conforms() {
    let Some(server) = Server::start("node_modules/.bin/azurite-blob", |port, _| {
        let port = format!("--blobPort={port}");
        ["--inMemoryPersistence", "--skipApiVersionCheck", "--silent", "--disableTelemetry", &port]
            .map(str::to_owned)
            .to_vec()
    })
    .await
    else {
        return;
    };
    make_container(&server, "pics").await;
    let spec = StoreSpec {
        kind: StoreKind::Azblob,
        endpoint: Some(format!("http://127.0.0.1:{}/{ACCOUNT}", server.port)),
        account: Some(ACCOUNT.to_owned()),
        secret: server.secret(ACCOUNT_KEY),
        ..StoreSpec::default()
    };
    let pics = store(&spec, "pics");
    conforms(&pics).await;
    lists_many(&pics).await;
    refuses_odd_keys(&pics).await;
    assert!(carries_large_objects(&pics, "large/öbject+%2F?#&.bin").await.confirmed);
    keeps_headers(&pics, &["content-type", "cache-control", "meta-owner"]).await;
    let world = World::new();
    let wrong = StoreSpec { secret: server.secret(&ACCOUNT_KEY.replace('E', "F")), ..spec };
    let fault = store(&wrong, "pics").head(&"kept".to_owned().into(), &world.cx()).await.unwrap_err();
    assert_eq!(fault.status(), Some(403), "{fault}");
}

/// What everybody's Azurite has.
const ACCOUNT: &str = "devstoreaccount1";
const ACCOUNT_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// Makes a container, with the signature that Azure wants.
async fn make_container(server: &Server, name: &str) {
    let date = httpdate::fmt_http_date(std::time::SystemTime::now());
    let text = format!(
        "PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:{date}\nx-ms-version:2021-12-02\n/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container"
    );
    let signature =
        BASE64_STANDARD.encode(hmac(&BASE64_STANDARD.decode(ACCOUNT_KEY).unwrap(), text.as_bytes()));
    let request = format!(
        "PUT /{ACCOUNT}/{name}?restype=container HTTP/1.1\r\nHost: 127.0.0.1\r\nx-ms-date: {date}\r\nx-ms-version: 2021-12-02\r\n\
         Authorization: SharedKey {ACCOUNT}:{signature}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    let reply = server.ask(&request).await;
    assert!(reply.contains(" 201 "), "{reply}");
}

/// HMAC-SHA256 (RFC 2104).
fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut block = [0; 64];
    if key.len() > 64 {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let pad = |with: u8| block.map(|b| b ^ with);
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
}
