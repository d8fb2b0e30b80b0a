//! Several items in one request, against a scripted server.

use std::sync::Arc;

use futures_util::future::join_all;
use haul_connect::assemble::{AssembleContext, assemble};
use haul_core::cx::RunKey;
use haul_core::item::{Seq, SliceId};
use haul_core::step::{Applied, Flow, Step};
use haul_core::{Fault, FaultClass};

use crate::serve::{Act, Seen, Server, World, reply, shown};
use crate::steps::{item, job, only};

/// All items at once, each with its answer.
async fn all(step: &Arc<dyn Step>, records: &[&str]) -> (World, Vec<Result<Applied, Fault>>) {
    let world = World::new();
    let cx = world.cx();
    let items: Vec<_> = (0..).zip(records).map(|(seq, record)| item(seq, record)).collect();
    let answers = join_all(items.iter().map(|item| step.apply(item, &cx))).await;
    assert_eq!(world.budget.used(), 0, "bytes are held");
    (world, answers)
}

fn key(seq: u64) -> String {
    RunKey([1; 16]).idempotency_at(SliceId(0), Seq(seq), "x")
}

fn text(seen: &Seen) -> String {
    String::from_utf8(seen.body.clone()).unwrap()
}

fn word(answer: &Result<Applied, Fault>) -> String {
    match answer {
        Ok(Applied { flow: Flow::Skip(why), .. }) => format!("skip {why}"),
        Ok(_) => "ok".to_owned(),
        Err(fault) => fault.class().as_str().to_owned() + if fault.is_ambiguous() { "?" } else { "" },
    }
}

fn words(answers: &[Result<Applied, Fault>]) -> Vec<String> {
    answers.iter().map(word).collect()
}

const POST: &str = "post = \"{s}/index\"\n";

#[tokio::test]
async fn items_go_together_and_none_waits_for_ever() {
    let server = Server::start(|_| reply("201 Created", "", "{}")).await;
    let step = only(&server, &format!("{POST}batch = {{ max = 3, linger = \"30ms\" }}"));
    let (world, answers) = all(&step, &["{\"a\": 1.50}", "{}", "{}", "{}", "{}"]).await;
    assert_eq!(words(&answers), ["ok"; 5]);
    assert_eq!(world.verdicts().len(), 2);
    let seen = server.seen();
    let (first, second) = (text(&seen[0]), text(&seen[1]));
    let part = |seq| format!("{{\"idempotency_key\":\"{}\"}}", key(seq));
    assert_eq!(
        first,
        format!("[{{\"a\": 1.50,\"idempotency_key\":\"{}\"}},{},{}]", key(0), part(1), part(2))
    );
    assert_eq!(second, format!("[{},{}]", part(3), part(4)));
    assert_eq!(seen[0].header("content-type"), Some("application/json"));
    let header = |n: usize| seen[n].header("idempotency-key").unwrap().to_owned();
    assert!(header(0).len() == 32 && header(0) != header(1) && header(0) != key(0));
    // The same items again, in the same order, have the same key.
    all(&step, &["{\"a\": 1.50}", "{}", "{}"]).await;
    assert_eq!(server.seen()[2].header("idempotency-key").unwrap(), header(0));
}

#[tokio::test]
async fn only_items_of_one_group_and_one_url_go_together() {
    let server = Server::start(|_| reply("200 OK", "", "{}")).await;
    let step = only(
        &server,
        "post = \"{s}/of/{to}\"\nbatch = { max = 9, by = \"user\", linger = \"30ms\" }\n\
         body = \"{user: .items[0].user, videos: [.items[] | .video]}\"",
    );
    let record =
        |user: u32, video: u32, to: &str| format!("{{\"user\":{user},\"video\":{video},\"to\":\"{to}\"}}");
    let records = [record(1, 1, "a"), record(2, 2, "a"), record(1, 3, "a"), record(1, 4, "b")];
    let (_, answers) = all(&step, &records.each_ref().map(String::as_str)).await;
    assert_eq!(words(&answers), ["ok"; 4]);
    let mut seen: Vec<String> = server.seen().iter().map(|s| s.path().to_owned() + " " + &text(s)).collect();
    seen.sort();
    assert_eq!(
        seen,
        [
            "/of/a {\"user\":1,\"videos\":[1,3]}",
            "/of/a {\"user\":2,\"videos\":[2]}",
            "/of/b {\"user\":1,\"videos\":[4]}"
        ]
    );
}

