//! Wrong usage: told all at once, each with a way out, exit status 64; nothing is left behind.

use super::program::Place;

#[test]
fn haul_alone_shows_examples_and_verbs() {
    let place = Place::new();
    let alone = place.haul::<&str>(&[]).ended(0);
    assert!(
        alone.out.contains("haul enrich pairs.csv") && alone.out.contains("Before   try"),
        "{}",
        alone.out
    );
    for args in [&["help"][..], &["--help"], &["-h"]] {
        assert_eq!(place.haul(args).ended(0).out, alone.out);
    }
    assert!(place.haul(&["--version"]).ended(0).out.starts_with("haul 0."));
}

#[test]
fn every_verb_has_help() {
    let place = Place::new();
    let overview = place.haul::<&str>(&[]).out;
    let verbs = overview.lines().filter_map(|l| l.get(9..).filter(|_| !l.starts_with("  haul")));
    for verb in verbs
        .filter_map(|l| l.split_whitespace().next())
        .filter(|w| w.bytes().all(|b| b.is_ascii_lowercase()))
    {
        if overview.contains(&format!("   {verb}   ")) {
            let help = place.haul(&[verb, "--help"]).ended(0).out;
            assert!(help.contains("Usage: haul"), "{verb}: {help}");
            assert_eq!(place.haul(&["help", verb]).ended(0).out, help);
        }
    }
}

#[test]
fn what_clap_refuses_is_usage() {
    let place = Place::new();
    place.haul(&["frobnicate"]).ended(64).told(&["haul: unrecognized subcommand 'frobnicate'"]);
    place.haul(&["plan", "enrich"]).ended(64).told(&["<INPUT>"]);
    place
        .haul(&["plan", "enrich", "a.csv", "--csv-header", "ye"])
        .ended(64)
        .told(&["'--csv-header <yes|no|auto>'", "did you mean yes?"]);
    place.haul(&["plan", "enrich", "a", "--csv", "--tsv"]).ended(64).told(&["cannot be used with"]);
    place
        .haul(&["plan", "enrich", "a", "--timeout", "10"])
        .ended(64)
        .told(&["\"10\" is not a time: write it like"]);
    place.haul(&["plan", "enrich", "a", "--limit", "0"]).ended(64);
    place.haul(&["plan", "enrich", "a", "--columns", "a:itn"]).ended(64).told(&["did you mean int?"]);
    place.haul(&["errors", "--only", "x1"]).ended(64).told(&["they look like e1"]);
}

#[test]
fn all_problems_of_a_command_are_told_at_once() {
    let place = Place::new();
    let args = [
        "plan",
        "enrich",
        "a.csv",
        "--lookup",
        "user",
        "--lookup",
        "video=http://h/v/{id}",
        "--take",
        "vidoe=.x",
        "--on",
        "video:44=skip",
        "--on",
        "404=ignore",
        "--expect",
        "201",
        "--rate",
        "5",
        "--rate",
        "x=5/s",
        "--to",
        "out.csv.gz",
    ];
    place.haul(&args).ended(64).told(&[
        "haul: --lookup user: a lookup is NAME=URL\n  hint: write it like --lookup user=",
        "haul: --take vidoe=.x: no lookup is named \"vidoe\"\n  hint: did you mean video?",
        "haul: --on video:44=skip: \"44\" is no HTTP status",
        "haul: --on 404=ignore: a status cannot mean \"ignore\"",
        "haul: --expect 201: there is no --post it could be about",
        "haul: --rate 5: \"5\" is not a rate: write it like 500/s",
        "haul: --rate x=5/s: no one service is at \"x\"\n  hint: there are: v at h",
        "haul: --to out.csv.gz: rows are written uncompressed",
    ]);
}

#[test]
fn credentials_on_the_command_line_are_refused_and_not_repeated() {
    let place = Place::new();
    let args = [
        "plan",
        "enrich",
        "a.csv",
        "--post",
        "http://me:hunter2@h/{",
        "-H",
        "Authorization: Bearer hunter2",
        "-H",
        "x-api-key:hunter2",
    ];
    let said = place.haul(&args).ended(64);
    assert!(!said.err.contains("hunter2"), "{}", said.err);
    said.told(&[
        "must not stand on the command line",
        "-H 'Authorization: Bearer {env:TOKEN}'",
        "x-api-key: {env:TOKEN}",
    ]);
    let urls = place.haul(&["plan", "enrich", "a.csv", "--post", "http://me:hunter2@h/{"]).ended(64);
    assert!(!urls.err.contains("hunter2"), "{}", urls.err);
    urls.told(&["a URL must not hold a user name or a password"]);
    place
        .haul(&[
            "plan",
            "enrich",
            "a",
            "--lookup",
            "a=http://h:1/",
            "--post",
            "http://h:2/",
            "-H",
            "Authorization: {env:T}",
        ])
        .ended(64)
        .told(&[
            "a secret goes to one service, and there are a, post",
            "say which: -H 'post=Authorization: …'",
        ]);
}

#[test]
fn a_broken_job_file_is_shown_with_its_place() {
    let place = Place::new();
    place.write(
        "bad.toml",
        "haul = 1\n[source]\ncsv = \"a.csv\"\n[output]\njsonl = \"o\"\n[limits]\nconcurency = 4\n",
    );
    place.haul(&["plan", "bad.toml"]).ended(64).told(&[
        "haul: bad.toml:7:1: unknown key \"concurency\" in [limits]\n",
        " 7 │ concurency = 4\n",
        "   · ──────────\n",
        "  hint: did you mean \"concurrency\"?",
    ]);
    place.haul(&["plan", "nosuch.toml"]).ended(1).told(&["haul: nosuch.toml: there is no such job file"]);
    place.haul(&["plan", "."]).ended(1).told(&["this is a directory"]);
    place.write("binary.toml", b"haul = 1\n\xff\xfe");
    place.haul(&["plan", "binary.toml"]).ended(1).told(&["line 2 is not UTF-8"]);
    place.haul(&["plan", "bad.toml", "--overwrite"]).ended(64);
}

#[test]
fn without_runs_there_is_nothing_to_look_at() {
    let place = Place::new();
    place.haul(&["errors"]).ended(1).told(&["no runs in"]);
    place.haul(&["errors", "nosuch"]).ended(64).told(&["no run \"nosuch\""]);
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0, "looking leaves nothing behind");
}
