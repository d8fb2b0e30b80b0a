//! Tests of haul-core from outside: job files as people write them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod job_diagnostics;
mod job_identity;
mod job_roundtrip;
mod job_schema;
mod pace;

use haul_core::job::{Given, Job, Parsed, parse};

/// The job of the manual.
const MANUAL: &str = r#"haul = 1

[source]
csv = "pairs.csv"
columns = ["user_id:int", "video_id:int"]
key = "{user_id},{video_id}"

[service.users]
url  = "http://localhost:8000"
rate = "500/s"

[service.videos]
url = "http://localhost:8001"

[service.index]
url  = "http://localhost:8002"
auth = "index"

[secret.index]
header = "Authorization"
env    = "INDEX_TOKEN"
format = "Bearer {}"

[[step]]
name = "user"
get  = "{users}/users/{user_id}"
take = ".data | {id, fullName, country}"

[[step]]
name = "video"
get  = "{videos}/videos/{video_id}"
take = ".data"
on   = { 404 = "skip" }

[[step]]
name   = "index"
post   = "{index}/index"
body   = "{user: .user, video: .video}"
expect = 201

[retry]
attempts = 9
within   = "10m"

[profile.production]
service.users.url = "https://users.example"
retry.attempts = 20

[profile.patient.step.video]
timeout = "2m"
"#;

fn read(text: &str) -> Job {
    read_with(text, None, &[]).job
}

fn read_with(text: &str, profile: Option<&str>, set: &[&str]) -> Parsed {
    let set: Vec<String> = set.iter().map(|s| (*s).to_owned()).collect();
    match parse(&Given { text, name: "enrich", profile, set: &set }) {
        Ok(parsed) => parsed,
        Err(found) => {
            let lines: Vec<String> = found.iter().map(|d| d.one_line("job.toml", text)).collect();
            panic!("{}", lines.join("\n"))
        }
    }
}

/// Every problem of a file, one a line.
fn problems(text: &str, profile: Option<&str>, set: &[&str]) -> String {
    let set: Vec<String> = set.iter().map(|s| (*s).to_owned()).collect();
    match parse(&Given { text, name: "enrich", profile, set: &set }) {
        Ok(_) => String::new(),
        Err(found) => found.iter().map(|d| d.one_line("job.toml", text) + "\n").collect(),
    }
}
