//! `moto`: a wide imitation of AWS, in Python. `.ci/moto DIR` installs it; where it is not there, the test
//! says so and ends.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use haul_lab::ODD_KEYS;

use super::{Scene, image};

/// The server, until it is dropped.
struct Moto {
    child: Child,
    address: String,
}

impl Moto {
    /// `None`: it is not installed.
    fn start() -> Option<Moto> {
        let mut child = Command::new(program()?)
            .args(["-H", "127.0.0.1", "-p", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        let address = loop {
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0, "moto ended");
            if let Some((_, rest)) = line.split_once("Running on http://") {
                break rest.split_whitespace().next().unwrap().to_owned();
            }
        };
        // A line for every request: someone has to read them.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        Some(Moto { child, address })
    }

    /// Makes a bucket, or an empty object with these headers; it does not ask for signatures.
    fn put(&self, path: &str, headers: &str) {
        let mut socket = TcpStream::connect(&self.address).unwrap();
        let host = &self.address;
        let head = format!("PUT /{path} HTTP/1.0\r\nHost: {host}\r\n{headers}Content-Length: 0\r\n\r\n");
        socket.write_all(head.as_bytes()).unwrap();
        let mut reply = String::new();
        socket.read_to_string(&mut reply).unwrap();
        assert!(reply.contains(" 200 OK"), "{reply}");
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `HAUL_MOTO`, or where `.ci/run` installs it.
fn program() -> Option<PathBuf> {
    let usual = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/moto/bin/moto_server");
    let path = std::env::var_os("HAUL_MOTO").map_or_else(usual, PathBuf::from);
    path.exists().then_some(path)
}

#[test]
fn odd_keys_and_large_objects_pass_through_moto() {
    let Some(moto) = Moto::start() else {
        println!("skipped: moto is not installed (.ci/moto target/tools/moto)");
        return;
    };
    for bucket in ["odd", "twice", "large", "tagged"] {
        moto.put(bucket, "");
    }
    let scene = Scene::with(&format!("http://{}", moto.address));
    // Its router knows no line break in a path: one key of 21 is refused, and that is told.
    let said = scene.haul(&["copy", "lab:odd", "other:odd"]).ended(3);
    assert!(said.err.contains("done 20 + skipped 0 + failed 1 "), "{}", said.err);
    let errors = scene.haul(&["errors", "--list"]).ended(0);
    assert!(errors.out.contains("new") && errors.out.contains("line.txt"), "{}", errors.out);
    // Within moto by moto, and back to us.
    scene.haul(&["copy", "other:odd", "other:twice"]).ended(0);
    scene.haul(&["copy", "other:twice", "lab:back"]).ended(0);
    assert_eq!(scene.lab.object_keys("back").len(), 20);
    scene.equal(ODD_KEYS.into_iter().filter(|key| !key.contains('\n')), ("odd", "back"));
    // What is there is not asked for again.
    let said = scene.haul(&["copy", "other:odd", "other:twice", "--run=again"]).ended(0);
    assert!(said.err.contains("skipped 20 "), "{}", said.err);
    scene.haul(&["copy", "lab:img-2-20000001", "other:large"]).ended(0);
    scene.haul(&["copy", "other:large", "lab:large"]).ended(0);
    scene.equal([&*image(0), &image(1)].into_iter(), ("img-2-20000001", "large"));
    // Neither tags nor storage classes are carried, which is counted.
    moto.put("tagged/a", "x-amz-tagging: team=pics&year=2023\r\nx-amz-storage-class: GLACIER_IR\r\n");
    moto.put("tagged/b", "x-amz-tagging: team=pics\r\n");
    scene
        .haul(&["copy", "other:tagged", "lab:tagged"])
        .ended(0)
        .told(&["not carried: tags 2, storage-class 1\n"]);
}
