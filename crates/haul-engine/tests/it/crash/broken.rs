//! Disks that fail, and disks that are full.

use haul_core::limits;

use super::{begun, disk, disk_with, holds, run};

const EIO: i32 = 5;
#[test]
fn a_disk_that_fails_the_nth_operation_loses_nothing_it_acknowledged() {
    const COMMITS: u64 = 5;
    let begun = begun();
    for once in [true, false] {
        let mut failed = 0;
        for n in 1.. {
            let (_base, dir, mut cut) = disk_with(&begun);
            if once {
                cut.fail_once(n, EIO)
            } else {
                cut.fail_from(n, EIO)
            };
            let said = run(&cut, &dir, "ledger", COMMITS);
            cut.verify().unwrap();
            let held = holds(&dir);
            assert!(held >= said.acked.max(1) && held <= said.acked.max(1) + 1, "{n}: {said:?}, {held} held");
            match said.err {
                Some(_) => failed += 1,
                // What fails after the last commit is the tidying up at the end.
                None => assert_eq!(said.acked, COMMITS),
            }
            if n > 30 && said.acked == COMMITS {
                break;
            }
        }
        assert!(failed > 20, "{failed}");
    }
}

#[test]
fn a_disk_without_room_loses_nothing_it_acknowledged() {
    const COMMITS: u64 = 6;
    let begun = begun();
    let mut told = [0, 0];
    for room in (0..90_000).step_by(5_000) {
        let (_base, dir, mut cut) = disk_with(&begun);
        cut.room(limits::LEDGER_RESERVE - 20_000 + room);
        let said = run(&cut, &dir, "ledger", COMMITS);
        cut.verify().unwrap();
        assert_eq!(holds(&dir), said.acked.max(1), "{room}: {said:?}");
        if let Some(e) = &said.err {
            assert!(e.contains("no room for the ledger") && e.contains("free at least"), "{room}: {e}");
            told[0] += 1;
        }
        told[1] += usize::from(!said.low.is_empty());
    }
    assert!(told[0] > 0 && told[1] > 0, "{told:?}");
}

#[test]
fn a_full_disk_is_told_in_time_for_the_last_commits() {
    let (_base, dir, mut cut) = disk();
    cut.room(limits::LEDGER_RESERVE + (1 << 20));
    let said = run(&cut, &dir, "ledger", 400);
    let first = said.low.first().expect("low was told");
    let (at, message) = first.split_once(' ').unwrap();
    assert!(message.contains("free at least"), "{message}");
    assert_eq!((said.acked, said.err), (400, None), "commits went on after {at}");
    assert!(at.parse::<u64>().unwrap() < 300, "low at {at}");
    cut.cut(3);
    assert_eq!(holds(&dir), 400);
}

#[test]
fn without_room_for_the_reserve_nothing_starts() {
    let (_base, dir, mut cut) = disk();
    cut.room(1 << 20);
    let said = run(&cut, &dir, "ledger", 5);
    let e = said.err.unwrap();
    assert!(e.starts_with("no room for the ledger in ") && e.contains("free at least"), "{e}");
    assert_eq!(said.acked, 0);
    assert!(!dir.join("ledger.reserve").exists());
    cut.calm();
    assert_eq!(run(&cut, &dir, "ledger", 5).acked, 5);
}
