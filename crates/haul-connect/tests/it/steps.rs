//! Steps as jobs describe them, against a scripted server; and what every step holds to.

use std::sync::Arc;

use bytes::Bytes;
use haul_connect::assemble::{AssembleContext, AssembleError, Assembled, assemble};
use haul_core::cx::RunKey;
use haul_core::item::{Item, Position, Seq, SliceId};
use haul_core::job::{Given, Job, parse};
use haul_core::step::{Applied, Effect, Flow, Step};
use haul_core::{Fault, FaultClass, Record};

use crate::serve::{Act, Seen, Server, World, reply, shown};

pub(crate) fn job(steps: &str) -> Job {
    let text = format!("haul = 1\n[source]\njsonl = \"-\"\n{steps}");
    let given = Given { text: &text, name: "test", profile: None, set: &[] };
    parse(&given).unwrap_or_else(|e| panic!("{e:?} in {text}")).job
}

pub(crate) fn item(seq: u64, record: &str) -> Item {
    Item {
        slice: SliceId(0),
        seq: Seq(seq),
        key: format!("k{seq}").into(),
        position: Position::default(),
        record: Record::new(record.to_owned()),
    }
}

fn without_output() -> AssembleContext {
    AssembleContext { output: None, ..AssembleContext::default() }
}

fn assembled(steps: &str) -> Assembled {
    assemble(&job(steps), &without_output()).unwrap()
}

fn refused(job: &Job) -> AssembleError {
    assemble(job, &without_output()).err().expect("the job is refused")
}

/// The only step of a job with one service `s` at `server`.
pub(crate) fn only(server: &Server, step: &str) -> Arc<dyn Step> {
    let service = format!("[service.s]\nurl = \"http://{}\"\n[[step]]\nname = \"x\"\n", server.address);
    let stages = assembled(&format!("{service}{step}")).stages;
    Arc::clone(&stages[0][0])
}

async fn apply(step: &Arc<dyn Step>, record: &str) -> Result<Applied, Fault> {
    step.apply(&item(7, record), &World::new().cx()).await
}

async fn get(
    script: impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static,
    more: &str,
) -> Result<Applied, Fault> {
    let server = Server::start(script).await;
    let step = only(&server, &format!("get = \"{{s}}/users/{{id}}\"\n{more}"));
    apply(&step, "{\"id\": \"a/b\"}").await
}

fn attached(applied: &Applied) -> &str {
    std::str::from_utf8(applied.attach.as_ref().expect("something is attached")).unwrap()
}

#[tokio::test]
async fn a_lookup_attaches_the_bytes_of_the_service() {
    let body = "\n {\"data\": {\"id\": 12345678901234567890123, \"n\": 1.50, \"s\": \"\\u00e9\"}} \n";
    let all = get(move |_| reply("200 OK", "", body), "").await.unwrap();
    assert_eq!(attached(&all), body.trim());
    let taken = get(move |_| reply("200 OK", "", body), "take = \".data | {id, n}\"").await.unwrap();
    assert_eq!(attached(&taken), "{\"id\":12345678901234567890123,\"n\":1.50}");
    let path = get(move |_| reply("200 OK", "", body), "take = \".data.s\"").await.unwrap();
    assert_eq!(attached(&path), "\"\\u00e9\"");
    let nothing = get(|_| vec![Act::Send(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec())], "").await.unwrap();
    assert_eq!(attached(&nothing), "null");
}