const BULK: &str = "post = \"{s}/_bulk\"\n\
    batch = { max = 9, linger = \"30ms\", format = \"ndjson\" }\n\
    body = \".items[] | {index: {_id: .idempotency_key}}, {n}\"\n\
    outcomes = \"[.items[] | .index | {status, error: .error.reason}]\"\n";

#[tokio::test]
async fn lines_keep_their_bytes_and_each_item_has_its_own_outcome() {
    let server = Server::start(|_| {
        let item =
            |status: u16, error: &str| format!("{{\"index\":{{\"status\":{status},\"error\":{error}}}}}");
        let refused = "{\"type\": \"t\", \"reason\": \"no \\\"such\\\" field\"}";
        let items = [
            item(201, "null"),
            item(400, refused),
            item(429, "null"),
            item(500, "null"),
            item(409, "null"),
            item(404, "null"),
        ];
        reply("200 OK", "", format!("{{\"items\":[{}]}}", items.join(",")))
    })
    .await;
    let step = only(&server, &format!("{BULK}on = {{ 409 = \"done\", 404 = \"skip\" }}"));
    let records: Vec<String> = (0..6).map(|n| format!("{{\"n\": {n}.00, \"m\": [\n1]}}")).collect();
    let (world, answers) = all(&step, &records.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert_eq!(words(&answers), ["ok", "permanent", "throttled", "transient?", "ok", "skip x: 404"]);
    let refused = answers[1].as_ref().unwrap_err();
    assert_eq!(refused.status(), Some(400));
    assert!(refused.message().ends_with("/_bulk: 400 Bad Request: \"no 'such' field\""), "{refused}");
    assert!(refused.origin().is_some());
    assert_eq!(world.verdicts().len(), 1);
    let seen = server.seen();
    assert_eq!(seen[0].header("content-type"), Some("application/x-ndjson"));
    let wanted: String =
        (0..6).map(|n| format!("{{\"index\":{{\"_id\":\"{}\"}}}}\n{{\"n\":{n}.00}}\n", key(n))).collect();
    assert_eq!(text(&seen[0]), wanted);
}

#[tokio::test]
async fn outcomes_may_be_words_and_may_come_by_key() {
    let server = Server::start(|_| {
        let body = format!(
            "{{\"{}\": null, \"{}\": \"too old\", \"{}\": {{\"error\": {{\"code\": 7}}}}, \"{}\": true, \"{}\": [1]}}",
            key(3),
            key(0),
            key(1),
            key(2),
            key(4)
        );
        reply("200 OK", "", body)
    })
    .await;
    let step = only(&server, &format!("{POST}batch = {{ max = 6, linger = \"30ms\" }}\noutcomes = \".\""));
    let (_, answers) = all(&step, &["{}"; 6]).await;
    assert_eq!(words(&answers), ["permanent", "permanent", "ok", "ok", "permanent?", "permanent?"]);
    let says = |n: usize| answers[n].as_ref().unwrap_err().message().to_owned();
    assert!(says(0).ends_with(": \"too old\"") && says(1).contains("'code':7"), "{} {}", says(0), says(1));
    assert!(says(4).contains("no outcome: \"[1]\"") && says(5).contains("nothing for this item"));
}

#[tokio::test]
async fn replies_that_say_nothing_of_the_items_leave_them_in_question() {
    for (body, class, says) in [
        ("{\"items\":[]}", FaultClass::Permanent, "gives 0 for 2 items"),
        ("{\"items\":{}}", FaultClass::Permanent, "gives 0 for 2 items"),
        ("{\"items\":3}", FaultClass::Permanent, "outcomes fails"),
        ("{\"items\":[", FaultClass::Transient, "ends in the middle"),
        ("", FaultClass::Transient, "an empty body"),
        ("<html>", FaultClass::Transient, "HTML"),
    ] {
        let server = Server::start(move |_| reply("200 OK", "", body)).await;
        let (_, answers) = all(&only(&server, BULK), &["{}", "{}"]).await;
        for answer in answers {
            let fault = answer.unwrap_err();
            assert!(fault.class() == class && fault.is_ambiguous(), "{}", shown(&fault));
            assert!(fault.message().contains(says), "{}", shown(&fault));
        }
    }
}

/// Refuses every body that holds one of these numbers.
fn refusing(status: &'static str, bad: &'static [u32]) -> impl Fn(&Seen) -> Vec<Act> {
    move |seen| {
        let numbers: Vec<u32> = serde_json::from_slice(&seen.body).unwrap();
        let refused = numbers.iter().any(|n| bad.contains(n));
        reply(if refused { status } else { "200 OK" }, "", "{\"error\": \"one of them\"}")
    }
}

#[tokio::test]
async fn a_batch_that_is_refused_as_a_whole_is_halved_until_the_bad_item_is_found() {
    for (bad, sent) in [
        // 16 refused, then at each level only one half is sent: 8, 4, 2, 1, and 1 for the bad one.
        (&[15][..], vec![16, 8, 4, 2, 1, 1]),
        (&[0], vec![16, 8, 4, 2, 1, 1, 2, 4, 8]),
        (&[5], vec![16, 8, 4, 2, 1, 1, 2, 8]),
    ] {
        let server = Server::start(refusing("422 Unprocessable Content", bad)).await;
        let step = only(
            &server,
            &format!("{POST}batch = {{ max = 16, linger = \"30ms\" }}\nbody = \"[.items[] | .n]\""),
        );
        let records: Vec<String> = (0..16).map(|n| format!("{{\"n\":{n}}}")).collect();
        let (world, answers) = all(&step, &records.iter().map(String::as_str).collect::<Vec<_>>()).await;
        for (n, answer) in (0..).zip(&answers) {
            assert_eq!(word(answer), if bad.contains(&n) { "permanent" } else { "ok" }, "{n}");
        }
        let lengths: Vec<usize> = server
            .seen()
            .iter()
            .map(|s| serde_json::from_slice::<Vec<u32>>(&s.body).unwrap().len())
            .collect();
        assert_eq!(lengths, sent, "{bad:?}");
        assert!(world.verdicts().iter().all(Option::is_some) && world.verdicts().len() == sent.len());
    }
}

#[tokio::test]
async fn too_much_at_once_is_sent_in_parts() {
    let server = Server::start(|seen| {
        let numbers: Vec<u32> = serde_json::from_slice(&seen.body).unwrap();
        reply(if numbers.len() > 3 { "413 Too Large" } else { "200 OK" }, "", "{}")
    })
    .await;
    let step =
        only(&server, &format!("{POST}batch = {{ max = 8, linger = \"30ms\" }}\nbody = \"[.items[] | .n]\""));
    let (_, answers) = all(&step, &["{\"n\":1}"; 8]).await;
    assert_eq!(words(&answers), ["ok"; 8]);
    assert_eq!(server.seen().len(), 7, "8, 4, 2, 2, 4, 2, 2");
}

#[tokio::test]
async fn what_is_said_of_the_service_is_said_once() {
    for (status, class) in [
        ("404 Not Found", "permanent"),
        ("403 Forbidden", "transient"),
        ("503 Unavailable", "throttled"),
        ("500 Error", "transient?"),
    ] {
        let server = Server::start(move |_| reply(status, "", "{}")).await;
        let step = only(&server, &format!("{POST}batch = {{ max = 4, linger = \"30ms\" }}"));
        let (_, answers) = all(&step, &["{}"; 4]).await;
        assert_eq!(words(&answers), [class; 4]);
        assert_eq!(server.seen().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn an_item_whose_part_cannot_be_made_fails_alone() {
    let server = Server::start(|_| reply("200 OK", "", "{}")).await;
    for (body, by) in
        [(".items[] | {n: (.n + 1)}", ""), (".items[] | .n.x", ""), (".items[] | .n", "by = \".n.x\", ")]
    {
        let before = server.seen().len();
        let text = format!(
            "{POST}batch = {{ max = 4, {by}linger = \"30ms\", format = \"ndjson\" }}\nbody = \"{body}\""
        );
        let good = if body.contains('+') { "{\"n\": 1}" } else { "{\"n\": {\"x\": 1}}" };
        let (_, answers) = all(&only(&server, &text), &[good, "{\"n\": \"text\"}", good, good]).await;
        assert_eq!(words(&answers), ["ok", "permanent", "ok", "ok"], "{body}");
        assert!(server.seen().len() > before);
        assert!(server.seen()[before..].iter().all(|seen| !text_of(seen).contains("text")));
    }
}

fn text_of(seen: &Seen) -> String {
    text(seen)
}

#[tokio::test]
async fn a_leader_that_is_dropped_leaves_nobody_waiting() {
    let server = Server::start(|_| vec![Act::Wait(std::time::Duration::from_secs(30))]).await;
    for (linger, ambiguous) in [("30s", false), ("1ms", true)] {
        let step = only(&server, &format!("{POST}batch = {{ max = 9, linger = \"{linger}\" }}"));
        let world = World::new();
        let cx = world.cx();
        let (first, second) = (item(0, "{}"), item(1, "{}"));
        let leader = step.apply(&first, &cx);
        let follower = step.apply(&second, &cx);
        let waited = tokio::time::timeout(std::time::Duration::from_millis(200), async {
            // The leader is polled first, and dropped when the time is over.
            let mut leader = leader;
            let poll = std::future::poll_fn(|task| leader.as_mut().poll(task));
            poll.await
        });
        let (led, followed) = tokio::join!(waited, follower);
        assert!(led.is_err());
        let fault = followed.unwrap_err();
        assert_eq!((fault.code(), fault.is_ambiguous()), ("stopped", ambiguous), "{}", shown(&fault));
        assert!(fault.is_uncharged());
    }
}

#[test]
fn batches_are_checked_where_they_are_said() {
    let context = AssembleContext { output: None, ..AssembleContext::default() };
    for (batch, what) in [
        ("batch = { max = 2, by = \".a |\" }", "step.x.batch.by"),
        ("batch = { max = 2 }\noutcomes = \".a |\"", "step.x.outcomes"),
        ("batch = { max = 2 }\nbody = \".a |\"", "step.x.body"),
    ] {
        let text = format!("[[step]]\nname = \"x\"\npost = \"http://h/\"\n{batch}\n");
        let refused = assemble(&job(&text), &context).err().expect("it is refused");
        assert_eq!(refused.what, what);
    }
}

#[tokio::test]
async fn bodies_are_compressed_where_it_saves() {
    let server = Server::start(|_| reply("200 OK", "", "{}")).await;
    let long = format!("{{\"a\": \"{}\"}}", "text ".repeat(200));
    for (step, record, encoded) in [
        (format!("{POST}encode = \"gzip\""), &*long, true),
        (format!("{POST}encode = \"gzip\""), "{}", false),
        (format!("{POST}encode = \"gzip\"\nbatch = {{ max = 1 }}"), &*long, true),
        (POST.to_owned(), &*long, false),
    ] {
        let (world, answers) = all(&only(&server, &step), &[record]).await;
        assert_eq!(words(&answers), ["ok"]);
        let seen = server.seen().pop().unwrap();
        assert_eq!(seen.header("content-encoding"), encoded.then_some("gzip"), "{step}");
        assert_eq!(seen.header("content-type"), Some("application/json"));
        assert!(world.last_verdict().wire_out >= seen.body.len() as u64);
        if encoded {
            let mut plain = String::new();
            let mut reader = flate2::read::GzDecoder::new(&seen.body[..]);
            std::io::Read::read_to_string(&mut reader, &mut plain).unwrap();
            assert!(seen.body.len() < 200 && plain.contains(&long[1..long.len() - 1]), "{plain}");
        }
    }
}
