//! Requests that need not be sent, end to end.

use haul_lab::{LabSpec, Service};

use crate::enrich::Scene;

#[test]
fn lookups_that_repeat_are_asked_for_once_and_counted() {
    let scene = Scene::with(0, LabSpec::enrich().seed(5).all(|s| s.latency_ms = 5.0));
    let pairs: String = (0..400).map(|n| format!("{},{n}\n", n % 4)).collect();
    scene.place.write("pairs.csv", pairs);
    let job = crate::batch::job(&scene.lab, "post = \"{index}/index\"");
    scene.place.write(
        "job.toml",
        job.replace(
            "take = \".data\"\n[[step]]\nname = \"video",
            "take = \".data\"\ncache = \"10m\"\n[[step]]\nname = \"video",
        ),
    );
    let said = scene
        .place
        .haul(&["run", "job.toml"])
        .ended(0)
        .told(&[" requests saved by cache", " by an identical one in flight"]);
    assert_eq!(scene.lab.truth(Service::Users).unwrap().requests, 4, "{}", said.err);
    assert_eq!(scene.lab.truth(Service::Videos).unwrap().requests, 400);
    scene.accepted(400);
    let said = scene.place.haul(&["run", "job.toml", "--fresh", "--json"]).ended(0);
    let last: serde_json::Value = serde_json::from_str(said.err.lines().last().unwrap()).unwrap();
    let n = |name: &str| last[name].as_u64().unwrap_or_else(|| panic!("{last}"));
    assert_eq!(n("cache_saved") + n("coalesced"), 396);
    assert_eq!(last["steps"][0]["cached"].as_u64(), Some(n("cache_saved")));
}