#[tokio::test]
async fn fields_of_the_url_are_encoded_and_headers_are_sent() {
    let server = Server::start(|_| reply("200 OK", "", "1")).await;
    let step = only(
        &server,
        "get = \"{s}/users/{id}?q={q}\"\nheaders = { X-Team = \"blue\", accept = \"application/vnd.x+json\" }",
    );
    apply(&step, "{\"id\": \"a/b\", \"q\": 1.50}").await.unwrap();
    let seen = server.seen().pop().unwrap();
    assert_eq!(seen.path(), "/users/a%2Fb?q=1.50");
    assert_eq!(seen.header("x-team"), Some("blue"));
    assert_eq!(seen.header("accept"), Some("application/vnd.x+json"));
    assert_eq!(seen.head.to_ascii_lowercase().matches("accept:").count(), 1);
    assert!(seen.header("user-agent").unwrap().starts_with("haul/"));
    assert_eq!(seen.header("accept-encoding"), Some("gzip, br, zstd, deflate"));
    let missing = apply(&step, "{\"id\": 1}").await.unwrap_err();
    assert_eq!((missing.class(), missing.code()), (FaultClass::Permanent, "url"));
    assert!(missing.message().contains("{q}"), "{missing}");
}

#[tokio::test]
async fn statuses_mean_what_the_job_says() {
    for (status, rules, meaning) in [
        ("404 Not Found", "on = { 404 = \"skip\" }", "skip x: 404"),
        ("404 Not Found", "on = { 404 = \"null\" }", "attach null"),
        ("410 Gone", "on = { 4xx = \"done\" }", "next"),
        ("404 Not Found", "on = { 404 = \"retry\" }", "transient 404"),
        ("500 No", "on = { 500 = \"fail\" }", "permanent 500"),
        ("200 OK", "on = { 200 = \"skip\" }\nexpect = 200", "skip x: 200"),
        ("404 Not Found", "expect = [200, 404]", "attach 1"),
        ("202 Accepted", "expect = 200", "permanent 202"),
        ("404 Not Found", "", "permanent 404"),
        ("401 Unauthorized", "", "transient 401"),
        ("429 Too Many Requests", "", "throttled 429"),
        ("503 Service Unavailable", "", "throttled 503"),
        ("502 Bad Gateway", "", "transient 502"),
        ("302 Found", "", "permanent 302"),
    ] {
        let got = match get(move |_| reply(status, "", "1"), rules).await {
            Ok(Applied { flow: Flow::Skip(why), .. }) => format!("skip {why}"),
            Ok(Applied { flow: Flow::Next, attach: Some(v) }) => {
                format!("attach {}", String::from_utf8_lossy(&v))
            }
            Ok(Applied { flow: Flow::Next, attach: None }) => "next".into(),
            Ok(Applied { flow: Flow::Done, .. }) => "done".into(),
            Err(fault) => format!("{} {}", fault.class().as_str(), fault.status().unwrap()),
        };
        assert_eq!(got, meaning, "{status} with {rules:?}");
    }
}

#[tokio::test]
async fn the_fault_of_a_status_says_what_the_service_said() {
    let fault = get(|_| reply("422 Unprocessable", "Retry-After: 3\r\n", "{\"error\":\n\"bad id\"}"), "")
        .await
        .unwrap_err();
    assert!(
        fault.message().ends_with("/users/a%2Fb: 422 Unprocessable Content: \"{'error': 'bad id'}\""),
        "{fault}"
    );
    assert_eq!((fault.code(), fault.status()), ("status", Some(422)));
    assert_eq!(fault.retry_after().map(|w| w.as_secs()), Some(3));
    assert!(fault.origin().unwrap().starts_with("127.0.0.1:"));
    let fault = get(|_| reply("200 OK", "", "1"), "expect = 201").await.unwrap_err();
    assert!(fault.message().contains("200 OK (expected 201: see --expect)"), "{fault}");
}

