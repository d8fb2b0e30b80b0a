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
