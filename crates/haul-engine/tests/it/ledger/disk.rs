//! The file itself: its size, its reserve, and damage.

use haul_core::ledger::{Ledger, LedgerError, Why};
use haul_core::watermark::Settled;
use haul_core::{Counts, Seq, limits};
use haul_engine::ledger::SqliteLedger;

use super::{OnDisk, at, commit, keys, row};

#[test]
fn a_settled_item_takes_a_bit_and_its_key_16_bytes() {
    const ITEMS: u64 = 100_000;
    let kept = OnDisk::new();
    let mut ledger = kept.sqlite();
    let fence = ledger.recover().unwrap().fence;
    let mut settled = Settled::default();
    for from in (0..ITEMS).step_by(1000) {
        // The first of each batch ends last, so that bitmaps are written too.
        (from + 1..from + 1000).for_each(|s| assert!(settled.insert(Seq(s))));
        if from > 0 {
            settled.insert(Seq(from - 1000));
        }
        let mut c = commit(fence);
        c.slices = vec![at(0, settled.watermark().0, Counts::default())];
        c.slices[0].chunks = settled.take_changed();
        c.slices[0].keys = keys(from..from + 1000);
        c.slices[0].keys_from = Seq(from);
        ledger.commit(&c).unwrap();
    }
    drop(ledger);
    let len = std::fs::metadata(kept.path()).unwrap().len();
    assert!(len < ITEMS * 18 + 400_000, "{len} bytes");
}

#[test]
fn the_log_that_is_written_ahead_stays_bounded() {
    let kept = OnDisk::new();
    let mut ledger = kept.sqlite();
    let fence = ledger.recover().unwrap().fence;
    let mut most = 0;
    for n in 0..400u64 {
        let mut c = commit(fence);
        c.slices = vec![at(0, n, Counts::default())];
        c.slices[0].keys = keys(n * 2000..(n + 1) * 2000);
        c.slices[0].keys_from = Seq(n * 2000);
        ledger.commit(&c).unwrap();
        most = most.max(std::fs::metadata(kept.path().with_extension("db-wal")).unwrap().len());
    }
    assert!(most < 6 << 20, "{most} bytes");
}

#[test]
fn the_reserve_is_taken_while_a_process_drives_the_run() {
    let kept = OnDisk::new();
    let mut ledger = kept.sqlite();
    ledger.recover().unwrap();
    let len = std::fs::metadata(kept.path().with_extension("reserve")).unwrap().len();
    assert_eq!(len, limits::LEDGER_RESERVE);
    drop(ledger);
    assert!(!kept.path().with_extension("reserve").exists(), "a run that nobody drives keeps none");
}

#[test]
fn damage_is_told_apart_from_other_errors() {
    let kept = OnDisk::new();
    let mut ledger = kept.sqlite();
    let mut c = commit(ledger.recover().unwrap().fence);
    c.slices = vec![at(0, 0, Counts::default())];
    c.exceptions = (0..500).map(|s| row(0, s, Why::Failed, 0)).collect();
    ledger.commit(&c).unwrap();
    drop(ledger);
    // A bitmap of the wrong length, a word nobody knows.
    let conn = rusqlite::Connection::open(kept.path()).unwrap();
    conn.execute_batch("INSERT INTO settled VALUES (0, 3, x'00ff')").unwrap();
    let e = kept.sqlite().recover().unwrap_err();
    assert!(matches!(&e, LedgerError::Corrupt { reason, .. } if reason.contains("bitmap")), "{e}");
    conn.execute_batch("DELETE FROM settled; UPDATE slice SET state = 'molten'").unwrap();
    let e = kept.sqlite().recover().unwrap_err();
    assert!(matches!(&e, LedgerError::Corrupt { reason, .. } if reason.contains("molten")), "{e}");
    conn.execute_batch("UPDATE slice SET state = 'open'").unwrap();
    kept.sqlite().recover().unwrap();
    drop(conn);
    // Pages overwritten with noise.
    let mut file = std::fs::read(kept.path()).unwrap();
    file[4096..].iter_mut().enumerate().for_each(|(i, b)| *b = (i * 31) as u8);
    std::fs::write(kept.path(), &file).unwrap();
    let e = SqliteLedger::open(&kept.path()).and_then(|mut l| l.recover()).unwrap_err();
    assert!(matches!(e, LedgerError::Corrupt { .. }), "{e}");
    assert_eq!(std::fs::read(kept.path()).unwrap(), file, "nothing was changed");
}

#[test]
fn an_existing_file_is_not_made_anew() {
    let kept = OnDisk::new();
    let run = haul_engine::ledger::NewRun::new("11", "other", "1");
    let e = SqliteLedger::create(&kept.path(), &run).unwrap_err();
    assert!(matches!(e, LedgerError::Io { .. }), "{e}");
    assert_eq!(kept.reader().run().unwrap().name, "test");
}