#[tokio::test]
async fn bodies_that_are_no_json() {
    const HTML: &str = "<!doctype html>\n<html><body>Log in</body></html>";
    for (kind, body, more, class, says) in [
        (
            "text/html",
            HTML,
            "",
            FaultClass::Transient,
            "200 with HTML instead of JSON: \"<!doctype html> <html>",
        ),
        ("application/json", HTML, "", FaultClass::Transient, "HTML instead of JSON"),
        ("text/html", HTML, "take = \".data\"", FaultClass::Transient, "HTML instead of JSON"),
        ("application/json", "{\"data\": {\"id\": 1", "", FaultClass::Transient, "ends in the middle"),
        (
            "application/json",
            "{\"data\": {\"id\": 1",
            "take = \".data.id\"",
            FaultClass::Transient,
            "ends in the middle",
        ),
        ("application/json", "", "", FaultClass::Transient, "an empty body"),
        ("application/json", "{\"a\": nope}", "", FaultClass::Permanent, "not JSON ("),
        ("application/json", "{\"a\": 1} x", "take = \".a\"", FaultClass::Permanent, "not JSON ("),
        ("application/json", "{\"a\": \"x\"}", "take = \".a.b\"", FaultClass::Permanent, "take fails"),
    ] {
        let header = format!("Content-Type: {kind}\r\n");
        let fault = get(move |_| reply("200 OK", &header, body), more).await.unwrap_err();
        assert_eq!(fault.class(), class, "{body}: {fault}");
        assert!(fault.message().contains(says) && fault.message().starts_with("http://"), "{fault}");
    }
}

const POST: &str = "post = \"{s}/index\"\n";

#[tokio::test]
async fn a_write_sends_its_body_and_a_key_of_its_own() {
    let server = Server::start(|_| reply("201 Created", "", "{\"ok\": true}")).await;
    for (step, body) in [
        (POST.to_owned(), "{\"id\": 1, \"n\": 1.50}"),
        (format!("{POST}body = \"{{id: .id, all: .}}\""), "{\"id\":1,\"all\":{\"id\": 1, \"n\": 1.50}}"),
        ("put = \"{s}/index/{id}\"\n".to_owned(), "{\"id\": 1, \"n\": 1.50}"),
    ] {
        let step = only(&server, &step);
        let applied = apply(&step, "{\"id\": 1, \"n\": 1.50}").await.unwrap();
        assert_eq!((applied.flow, applied.attach), (Flow::Next, None));
        let seen = server.seen().pop().unwrap();
        assert_eq!(String::from_utf8(seen.body.clone()).unwrap(), body);
        assert_eq!(seen.header("content-type"), Some("application/json"));
        let key = RunKey([1; 16]).idempotency_at(SliceId(0), Seq(7), "x");
        assert_eq!(seen.header("idempotency-key"), Some(&*key));
        let (method, effect) = (seen.head.split(' ').next().unwrap().to_owned(), step.effect());
        assert!(matches!(
            (&*method, effect),
            ("POST", Effect::UnsafeWrite) | ("PUT", Effect::IdempotentWrite)
        ));
    }
    assert_eq!(server.seen()[2].path(), "/index/1");
}

#[tokio::test]
async fn without_a_body_the_lookups_are_sent_by_name() {
    let server = Server::start(|_| reply("200 OK", "", "1")).await;
    let stages = assembled(&format!(
        "[service.s]\nurl = \"http://{}\"\n[[step]]\nname = \"user\"\nget = \"{{s}}/u\"\n\
         [[step]]\nname = \"n\"\nmap = \"1\"\n[[step]]\nname = \"video\"\nget = \"{{s}}/v\"\n\
         [[step]]\nname = \"index\"\n{POST}",
        server.address
    ))
    .stages;
    let mut it = item(1, "{\"id\": 1}");
    it.record.attach("user".into(), Bytes::from_static(b"{\"a\": 1}"));
    it.record.attach("n".into(), Bytes::from_static(b"1"));
    stages.last().unwrap()[0].apply(&it, &World::new().cx()).await.unwrap();
    assert_eq!(server.seen()[0].body, b"{\"user\":{\"a\": 1},\"video\":null}");
}

