//! A place where every command that a help or the manual shows can be run: files, services, credentials.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use haul_lab::generate::{Form, Manifest};
use haul_lab::{ACCESS_KEY, Lab, LabSpec, PagesSpec, SECRET_KEY, Script, Service};

use crate::enrich::Scene;
use crate::program::{Place, Said, said};
use crate::secrets::service;

const ALL: [Service; 6] =
    [Service::Users, Service::Videos, Service::Index, Service::Pages, Service::Files, Service::S3];

/// Every service of the lab, a second place for objects, and every file that a command names.
pub(crate) struct Stage {
    pub(crate) scene: Scene,
    _other: Lab,
}

impl Stage {
    /// Services that are so, and `pairs` pairs.
    pub(crate) fn new(pairs: u64, change: impl Fn(&mut Script)) -> Self {
        let spec =
            LabSpec { pages: PagesSpec { range: 1000..3000, ..PagesSpec::default() }, ..LabSpec::new(&ALL) };
        let scene = Scene::with(pairs, spec.seed(5).all(change));
        let other = Lab::start(&LabSpec::new(&[Service::S3])).unwrap();
        let stores = format!(
            "[old]\ntype = \"s3\"\nendpoint = \"{}\"\n[new]\ntype = \"s3\"\nendpoint = \"{}\"\n",
            scene.lab.url(Service::S3),
            other.url(Service::S3)
        );
        for dir in ["jobs", "logs", "photos", "config/haul"] {
            std::fs::create_dir_all(scene.place.file(dir)).unwrap();
        }
        scene.place.write("config/haul/stores.toml", stores);
        scene.place.write("photos/one.txt", "a photo");
        let stage = Stage { scene, _other: other };
        stage.feed(pairs);
        stage.write();
        stage
    }

    /// Writes `pairs.csv`, with a header.
    pub(crate) fn feed(&self, pairs: u64) {
        self.scene.feed(pairs, 0.0);
        let rows = self.place().read("pairs.csv");
        self.place().write("pairs.csv", format!("user_id,video_id\n{rows}"));
    }

    pub(crate) fn place(&self) -> &Place {
        &self.scene.place
    }

    fn write(&self) {
        let place = self.place();
        for job in ["enrich", "get"] {
            let job = format!("jobs/{job}.toml");
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(&job);
            place.write(&job, self.here(&std::fs::read_to_string(path).unwrap()));
        }
        let (url, form) = (self.scene.lab.url(Service::Files), Form::Object);
        let mut contents = Vec::new();
        let files =
            Manifest { count: 8, seed: 3, url: url.clone(), form, video: 2000..=30_000, image: 500..=9000 };
        files.write_to(&mut contents).unwrap();
        place.write("contents.json", contents);
        place.write("urls.txt", format!("{url}/files/1-500.png\n{url}/files/2-700.png\n"));
        place.write("ids.jsonl", "{\"id\":1,\"food_id\":5}\n{\"id\":2,\"food_id\":5}\n");
        place.write("ids.tsv", "7\ta\n8\tb\n7\tc\n");
        for name in ["meals.jsonl", "meals-1.jsonl.zst"] {
            place.write(name, "{\"food_id\":1}\n{\"food_id\":2}\n");
        }
        place.write("access.csv", "country,status\nde,200\nfr,404\n");
        let took = "{\"took_ms\":5,\"request\":\"a\"}\n{\"took_ms\":7,\"request\":\"b\"}\n";
        place.write("logs/a.jsonl.gz", took);
        for name in ["scores.txt", "old.zst"] {
            place.write(name, "5: {\"id\":\"a\"}\n7: {\"id\":\"b\"}\n");
        }
        place.write("bad.txt", "5: {\"id\":\"a\"}\n7: {\"id\":\n");
    }

    /// The text with the stage's addresses in the place of those that are shown.
    fn here(&self, text: &str) -> String {
        let at = |s| self.scene.lab.url(s);
        text.replace("old:images/2023/", "old:img-20-500/img/")
            .replace("old:images", "old:img-20-500")
            .replace("http://localhost:8000", &at(Service::Users))
            .replace("http://localhost:8001", &at(Service::Videos))
            .replace("http://localhost:8002", &at(Service::Index))
            .replace("http://localhost:8003", &at(Service::Pages))
            .replace("658330693..=732158492", "1000..=2999")
            .replace("1000..121000", "1000..3000")
            .replace("https://api.github.com/orgs/rust-lang/repos?per_page=100", &list())
            .replace(
                "https://api.stripe.com/v1/charges?limit=100",
                &only("{\"data\":[{\"id\":\"ch_1\",\"amount\":5}],\"has_more\":false}"),
            )
            .replace(
                "https://example.org/api/things/",
                &only("{\"results\":[{\"kind\":\"a\"}],\"next\":null}"),
            )
            .replace("http://localhost:9200/things/_search", &only("{\"hits\":{\"hits\":[]}}"))
            .replace("https://users.example", &at(Service::Users))
            .replace("https://example.org/{id}.json", &format!("{}/users/{{id}}", at(Service::Users)))
            .replace("https://api.example/items", &pages())
            // Not on every machine; the file is plain text.
            .replace("zstd -dc ", "cat ")
    }

    /// Runs a line to its end, which comes soon.
    #[track_caller]
    pub(crate) fn ran(&self, line: &str) -> Said {
        let child = self.shell(line).process_group(0).spawn().unwrap();
        let group = rustix::process::Pid::from_child(&child);
        let (ended, patience) = channel::<()>();
        let watch = std::thread::spawn(move || {
            let late = patience.recv_timeout(Duration::from_secs(120)) == Err(RecvTimeoutError::Timeout);
            if late {
                rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
            }
            late
        });
        let output = child.wait_with_output().unwrap();
        drop(ended);
        assert!(!watch.join().unwrap(), "{line} does not end");
        said(output)
    }

    /// A shell that finds `haul`.
    pub(crate) fn shell(&self, line: &str) -> Command {
        let bin = Path::new(env!("CARGO_BIN_EXE_haul")).parent().unwrap().display().to_string();
        let path = format!("{bin}:{}", std::env::var("PATH").unwrap());
        // Only for its environment.
        let like = self.place().command::<&str>(&[]);
        let mut command = Command::new("sh");
        command.args(["-c", &self.here(line)]).current_dir(self.place().path());
        command.envs(like.get_envs().filter_map(|(k, v)| Some((k, v?)))).env("PATH", path);
        command.env("XDG_CONFIG_HOME", self.place().file("config")).env("STRIPE_KEY", "sk_test");
        command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
        command.env("AWS_ENDPOINT_URL", self.scene.lab.url(Service::S3));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

fn json(body: &str) -> String {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
    format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// Where an API is that answers so.
fn api(answer: impl Fn(&str) -> String + Send + 'static) -> String {
    let (at, requests) = service(answer);
    // It works as long as somebody could ask what it was asked.
    std::mem::forget(requests);
    at
}

/// An API with one page, which says of no other.
fn only(page: &'static str) -> String {
    api(|_| json(page))
}

fn list() -> String {
    only("[{\"id\":1,\"name\":\"a\"},{\"id\":2,\"name\":\"b\"}]")
}

/// An API with one page, and an empty one after it.
fn pages() -> String {
    api(|request| {
        json(if request.contains("page=1 ") { "{\"data\":[{\"kind\":\"a\"}]}" } else { "{\"data\":[]}" })
    })
}
