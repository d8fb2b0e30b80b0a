//! A full disk: what was committed stays, and the same command goes on when there is room again.

use haul_lab::Service;

use crate::enrich::Scene;
use crate::powercut::PowerCut;
use crate::program::said;

/// Room for the reserve of the ledger, and a little to work with.
const ROOM: u64 = (16 << 20) + 600_000;

#[test]
fn a_disk_that_gets_full_stops_the_run_and_nothing_is_lost_or_repeated() {
    let scene = Scene::new(6000);
    std::fs::create_dir(scene.place.file("disk")).unwrap();
    let mut disk = PowerCut::new(&scene.place.file("disk"));
    let args = scene.posting(&["-j64", "--state=disk/state", "--to=disk/out.jsonl"]);
    disk.room(ROOM);
    let child = disk.watch(&mut scene.place.command(&args)).spawn().unwrap();
    let full = said(child.wait_with_output().unwrap()).ended(4);
    let full = full.told(&["free ", " MB", "next: haul enrich pairs.csv"]);
    let before = scene.lab.truth(Service::Index).unwrap().unique;
    assert!((1..6000).contains(&before), "{before}: {}", full.err);
    // Still full: said again, nothing done.
    disk.room(0);
    let child = disk.watch(&mut scene.place.command(&args)).spawn().unwrap();
    said(child.wait_with_output().unwrap()).ended(4).told(&["free "]);
    // Room again.
    disk.calm();
    let done = scene.place.haul(&args).ended(0).told(&["goes on"]);
    assert_eq!(done.counts()[..2], [6000, 6000]);
    scene.accepted(6000);
    assert_eq!(super::distinct_rows(&scene.place.file("disk/out.jsonl")), 6000);
}

#[test]
fn a_disk_without_room_for_a_run_says_how_much_is_needed() {
    let scene = Scene::new(10);
    std::fs::create_dir(scene.place.file("disk")).unwrap();
    let mut disk = PowerCut::new(&scene.place.file("disk"));
    disk.room(1 << 20);
    let args = scene.look_up("pairs.csv", &["--columns=user_id:int,video_id:int", "--state=disk/state"]);
    let child = disk.watch(&mut scene.place.command(&args)).spawn().unwrap();
    let full = said(child.wait_with_output().unwrap()).ended(4);
    full.told(&["no room for the ledger in ", "free at least ", " MB"]);
    // Not even for the directory of runs.
    disk.room(0);
    let child = disk.watch(&mut scene.place.command(&args)).spawn().unwrap();
    said(child.wait_with_output().unwrap()).ended(4).told(&["no room for the ledger in ", "free at least "]);
    disk.calm();
    assert_eq!(scene.place.haul(&args).ended(0).counts()[..2], [10, 10]);
    assert_eq!(scene.rows(), 10);
}