#[tokio::test]
async fn what_a_failed_write_may_have_done_is_known() {
    for (acts, ambiguous) in [
        (reply("500 Internal Server Error", "", "x"), true),
        (reply("502 Bad Gateway", "", "x"), true),
        (reply("504 Gateway Timeout", "", "x"), true),
        (reply("408 Request Timeout", "", "x"), true),
        (reply("429 Too Many Requests", "", "x"), false),
        (reply("503 Service Unavailable", "", "x"), false),
        (reply("400 Bad Request", "", "x"), false),
        (vec![Act::Close], true),
        (vec![Act::Reset], true),
    ] {
        let acts = std::sync::Mutex::new(Some(acts));
        let server = Server::start(move |_| acts.lock().unwrap().take().unwrap()).await;
        let fault = apply(&only(&server, POST), "{}").await.unwrap_err();
        assert_eq!(fault.is_ambiguous(), ambiguous, "{}", shown(&fault));
    }
}

#[tokio::test]
async fn a_page_for_people_accepts_nothing_unless_the_job_says_so() {
    let page = |_: &_| reply("200 OK", "Content-Type: text/html\r\n", "<html>Sign in</html>");
    let server = Server::start(page).await;
    for expect in ["", "expect = 201\n"] {
        let fault = apply(&only(&server, &format!("{POST}{expect}")), "{}").await.unwrap_err();
        assert_eq!((fault.class(), fault.code()), (FaultClass::Transient, "html"), "{fault}");
        assert!(fault.is_ambiguous() && fault.message().contains("200 with an HTML page"), "{fault}");
    }
    apply(&only(&server, &format!("{POST}expect = 200\n")), "{}").await.unwrap();
}

#[tokio::test]
async fn a_step_has_its_own_time() {
    let slow = |_: &Seen| vec![Act::Wait(std::time::Duration::from_secs(30))];
    let fault = get(slow, "timeout = \"50ms\"").await.unwrap_err();
    assert!(fault.code() == "timeout" && fault.message().contains("within 50ms"), "{fault}");
}

#[tokio::test]
async fn maps_and_filters() {
    let server = Server::start(|_| Vec::new()).await;
    let map = only(&server, "map = \".a + 1\"");
    assert_eq!(attached(&apply(&map, "{\"a\": 2}").await.unwrap()), "3");
    let fault = apply(&map, "{\"a\": {}}").await.unwrap_err();
    assert_eq!((fault.class(), fault.code()), (FaultClass::Permanent, "expr"));
    assert!(fault.message().starts_with(".a + 1: "), "{fault}");
    let filter = only(&server, "filter = \".a > 1\"");
    assert_eq!(apply(&filter, "{\"a\": 2}").await.unwrap().flow, Flow::Next);
    assert_eq!(apply(&filter, "{\"a\": 1}").await.unwrap().flow, Flow::Skip("x: not .a > 1".into()));
    assert_eq!(filter.effect(), Effect::Pure);
}

#[tokio::test]
async fn secrets_go_to_their_service_and_show_nowhere() {
    let server = Server::start(|seen| match seen.header("authorization") {
        Some("Bearer haul-connect") => reply("200 OK", "", "1"),
        other => reply("403 Forbidden", "", format!("you sent {other:?}, not Bearer haul-connect")),
    })
    .await;
    let elsewhere = Server::start(|seen| reply("403 Forbidden", "", seen.head.clone())).await;
    // Cargo sets this variable for every test.
    let text = |url: &str, format: &str| {
        format!(
            "[service.s]\nurl = \"http://{}\"\nauth = \"t\"\n[secret.t]\nheader = \"Authorization\"\n\
             env = \"CARGO_PKG_NAME\"\nformat = \"{format}\"\n[[step]]\nname = \"x\"\nget = \"{url}\"\n",
            server.address
        )
    };
    let ready = assembled(&text("{s}/x", "Bearer {}"));
    ready.check_secrets().await.unwrap();
    assert_eq!(ready.lanes[0].0.credential.as_ref(), "t");
    apply(&ready.stages[0][0], "{}").await.unwrap();
    let denied = assembled(&text("{s}/x", "Basic {}"));
    let fault = apply(&denied.stages[0][0], "{}").await.unwrap_err();
    assert!(fault.message().contains("you sent") && !fault.message().contains("haul-connect"), "{fault}");
    let other = assembled(&text(&format!("http://{}/", elsewhere.address), "Bearer {}"));
    apply(&other.stages[0][0], "{}").await.unwrap_err();
    assert_eq!(elsewhere.seen()[0].header("authorization"), None);
}

