//! Which objects `haul copy` takes: by length, by age, by what the listing says of them.

use std::fs::File;
use std::time::{Duration, SystemTime};

use crate::program::Place;

/// Files of some length, written so many hours ago.
fn place() -> Place {
    let place = Place::new();
    std::fs::create_dir(place.file("in")).unwrap();
    for (name, bytes, hours) in [("a", 1, 1), ("b", 10, 50), ("c", 100, 100), ("d", 1000, 1000)] {
        place.write(&format!("in/{name}"), "x".repeat(bytes));
        let at = SystemTime::now() - Duration::from_secs(hours * 3600);
        File::options()
            .append(true)
            .open(place.file(&format!("in/{name}")))
            .unwrap()
            .set_modified(at)
            .unwrap();
    }
    place
}

fn copied(place: &Place, to: &str) -> String {
    let mut names: Vec<String> = std::fs::read_dir(place.file(to))
        .map(|entries| entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect())
        .unwrap_or_default();
    names.sort();
    names.concat()
}

#[test]
fn objects_are_chosen_by_length_and_age() {
    let place = place();
    let all: [(&[&str], &str); 7] = [
        (&["--min-size=10"], "bcd"),
        (&["--max-size=10B"], "ab"),
        (&["--min-size=10", "--max-size=100"], "bc"),
        (&["--min-age=2d"], "bcd"),
        (&["--max-age=2d"], "a"),
        (&["--min-age=2d", "--max-age=30d", "--max-size=1kB"], "bc"),
        (&["--where=.key != \"b\"", "--min-age=2h", "--min-size=2"], "cd"),
    ];
    for (i, (flags, wanted)) in all.into_iter().enumerate() {
        let to = format!("out{i}");
        let args = [&["copy", "in", to.as_str()], flags].concat();
        let said = place.haul(&args).ended(0);
        let line = format!("done {} + skipped {}", wanted.len(), 4 - wanted.len());
        assert!(said.err.contains(&line), "{flags:?}: {}", said.err);
        assert_eq!(copied(&place, &to), wanted, "{flags:?}");
        // What is left out is not missed.
        let said = place.haul(&[&["check"], &args[..]].concat()).ended(0);
        assert!(said.out.contains(&format!("{} objects", wanted.len())), "{flags:?}: {}", said.out);
    }
}

#[test]
fn what_no_object_can_be_is_refused() {
    let place = place();
    let copy = |more: &[&str]| place.haul(&[&["copy", "in", "out"], more].concat());
    copy(&["--where=.sise > 10"]).ended(64).told(&[
        "--where .sise > 10",
        "objects have no sise, which where names",
        "did you mean .size? there are key, size, etag, modified and there",
    ]);
    copy(&["--where=.key == \"a\" and .owner == \"me\""]).ended(64).told(&["objects have no owner"]);
    place.haul(&["check", "copy", "in", "out", "--where=.sise > 10"]).ended(64).told(&["no sise"]);
    copy(&["--min-size=2M", "--max-size=1M"]).ended(64).told(&["--min-size 2M --max-size 1M", "no object"]);
    copy(&["--min-age=2d", "--max-age=1d"]).ended(64).told(&["no object is like that"]);
    copy(&["--max-size=1x"]).ended(64).told(&["is not a size"]);
    assert_eq!(copied(&place, "out"), "");
}
