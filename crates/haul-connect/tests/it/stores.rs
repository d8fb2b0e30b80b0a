//! What every store holds to. A new one is a line at the end.

#[cfg(feature = "stores")]
mod others;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use haul_connect::http::{Client, ClientOptions};
use haul_connect::stores::{Bucket, Directory, S3};
use haul_core::job::StoreSpec;
use haul_core::limits::LISTED;
use haul_core::store::{Address, Content, Meta, Store, Upload};
use haul_core::{Cx, Fault, FaultClass, Key};

use haul_lab::{ACCESS_KEY, Lab, LabSpec, SECRET_KEY};

use crate::serve::World;

/// Pieces, and what comes after them.
struct Pieces(Vec<&'static [u8]>, Option<Fault>);

#[async_trait]
impl Content for Pieces {
    async fn next(&mut self, _: &Cx<'_>) -> Result<Option<Bytes>, Fault> {
        match (self.0.is_empty(), self.1.take()) {
            (false, fault) => {
                self.1 = fault;
                Ok(Some(Bytes::from_static(self.0.remove(0))))
            }
            (true, Some(fault)) => Err(fault),
            (true, None) => Ok(None),
        }
    }
}

fn meta(len: u64) -> Meta {
    Meta { len, headers: vec![("content-type".into(), "image/png".into())], ..Meta::default() }
}

async fn put(store: &dyn Store, key: &str, bytes: &'static [u8]) {
    let world = World::new();
    let mut content = Pieces(vec![bytes], None);
    if bytes.is_empty() {
        content.0.clear();
    }
    let key = Key::from(key.to_owned());
    let receipt = store.put(&key, &meta(bytes.len() as u64), &mut content, &world.cx()).await.unwrap();
    assert_eq!(receipt.len, bytes.len() as u64);
    assert!(receipt.crc32c.is_none_or(|crc| crc == crc32c::crc32c(bytes)));
}

async fn read(store: &dyn Store, key: &str, range: Option<std::ops::Range<u64>>) -> Option<(Meta, Vec<u8>)> {
    let world = World::new();
    let (meta, mut content) = store.open(&Key::from(key.to_owned()), range, &world.cx()).await.unwrap()?;
    let mut out = Vec::new();
    while let Some(piece) = content.next(&world.cx()).await.unwrap() {
        assert!(!piece.is_empty());
        out.extend_from_slice(&piece);
    }
    Some((meta, out))
}

async fn list(store: &dyn Store, prefix: &str, after: Option<&str>) -> Vec<String> {
    let world = World::new();
    let after = after.map(|a| Key::from(a.to_owned()));
    let mut listing = store.list(&prefix.to_owned().into(), after.as_ref(), &world.cx()).await.unwrap();
    let mut keys = Vec::new();
    while let Some(page) = listing.next(&world.cx()).await.unwrap() {
        assert!(!page.is_empty() && page.len() <= LISTED);
        keys.extend(page.into_iter().map(|listed| listed.key.to_string()));
    }
    keys
}

async fn conforms(store: &dyn Store) {
    conforms_but(store, false).await;
}

/// `careless`: its server takes what it has of a body that was cut off for all of it.
async fn conforms_but(store: &dyn Store, careless: bool) {
    let world = World::new();
    let cx = world.cx();
    let key = |text: &str| Key::from(text.to_owned());
    assert!(!store.name().is_empty());

    // Nothing is there.
    assert_eq!(list(store, "", None).await, Vec::<String>::new());
    assert_eq!(store.head(&key("a/b"), &cx).await.unwrap(), None);
    assert_eq!(read(store, "a/b", None).await, None);
    assert!(!store.delete(&key("a/b"), &cx).await.unwrap());

    // What is written is read, and replaced as a whole.
    put(store, "a/b", b"first").await;
    let head = store.head(&key("a/b"), &cx).await.unwrap().unwrap();
    assert_eq!(head.len, 5);
    assert_eq!(read(store, "a/b", None).await.unwrap().1, b"first");
    assert_eq!(read(store, "a/b", Some(1..3)).await.unwrap(), (head.clone(), b"ir".to_vec()));
    assert_eq!(read(store, "a/b", Some(3..99)).await.unwrap().1, b"st");
    put(store, "a/b", b"the second").await;
    let second = store.head(&key("a/b"), &cx).await.unwrap().unwrap();
    assert_eq!(second.len, 10);
    assert!(head.version.is_empty() || head.version != second.version);
    put(store, "empty", b"").await;
    assert_eq!(read(store, "empty", None).await.unwrap().1, b"");

    // What fails leaves what was there.
    let mut short = Pieces(vec![b"thi", b"rd"], None);
    let fault = store.put(&key("a/b"), &meta(6), &mut short, &cx).await.unwrap_err();
    assert_eq!(fault.code(), "truncated");
    let mut broken = Pieces(vec![b"thi"], Some(Fault::transient("reset", "gone")));
    assert_eq!(store.put(&key("a/b"), &meta(5), &mut broken, &cx).await.unwrap_err().code(), "reset");
    let one = store.put(&key("a/new"), &meta(9), &mut Pieces(vec![b"x"], None), &cx).await;
    assert!(one.is_err());
    if careless {
        put(store, "a/b", b"the second").await;
        store.delete(&key("a/new"), &cx).await.unwrap();
    }
    assert_eq!(read(store, "a/b", None).await.unwrap().1, b"the second");
    assert_eq!(list(store, "", None).await, ["a/b", "empty"]);

    // In the order of bytes, whatever the keys look like.
    let mut keys = ["a-b", "a.b/c", "a/b", "a/b c/%2F", "a/ü", "a0", "ab/c/d", "empty", "Z", "a/~x"].to_vec();
    for key in &keys {
        put(store, key, b"x").await;
    }
    keys.sort_unstable();
    assert_eq!(list(store, "", None).await, keys);
    for (i, key) in keys.iter().enumerate() {
        assert_eq!(list(store, "", Some(key)).await, keys[i + 1..], "after {key}");
    }
    for prefix in ["a", "a/", "a/b", "a/b c/", "ab/c", "zz", "a/bx"] {
        let wanted: Vec<&str> = keys.iter().copied().filter(|k| k.starts_with(prefix)).collect();
        assert_eq!(list(store, prefix, None).await, wanted, "with {prefix}");
    }
    assert_eq!(list(store, "a/", Some("a/b")).await, ["a/b c/%2F", "a/~x", "a/ü"]);
    assert_eq!(list(store, "a/", Some("a")).await.len(), 4);

    // What is removed is not there.
    assert!(store.delete(&key("a/b"), &cx).await.unwrap());
    assert_eq!(store.head(&key("a/b"), &cx).await.unwrap(), None);
}

/// A listing of more than a page.
async fn lists_many(store: &dyn Store) {
    let mut many: Vec<String> = (0..LISTED + 3).map(|n| format!("many/{n}")).collect();
    for key in &many {
        put(store, key, b"x").await;
    }
    many.sort_unstable();
    assert_eq!(list(store, "many/", None).await, many);
}

/// A service that checks signatures, and buckets of it.
struct Service {
    _lab: Lab,
    s3: Arc<S3>,
}

impl Service {
    fn new() -> Service {
        let lab = Lab::start(&LabSpec::new(&[haul_lab::Service::S3]).seed(3)).unwrap();
        let endpoint = Some(lab.url(haul_lab::Service::S3));
        let spec = StoreSpec { endpoint, ..StoreSpec::default() };
        let client = Arc::new(Client::new(ClientOptions::default()));
        let s3 = S3::new("lab", &spec, client, Duration::from_secs(20)).unwrap();
        let s3 = s3.with_keys(ACCESS_KEY, SECRET_KEY);
        Service { _lab: lab, s3: Arc::new(s3) }
    }

    fn bucket(&self, name: &str) -> Bucket {
        Bucket::new(Arc::clone(&self.s3), name)
    }
}

#[tokio::test]
async fn a_bucket_conforms() {
    let service = Service::new();
    conforms(&service.bucket("any")).await;
    lists_many(&service.bucket("any")).await;
    takes_parts(&service.bucket("parts")).await;
}

/// What every store holds to that takes objects in parts.
async fn takes_parts(store: &dyn Store) {
    const LEN: usize = 5 << 20;
    let (world, key) = (World::new(), Key::from("large".to_owned()));
    let cx = world.cx();
    let parts = store.parts().unwrap();
    let len = parts.part_len(LEN as u64 + 3);
    assert!(len >= LEN as u64 && parts.part_len(5 << 40).saturating_mul(10_000) >= 5 << 40);
    let bytes: &'static [u8] = vec![7; LEN].leak();
    put(store, "source", bytes).await;

    // Nothing is seen of it before it is complete; what arrived is known.
    let id = parts.begin(&key, &meta(LEN as u64 + 3), &cx).await.unwrap();
    let upload = Upload { key: &key, id: &id };
    assert_eq!(parts.open_uploads(&key, &cx).await.unwrap(), std::slice::from_ref(&id));
    let tail = parts.part(upload, (2, 3), &mut Pieces(vec![b"en", b"d"], None), &cx).await.unwrap();
    let short = parts.part(upload, (1, LEN as u64), &mut Pieces(vec![bytes, b"x"], None), &cx).await;
    assert_eq!(short.unwrap_err().code(), "truncated");
    let arrived = parts.arrived(upload, &cx).await.unwrap().unwrap();
    assert_eq!(arrived.iter().map(|p| (p.number, p.len)).collect::<Vec<_>>(), [(2, 3)]);
    assert_eq!(arrived[0].md5, tail.md5);
    let head = parts.part(upload, (1, LEN as u64), &mut Pieces(vec![bytes], None), &cx).await.unwrap();
    assert_eq!(store.head(&key, &cx).await.unwrap(), None);
    let receipt = parts.complete(upload, &[head, tail], &cx).await.unwrap();
    assert!(receipt.confirmed && receipt.len == LEN as u64 + 3);
    let (there, all) = read(store, "large", None).await.unwrap();
    assert!(all.len() == LEN + 3 && all.ends_with(b"end"));
    assert_eq!((&*there.version, &there.headers), (&*receipt.version, &meta(0).headers));

    // From an object of its own, by itself; of the version that is said.
    let id = parts.begin(&key, &meta(LEN as u64), &cx).await.unwrap();
    let upload = Upload { key: &key, id: &id };
    let from = store.address(&"source".to_owned().into()).unwrap();
    let stale = Address { version: "0".into(), ..from.clone() };
    assert!(parts.part_of(upload, 1, (&stale, 0..9), &cx).await.is_err());
    let part = parts.part_of(upload, 1, (&from, 3..LEN as u64), &cx).await.unwrap();
    parts.complete(upload, &[part], &cx).await.unwrap();
    assert_eq!(read(store, "large", None).await.unwrap().1.len(), LEN - 3);
    store.copy(&from, &key, &cx).await.unwrap();
    assert_eq!(read(store, "large", None).await.unwrap().1.len(), LEN);

    // What is given up is gone, however often.
    let id = parts.begin(&key, &meta(1), &cx).await.unwrap();
    let upload = Upload { key: &key, id: &id };
    parts.give_up(upload, &cx).await.unwrap();
    parts.give_up(upload, &cx).await.unwrap();
    assert_eq!(parts.arrived(upload, &cx).await.unwrap(), None);
    assert!(parts.open_uploads(&key, &cx).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_directory_conforms_and_leaves_nothing_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("not/there yet");
    let store = Directory::new(root.clone());
    conforms(&store).await;
    lists_many(&store).await;
    drop(store);
    assert!(!root.join(".haul-part").exists());
}

#[tokio::test]
async fn no_key_leads_out_of_a_directory_or_into_what_is_unfinished() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("secret"), "x").unwrap();
    std::fs::create_dir_all(dir.path().join("in/.haul-part/run")).unwrap();
    std::fs::write(dir.path().join("in/.haul-part/run/x.part"), "x").unwrap();
    let store = Directory::new(dir.path().join("in"));
    let world = World::new();
    let long = "x".repeat(300);
    for key in
        ["", "../secret", "a/../../secret", "/secret", "a//b", "a/", "./a", ".haul-part/x", "a\0b", &long]
    {
        let key = Key::from(key.to_owned());
        let fault = store.put(&key, &meta(1), &mut Pieces(vec![b"y"], None), &world.cx()).await.unwrap_err();
        assert_eq!((fault.class(), fault.code()), (FaultClass::Permanent, "key"), "{key}");
        assert!(!matches!(store.head(&key, &world.cx()).await, Ok(Some(_))), "{key}");
    }
    assert_eq!(list(&store, "", None).await, Vec::<String>::new());
    assert_eq!(std::fs::read(dir.path().join("secret")).unwrap(), b"x");
    // Nor does a link, or a file where a directory should be.
    std::os::unix::fs::symlink(dir.path(), dir.path().join("in/out")).unwrap();
    put(&store, "file", b"x").await;
    put(&store, "dir/file", b"x").await;
    for key in ["out/secret", "out/new/file", "file/below", "dir"] {
        let key = Key::from(key.to_owned());
        let fault = store.put(&key, &meta(1), &mut Pieces(vec![b"y"], None), &world.cx()).await.unwrap_err();
        assert_eq!((fault.class(), fault.code()), (FaultClass::Permanent, "key"), "{key}: {fault}");
    }
    assert_eq!(std::fs::read(dir.path().join("secret")).unwrap(), b"x");
    assert!(!dir.path().join("new").exists());
}