#[tokio::test]
async fn a_whole_url_may_come_from_the_record() {
    let server = Server::start(|seen| reply("200 OK", "", format!("\"{}\"", seen.path()))).await;
    let step = only(&server, "get = \"{url}\"");
    let url = format!("{{\"url\": \"http://{}/a/b?c=d e\"}}", server.address);
    assert_eq!(attached(&apply(&step, &url).await.unwrap()), "\"/a/b?c=d%20e\"");
    for (bad, says) in [
        ("{\"url\": \"ftp://x/\"}", "must start with http"),
        ("{\"url\": \"http://me:pw@x/\"}", "user info"),
        ("{\"url\": 1}", "must start with http"),
    ] {
        let fault = apply(&step, bad).await.unwrap_err();
        assert_eq!((fault.class(), fault.code()), (FaultClass::Permanent, "url"));
        assert!(fault.message().contains(says), "{fault}");
    }
}

/// What every step holds to, whatever it does.
#[tokio::test]
async fn conformance() {
    let server = Server::start(|_| reply("200 OK", "", "{\"v\": 1}")).await;
    for (kind, step) in [
        ("get", "get = \"{s}/{id}\""),
        ("get with take", "get = \"{s}/{id}\"\ntake = \".v\""),
        ("post", "post = \"{s}/{id}\""),
        ("post with body", "post = \"{s}/\"\nbody = \"{id}\""),
        ("put", "put = \"{s}/{id}\""),
        ("batch", "post = \"{s}/{id}\"\nbatch = { max = 1 }"),
        ("map", "map = \".id\""),
        ("filter", "filter = \".id == 1\""),
    ] {
        let step = only(&server, step);
        assert_eq!(&**step.name(), "x", "{kind}");
        let world = World::new();
        let it = item(1, "{\"id\": 1}");
        // Any number of attempts, also at once, give the same and leave nothing held.
        let cx = world.cx();
        let (a, b) = tokio::join!(step.apply(&it, &cx), step.apply(&it, &cx));
        let (a, b) = (a.unwrap(), b.unwrap());
        assert_eq!((&a.flow, &a.attach), (&b.flow, &b.attach), "{kind}");
        if let Some(value) = &a.attach {
            haul_connect::expr::validate(value).unwrap();
        }
        assert_eq!(world.budget.used(), 0, "{kind} holds bytes");
        assert!(world.verdicts().iter().all(Option::is_some), "{kind} lost a permit");
        let requests = step.effect() != Effect::Pure;
        // Of two identical lookups at once, one is sent.
        let sent = world.verdicts().len() + world.saved().0;
        assert_eq!(sent, if requests { 2 } else { 0 }, "{kind}");
        assert_eq!(world.saved().0, usize::from(step.effect() == Effect::Read), "{kind}");
    }
}

#[test]
fn stages_hold_what_can_run_at_once() {
    let names = |steps: &str| -> Vec<Vec<String>> {
        let stages = assembled(&format!("[service.s]\nurl = \"http://h\"\n{steps}")).stages;
        stages.iter().map(|s| s.iter().map(|step| step.name().to_string()).collect()).collect()
    };
    let step = |name: &str, what: &str| format!("[[step]]\nname = \"{name}\"\n{what}\n");
    let all = [
        step("a", "get = \"{s}/{id}\""),
        step("b", "get = \"{s}/{id}\""),
        step("c", "get = \"{s}/{a}\""),
        step("keep", "filter = \".c\""),
        step("d", "get = \"{s}/d\""),
        step("m", "map = \".d.x\""),
        step("all", "map = \"keys\""),
        step("post", "post = \"{s}/\""),
    ];
    assert_eq!(
        names(&all.concat()),
        [vec!["a", "b"], vec!["c"], vec!["keep"], vec!["d"], vec!["m"], vec!["all"], vec!["post"]]
    );
}

