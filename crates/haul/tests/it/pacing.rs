//! What services say about their limits is kept to, over real sockets.

use haul_lab::{LabSpec, Service};

use crate::enrich::Scene;

#[test]
fn a_limit_that_a_service_states_is_kept_to_and_told() {
    let spec = LabSpec::enrich().only(Service::Users, |s| (s.rate_limit, s.rate_headers) = (150, true));
    let scene = Scene::with(450, spec);
    let said = scene.run(&["-v"]).ended(0).told(&["rate: the service states 150 in 1 s", "150.0/s"]);
    assert_eq!(said.counts(), [450, 450, 0, 0, 0, 0, 0]);
    let truth = scene.lab.truth(Service::Users).unwrap();
    let refused = truth.statuses.get(&429).copied().unwrap_or(0);
    assert!(refused <= 15, "{refused} of {} were sent only to be refused", truth.requests);
    scene.accepted(450);
}

#[test]
fn a_goal_is_reported_as_met_or_missed() {
    let scene = Scene::with(60, LabSpec::enrich().only(Service::Users, |s| s.latency_ms = 20.0));
    let said = scene.run(&["--goal=p95 < 1h", "--priority=.user_id > 50"]).ended(0);
    said.told(&["goal p95 < 1h: met (p95 was ", " over 60 items)\n"]);
    scene.feed(90, 0.0);
    let said = scene.run(&["--goal=p50 < 10ms", "--json"]).ended(0);
    let last = said.err.lines().last().unwrap();
    let summary: serde_json::Value = serde_json::from_str(last).unwrap();
    let goal = &summary["summary"]["goal"];
    let goal = if goal.is_null() { &summary["goal"] } else { goal };
    assert_eq!(
        (&goal["goal"], &goal["met"], &goal["items"]),
        (&"p50 < 10ms".into(), &false.into(), &30.into()),
        "{last}"
    );
    let said = scene.run(&["--goal=p95", "--fresh"]).ended(64);
    said.told(&["\"p95\" is not a goal: write it like p95 < 5s"]);
    scene.run(&["--priority=.a |", "--fresh"]).ended(64).told(&["--priority .a |"]);
}
