//! What identical lookups share, against a scripted server.

use std::time::Duration;

use futures_util::future::join_all;
use haul_core::Fault;
use haul_core::step::{Applied, Flow};

use crate::serve::{Act, Server, World, reply};
use crate::steps::{item, only};

const GET: &str = "get = \"{s}/users/{id}\"\n";

fn slow(status: &str, body: &str) -> Vec<Act> {
    let mut acts = vec![Act::Wait(Duration::from_millis(50))];
    acts.extend(reply(status, "", body));
    acts
}

fn value(answer: &Result<Applied, Fault>) -> String {
    String::from_utf8(answer.as_ref().unwrap().attach.clone().unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn of_identical_lookups_in_flight_one_is_sent() {
    let server = Server::start(|seen| slow("200 OK", &format!("\"{} {}\"", seen.path(), seen.number))).await;
    let step = only(&server, GET);
    let world = World::new();
    let cx = world.cx();
    let items: Vec<_> = [1, 2, 1, 1, 2].map(|id| item(id, &format!("{{\"id\":{id}}}"))).into();
    let answers = join_all(items.iter().map(|item| step.apply(item, &cx))).await;
    let values: Vec<String> = answers.iter().map(value).collect();
    assert!(values[0].starts_with("\"/users/1 ") && values[1].starts_with("\"/users/2 "));
    assert_eq!((&values[0], &values[0], &values[1]), (&values[2], &values[3], &values[4]));
    assert_eq!((server.seen().len(), world.saved()), (2, (3, 0)));
    // Nothing is kept of what has landed.
    step.apply(&items[0], &cx).await.unwrap();
    assert_eq!((server.seen().len(), world.saved()), (3, (3, 0)));
    assert_eq!(world.budget.used(), 0);
}

#[tokio::test]
async fn a_fault_is_shared_and_the_next_attempt_asks_again() {
    let server = Server::start(|seen| match seen.number {
        0 => slow("500 Error", "{}"),
        _ => slow("404 Not Found", "{}"),
    })
    .await;
    let step = only(&server, &format!("{GET}on = {{ 404 = \"skip\" }}\ncache = \"1m\""));
    let world = World::new();
    let cx = world.cx();
    let it = item(1, "{\"id\":1}");
    let (a, b) = tokio::join!(step.apply(&it, &cx), step.apply(&it, &cx));
    assert_eq!((a.unwrap_err().status(), b.unwrap_err().status()), (Some(500), Some(500)));
    let again = step.apply(&it, &cx).await.unwrap();
    assert_eq!(again.flow, Flow::Skip("x: 404".into()), "a fault is not kept");
    let kept = step.apply(&it, &cx).await.unwrap();
    assert_eq!((kept.flow, server.seen().len(), world.saved()), (again.flow, 2, (1, 1)));
}

#[tokio::test]
async fn whoever_waits_for_a_lookup_that_is_dropped_sends_it() {
    let server = Server::start(|seen| match seen.number {
        0 => vec![Act::Wait(Duration::from_secs(30))],
        _ => reply("200 OK", "", "7"),
    })
    .await;
    let step = only(&server, GET);
    let world = World::new();
    let cx = world.cx();
    let it = item(1, "{\"id\":1}");
    let first = tokio::time::timeout(Duration::from_millis(100), step.apply(&it, &cx));
    let (dropped, answer) = tokio::join!(first, step.apply(&it, &cx));
    assert!(dropped.is_err());
    assert_eq!((value(&answer), server.seen().len(), world.saved()), ("7".to_owned(), 2, (0, 0)));
}

#[tokio::test]
async fn results_are_kept_for_a_while_and_within_their_share() {
    let server =
        Server::start(|seen| reply("200 OK", "", format!("\"{}\"", "v".repeat(900 + seen.number)))).await;
    let step = only(&server, &format!("{GET}cache = \"300ms\""));
    let world = World::with_memory(40_000);
    let cx = world.cx();
    let ask = async |id: u64| value(&step.apply(&item(id, &format!("{{\"id\":{id}}}")), &cx).await);
    let first = ask(0).await;
    assert_eq!(ask(0).await, first);
    assert_eq!((server.seen().len(), world.saved()), (1, (0, 1)));
    let held = world.budget.used();
    assert!((1000..1300).contains(&held), "{held}");
    for id in 1..50 {
        ask(id).await;
    }
    assert!((5000..=10_000).contains(&world.budget.used()), "a quarter: {}", world.budget.used());
    assert_eq!(server.seen().len(), 50);
    tokio::time::sleep(Duration::from_millis(400)).await;
    ask(49).await;
    assert_eq!(server.seen().len(), 51, "what is old is asked for again");
    assert!(world.budget.used() < 1300, "and dropped: {}", world.budget.used());
}