#[test]
fn jobs_that_cannot_be_assembled_say_where_and_why() {
    for (steps, what, offset, says) in [
        ("[[step]]\nname = \"a\"\nmap = \".x |\"", "step.a.map", None, ""),
        ("[[step]]\nname = \"a\"\nfilter = \"nope(\"", "step.a.filter", None, ""),
        ("[[step]]\nname = \"a\"\nget = \"{s}/x/{a..b}\"", "step.a.get", Some(6), "no path"),
        ("[[step]]\nname = \"a\"\nget = \"{s}{id}\"", "step.a.get", None, "put a / between"),
        ("[[step]]\nname = \"a\"\nget = \"http://a b/\"", "step.a.get", None, "no host name"),
        ("[[step]]\nname = \"a\"\nget = \"{s}/\"\ntake = \"{\"", "step.a.take", None, ""),
        ("[[step]]\nname = \"a\"\npost = \"{s}/\"\nbody = \"{\"", "step.a.body", None, ""),
        ("[output]\njsonl = \"x\"\nrow = \"{\"", "output.row", None, ""),
    ] {
        let e = refused(&job(&format!("[service.s]\nurl = \"http://h:80\"\n{steps}")));
        assert_eq!(e.what, what, "{e}");
        assert!(e.message.contains(says) && !e.message.is_empty(), "{e}");
        if offset.is_some() {
            assert_eq!(e.offset, offset, "{e}");
        }
    }
    let mut unknown = job("[service.s]\nurl = \"http://h\"\n[[step]]\nname = \"a\"\nget = \"{s}/\"");
    unknown.services.clear();
    assert_eq!(refused(&unknown).what, "step.a.get");
}

#[test]
fn lanes_are_known_with_their_pace() {
    let ready = assembled(
        "[limits]\nconcurrency = 9\nrate = \"50/s\"\n[service.s]\nurl = \"http://h:81\"\nrate = \"5/s\"\n\
         concurrency = 2\n[service.same]\nurl = \"http://H:81/api\"\n\
         [[step]]\nname = \"a\"\nget = \"{s}/\"\n[[step]]\nname = \"b\"\nget = \"https://z/{id}\"",
    );
    let shown: Vec<String> = ready
        .lanes
        .iter()
        .map(|(o, p)| format!("{}://{o} {} {}", o.scheme, p.rate.unwrap(), p.concurrency))
        .collect();
    assert_eq!(shown, ["http://h:81 5/s 2", "https://z:443 50/s 9"]);
    assert_eq!(ready.lane_default.concurrency, haul_core::pace::Concurrency::Fixed(9));
}

#[tokio::test]
async fn an_item_in_work_takes_little_memory() {
    let server = Server::start(|_| reply("200 OK", "", "{}")).await;
    let world = World::new();
    for (step, most) in [("get = \"{s}/users/{id}\"", 3072), ("post = \"{s}/index\"", 3072)] {
        let (step, item) = (only(&server, step), item(7, "{\"id\": 1}"));
        let cx = world.cx();
        let size = size_of_val(&*step.apply(&item, &cx));
        assert!(size <= most, "{size} bytes for each item in work");
    }
}

#[tokio::test]
async fn a_byte_order_mark_before_json_is_ignored() {
    let marked = "\u{feff}{\"data\": 1}";
    assert_eq!(attached(&get(move |_| reply("200 OK", "", marked), "").await.unwrap()), "{\"data\": 1}");
    assert_eq!(attached(&get(move |_| reply("200 OK", "", marked), "take = \".data\"").await.unwrap()), "1");
}
