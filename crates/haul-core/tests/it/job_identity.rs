//! What makes two runs the same run.

use std::path::Path;

use super::{MANUAL, read, read_with};
use haul_core::job::{Identity, Job, freeze, parse, what_differs, write, write_frozen};

fn frozen(set: &[&str]) -> Job {
    freeze(&read_with(MANUAL, None, set).job, Path::new("/data"))
}

#[test]
fn pace_and_patience_do_not_change_the_identity() {
    let plain = Identity::of(&frozen(&[]));
    for set in [
        "service.users.rate=1/s",
        "service.users.url=[\"http://localhost:8000\", \"http://b:8000/\"]",
        "service.users.concurrency=9",
        "limits.memory=64MiB",
        "limits.bandwidth=20M",
        "limits.timeout=1s",
        "retry.attempts=1",
        "secret.index.env=OTHER",
        "step.video.timeout=9s",
        "step.video.cache=9s",
        "step.index.encode=gzip",
        "source.limit=5",
        "source.on_invalid=stop",
        "source.if_changed=all",
        "delivery=at-most-once",
        "service.unused.url=http://x",
        "source.csv=./pairs.csv",
    ] {
        let other = frozen(&[set]);
        assert_eq!(Identity::of(&other), plain, "{set}");
        assert_eq!(what_differs(&frozen(&[]), &other), Vec::<String>::new(), "{set}");
    }
}

#[test]
fn source_steps_output_and_urls_do_and_the_difference_is_named() {
    let plain = frozen(&[]);
    for (set, wanted) in [
        ("source.csv=other.csv", "source.csv was \"/data/pairs.csv\" and is now \"/data/other.csv\""),
        ("source.key={user_id}", "source.key was \"{user_id},{video_id}\" and is now \"{user_id}\""),
        ("source.where=.user_id > 5", "source.where is new: \".user_id > 5\""),
        (
            "step.video.on={ 404 = \"fail\" }",
            "step.video.on was { 404 = \"skip\" } and is now { 404 = \"fail\" }",
        ),
        (
            "service.users.url=http://u",
            "service.users.url was \"http://localhost:8000\" and is now \"http://u\"",
        ),
        ("output.jsonl=o.jsonl", "output.jsonl is new: \"/data/o.jsonl\""),
    ] {
        let other = frozen(&[set]);
        assert_ne!(Identity::of(&other), Identity::of(&plain), "{set}");
        assert_eq!(what_differs(&plain, &other), [wanted], "{set}");
    }
    let mut swapped = plain.clone();
    swapped.steps.swap(0, 1);
    assert_eq!(
        what_differs(&plain, &swapped),
        ["the steps were user, video, index and are now video, user, index"]
    );
}

#[test]
fn a_frozen_job_keeps_its_name_and_its_identity() {
    let job = frozen(&[]);
    let text = write_frozen(&job);
    let again =
        parse(&haul_core::job::Given { text: &text, name: "job", profile: None, set: &[] }).unwrap().job;
    assert_eq!(again, job);
    assert_eq!(Identity::of(&again), Identity::of(&job));
    assert_eq!(Identity::of(&job).short(), Identity::of(&job).to_string()[..4]);
}

#[test]
fn the_manual_is_written_as_it_was_read() {
    // Profiles belong to the file, not to the job that was made of it.
    let profiles = MANUAL.find("\n[profile").unwrap();
    let expected: String = MANUAL[..profiles].replace("csv = ", "csv     = ").replace("key = ", "key     = ");
    assert_eq!(write(&read(MANUAL)), expected);
}

#[test]
fn how_many_go_together_is_pace_and_how_they_are_written_is_not() {
    let with = |batch: &str| frozen(&[&format!("step.index.batch={batch}")]);
    let plain = Identity::of(&with("{ max = 5 }"));
    assert_ne!(plain, Identity::of(&frozen(&[])));
    assert_eq!(plain, Identity::of(&with("{ max = 50, linger = \"1s\" }")));
    assert_ne!(plain, Identity::of(&with("{ max = 5, by = \"user_id\" }")));
    assert_ne!(plain, Identity::of(&with("{ max = 5, format = \"ndjson\" }")));
}

#[test]
fn what_is_read_in_pages_and_what_is_counted_make_the_identity_and_the_rate_does_not() {
    const CRAWL: &str = include_str!("../../../../jobs/crawl.toml");
    let of = |set: &[&str]| freeze(&read_with(CRAWL, None, set).job, Path::new("/data"));
    let plain = of(&[]);
    for (set, wanted) in [
        ("source.range=1..5", "source.range was \"658330693..732158493\" and is now \"1..5\""),
        ("source.items=.data", "source.items was \".response\" and is now \".data\""),
        ("aggregate.food_id.n=5", "aggregate.food_id.n was 100 and is now 5"),
    ] {
        let other = of(&[set]);
        assert_ne!(Identity::of(&other), Identity::of(&plain), "{set}");
        assert_eq!(what_differs(&plain, &other), [wanted], "{set}");
    }
    assert_eq!(Identity::of(&of(&["service.foodstats.rate=7/s"])), Identity::of(&plain));
    assert_eq!(plain.source.location, "{foodstats}/foodstats", "a URL is not a path");
    assert_ne!(Identity::of(&of(&["service.foodstats.url=http://other"])), Identity::of(&plain));
}
