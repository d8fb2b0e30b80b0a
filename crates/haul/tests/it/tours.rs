//! The commands of the front page and of the guide are run, page by page, as a reader would type them.

use std::path::{Path, PathBuf};

use haul_lab::Service;

use crate::examples::commands;
use crate::stage::Stage;

/// Of the input, unless a run is to last.
const PAIRS: u64 = 100;

/// Pages that need more than services that are well and the files there are.
fn before(page: &str, stage: &Stage) {
    match page {
        "failures" => {
            // Something is left of every kind, however often it is tried.
            for service in [Service::Users, Service::Videos, Service::Index] {
                stage.scene.lab.set(service, |s| s.error_rate = 0.5).unwrap();
            }
            stage.scene.run(&["--csv-header=yes", "--attempts=2", "--run=f1"]).ended(3);
        }
        "README" => {
            stage.scene.lab.set(Service::Users, |s| s.error_rate = 0.05).unwrap();
        }
        "report" => {
            stage.scene.run(&["--csv-header=yes", "--run=enrich-pairs-239f"]).ended(0);
        }
        _ => {}
    }
}

/// Commands that do not end by themselves, or need what a test has not.
fn is_left_out(command: &str) -> bool {
    // Services are there already; a screen needs a terminal, and has tests on one.
    (command.starts_with("lab ") && !command.starts_with("lab gen ")) || command.starts_with("watch")
}

/// The command as it can be run here: less input, and no programs that may be missing.
fn fitted(command: &str) -> String {
    let line = command.split(" | jq ").next().unwrap();
    let line = line.replace("-c 20000 ", "-c 200 ").replace("-c 1000000 ", "-c 1000 ");
    format!("haul {line}")
}

fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let guide = std::fs::read_dir(root.join("docs/src/guide")).unwrap().map(|e| e.unwrap().path());
    let others = std::fs::read_dir(root.join("docs/src/coming-from")).unwrap().map(|e| e.unwrap().path());
    let mut pages: Vec<PathBuf> = guide.chain(others).collect();
    pages.extend([root.join("README.md"), root.join("docs/src/introduction.md")]);
    pages.sort();
    pages
}

#[test]
fn the_front_page_and_the_guide_can_be_followed() {
    let mut typed = 0;
    for path in pages() {
        let page = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let lines = commands(&std::fs::read_to_string(&path).unwrap());
        if lines.iter().all(|l| is_left_out(l)) {
            continue;
        }
        let stage = Stage::new(PAIRS, |s| s.latency_ms = 2.0);
        before(&page, &stage);
        for line in lines.iter().filter(|l| !is_left_out(l)) {
            if line.contains(" -d ") {
                // Long enough to be steered.
                stage.feed(30_000);
            }
            if line.starts_with("settle") {
                stage.feed(PAIRS);
            }
            if line.starts_with("wait") {
                stage.place().haul(&["stop"]).ended(0);
            }
            let ran = stage.ran(&fitted(line));
            let ends: &[i32] = match line.split(' ').next().unwrap() {
                // Some fail for good.
                "enrich" | "retry" => &[0, 3],
                "wait" => &[4],
                _ => &[0],
            };
            assert!(
                ends.contains(&ran.status),
                "{page}: haul {line}: {}\n{}{}",
                ran.status,
                ran.out,
                ran.err
            );
            typed += 1;
        }
    }
    assert!(typed >= 30, "only {typed} commands were found");
}
