//! Services with several base URLs, end to end.

use std::net::TcpListener;
use std::time::Duration;

use haul_lab::{Lab, LabSpec, Service};

use crate::batch::job;
use crate::enrich::Scene;

const POST: &str = "post = \"{index}/index\"\n";

/// The workload with several places to ask for users.
fn with_users(scene: &Scene, urls: &[String]) -> String {
    let text = job(&scene.lab, POST);
    let one = format!("url = \"{}\"", scene.lab.url(Service::Users));
    assert!(text.contains(&one));
    text.replace(&one, &format!("url = {urls:?}"))
}

#[test]
fn a_replica_that_is_down_fails_nothing() {
    let scene = Scene::new(3000);
    let mut spec = LabSpec::new(&[Service::Users]).seed(5);
    spec.services[0].down = vec![(Duration::from_millis(300), Duration::from_millis(900))];
    let second = Lab::start(&spec).unwrap();
    // Nobody listens at the third.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let urls =
        [format!("http://{gone}"), scene.lab.url(Service::Users), format!("{}/", second.url(Service::Users))];
    scene.place.write("job.toml", with_users(&scene, &urls));
    scene.place.haul(&["run", "job.toml", "-j8", "--attempts=2"]).ended(0).told(&["done 3,000 "]);
    scene.accepted(3000);
    let asked = [&scene.lab, &second].map(|lab| lab.truth(Service::Users).unwrap().requests);
    // How much each gets depends on how long the run is beside the time in which one is down.
    assert!(asked.iter().all(|n| *n > 0), "{asked:?}");
    assert!((3000..3100).contains(&asked.iter().sum::<u64>()), "nothing was asked of both: {asked:?}");
}

#[test]
fn the_same_run_goes_on_with_other_replicas() {
    let scene = Scene::new(50);
    let here = scene.lab.url(Service::Users);
    scene.place.write("job.toml", with_users(&scene, std::slice::from_ref(&here)));
    scene.place.haul(&["run", "job.toml"]).ended(0);
    let more = [here.clone(), "http://localhost:9".to_owned()];
    scene.place.write("job.toml", with_users(&scene, &more));
    scene.place.haul(&["run", "job.toml"]).ended(0).told(&["nothing new"]);
    scene.place.write("job.toml", with_users(&scene, &[here.clone(), here]));
    let said = scene.place.haul(&["run", "job.toml"]).ended(64);
    assert!(said.err.contains("is there already"), "{}", said.err);
}

#[test]
fn a_crawl_asks_every_replica() {
    let labs = [(); 2].map(|()| crate::crawl::lab(1_000..31_000, |s| s.latency_ms = 3.0));
    let urls = [0, 1].map(|i| labs[i].url(Service::Pages));
    let text = format!(
        "haul = 1\n[source]\nget = \"{{food}}/foodstats\"\nitems = \".response\"\noffset = \"offset\"\n\
         next = \".meta.next_offset\"\npage_size = {{ limit = 100 }}\nrange = \"1000..31000\"\nid = \".id\"\n\
         [service.food]\nurl = {urls:?}\n[aggregate.food_id]\ncount = \".food_id\"\nn = 100\n\
         [aggregate.food__category_id]\ncount = \".food__category_id\"\nn = 10\n"
    );
    let place = crate::program::Place::new();
    place.write("job.toml", text);
    let said = place.haul(&["run", "job.toml", "-j4"]).ended(0);
    let asked = [0, 1].map(|i| labs[i].truth(Service::Pages).unwrap().requests);
    assert!(asked.iter().all(|n| *n > 0), "{asked:?}");
    crate::crawl::check(&labs[0], &said.out);
}
