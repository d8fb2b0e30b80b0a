//! `s3s-fs`: checks signatures and checksums, keeps objects as files.

use std::net::TcpListener;
use std::path::Path;

use haul_lab::{ACCESS_KEY, ODD_KEYS, SECRET_KEY};
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;

use super::{Scene, image};

/// Serves a directory, whose directories are buckets, until the test ends.
fn serve(root: &Path) -> String {
    let mut builder = S3ServiceBuilder::new(FileSystem::new(root).unwrap());
    builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
    let service = builder.build();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    std::thread::spawn(move || {
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            // Connections go down with the runtime.
            let set = tokio::task::LocalSet::new();
            set.run_until(async {
                while let Ok((socket, _)) = listener.accept().await {
                    let _ = socket.set_nodelay(true);
                    let (io, service) = (TokioIo::new(socket), service.clone());
                    tokio::task::spawn_local(
                        hyper::server::conn::http1::Builder::new().serve_connection(io, service),
                    );
                }
            })
            .await;
        });
    });
    url
}

fn scene(buckets: &[&str]) -> (Scene, tempfile::TempDir) {
    let root = tempfile::tempdir().unwrap();
    buckets.iter().for_each(|bucket| std::fs::create_dir(root.path().join(bucket)).unwrap());
    (Scene::with(&serve(root.path())), root)
}

#[test]
fn objects_pass_through_s3s() {
    let (scene, _root) = scene(&["pics", "twice"]);
    scene.haul(&["copy", "lab:img-300-2000", "other:pics"]).ended(0);
    scene.haul(&["copy", "other:pics", "other:twice"]).ended(0);
    scene.haul(&["copy", "other:twice", "lab:back"]).ended(0);
    let keys: Vec<String> = (0..300).map(image).collect();
    scene.equal(keys.iter().map(String::as_str), ("img-300-2000", "back"));
    // Its listings have no ETags: what is there is known by size and time.
    let said = scene.haul(&["copy", "lab:img-300-2000", "other:pics", "--run=again"]).ended(0);
    assert!(said.err.contains("skipped 300 "), "{}", said.err);
}

#[test]
fn large_objects_go_through_s3s_in_parts() {
    let (scene, _root) = scene(&["large"]);
    scene.haul(&["copy", "lab:img-2-20000001", "other:large"]).ended(0);
    scene.haul(&["copy", "other:large", "lab:back"]).ended(0);
    scene.equal([&*image(0), &image(1)].into_iter(), ("img-2-20000001", "back"));
}

#[test]
fn keys_that_s3s_cannot_keep_are_recorded() {
    let (scene, root) = scene(&["odd"]);
    let said = scene.haul(&["copy", "lab:odd", "other:odd", "--attempts=2", "--within=5s"]).ended(3);
    assert!(said.err.contains("done 19 + skipped 0 + failed 2 "), "{}", said.err);
    // It makes directories of slashes, and has no place for these.
    let errors = scene.haul(&["errors", "--list"]).ended(0).out;
    assert!(errors.contains("trailing/") && errors.contains("/leading.txt"), "{errors}");
    // Those that are no paths are names of files, byte by byte; only its listings lose them.
    for key in ODD_KEYS.into_iter().filter(|key| !key.contains('/')) {
        let bytes =
            std::fs::read(root.path().join("odd").join(key)).unwrap_or_else(|e| panic!("{key:?}: {e}"));
        assert!(bytes == scene.lab.object("odd", key).unwrap().bytes, "{key:?} has other bytes");
    }
}

#[test]
fn what_s3s_refuses_is_told_by_its_code() {
    let (scene, _root) = scene(&[]);
    // Its errors have no message.
    let said = scene.haul(&["copy", "other:nothing", "lab:x"]).ended(1);
    assert!(said.err.contains("404 NoSuchBucket\n"), "{}", said.err);
    let said = scene.haul(&["copy", "lab:img-5-100", "other:nothing"]).ended(1);
    assert!(said.err.contains("404 NoSuchBucket\n"), "{}", said.err);
}
