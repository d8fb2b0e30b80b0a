//! Sinks: rows, marks, cutting back, and disks that fail.

use std::io;
use std::path::Path;

use bytes::Bytes;
use haul_connect::sinks::{self, AppendFile, FileOps, Opening, Pair, jsonl::JsonlSink};
use haul_core::job::{IfExists, OutputSpec, RowFormat};
use haul_core::sink::Row;
use haul_core::{Fault, FaultClass, Mark, Sink};

use crate::steps::item;

fn spec(path: &Path, format: RowFormat, exists: IfExists) -> OutputSpec {
    OutputSpec { format, path: path.to_str().unwrap().into(), row: None, exists }
}

fn open(path: &Path, format: RowFormat, opening: Opening) -> Pair {
    sinks::open(&spec(path, format, IfExists::Refuse), None, opening).unwrap()
}

/// Renders records and appends them as rows.
fn write(pair: &mut Pair, records: &[&str]) -> Result<(), Fault> {
    for record in records {
        let mut row = Vec::new();
        pair.render.render(&item(0, record), &mut row)?;
        pair.sink.append(&[Row(Bytes::from(row))])?;
    }
    Ok(())
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// What every sink holds to.
#[test]
fn conformance() {
    for format in [RowFormat::Jsonl, RowFormat::Csv] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        let mut pair = open(&path, format, Opening::Create);
        assert_eq!(read(&path), "", "the file is there from the start");
        assert_eq!(pair.sink.sync().unwrap().len, 0);
        write(&mut pair, &["{\"a\":1}", "{\"a\":2}"]).unwrap();
        let mark = pair.sink.sync().unwrap();
        assert_eq!(mark.len, read(&path).len() as u64, "a mark is what is on disk");
        assert_eq!(pair.sink.sync().unwrap(), mark, "and stays so");
        let committed = read(&path);

        // Rows after the mark were never committed: a run that goes on cuts them off.
        write(&mut pair, &["{\"a\":3}"]).unwrap();
        pair.sink.sync().unwrap();
        drop(pair);
        assert_ne!(read(&path), committed);
        let mut pair = open(&path, format, Opening::Resume);
        assert_ne!(read(&path), committed, "nothing is touched before the cut");
        pair.sink.cut(&mark).unwrap();
        assert_eq!(read(&path), committed);
        write(&mut pair, &["{\"a\":4}"]).unwrap();
        let later = pair.sink.sync().unwrap();
        assert_eq!(
            read(&path).matches('a').count(),
            committed.matches('a').count() + usize::from(format == RowFormat::Jsonl)
        );
        assert!(read(&path).starts_with(&committed) && later.file == mark.file);

        // Also within one process, with rows that wait in the buffer.
        write(&mut pair, &["{\"a\":5}"]).unwrap();
        pair.sink.cut(&mark).unwrap();
        assert_eq!(pair.sink.sync().unwrap(), mark);
        assert_eq!(read(&path), committed);
        drop(pair);

        // A run that died before its first commit starts the file again.
        let mut pair = open(&path, format, Opening::Resume);
        write(&mut pair, &["{\"a\":1}", "{\"a\":2}"]).unwrap();
        pair.sink.sync().unwrap();
        assert_eq!(read(&path), committed);
    }
}

#[test]
fn files_that_are_not_what_was_committed_stop_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.jsonl");
    let mut pair = open(&path, RowFormat::Jsonl, Opening::Create);
    write(&mut pair, &["{\"a\":1}"]).unwrap();
    let mark = pair.sink.sync().unwrap();
    drop(pair);
    let resumed = |mark: &Mark| open(&path, RowFormat::Jsonl, Opening::Resume).sink.cut(mark).unwrap_err();

    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(3).unwrap();
    let fault = resumed(&mark);
    assert!(
        fault.message().contains("out.jsonl is shorter than what was committed of it (3 of 8 bytes)"),
        "{fault}"
    );
    assert!(fault.class() == FaultClass::Fatal && fault.message().contains("--fresh"));

    let other = dir.path().join("other");
    std::fs::write(&other, "{\"a\":1}\n{\"a\":2}\n").unwrap();
    std::fs::rename(&other, &path).unwrap();
    if cfg!(unix) {
        assert!(resumed(&mark).message().contains("not the file that this run wrote"));
    }
    assert_eq!(read(&path).len(), 16, "nothing was cut off a file that is not ours");

    std::fs::remove_file(&path).unwrap();
    assert!(resumed(&mark).message().contains("is gone, but 8 bytes"));
}

#[test]
fn a_fresh_run_treats_what_is_there_as_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.jsonl");
    std::fs::write(&path, "{\"old\":1}\n").unwrap();
    let opened = |exists| sinks::open(&spec(&path, RowFormat::Jsonl, exists), None, Opening::Create);
    let fault = opened(IfExists::Refuse).err().unwrap();
    assert!(
        fault.message().ends_with("exists: --overwrite empties it, --append writes after what is there"),
        "{fault}"
    );
    let mut pair = opened(IfExists::Append).unwrap();
    write(&mut pair, &["{\"a\":1}"]).unwrap();
    pair.sink.sync().unwrap();
    assert_eq!(read(&path), "{\"old\":1}\n{\"a\":1}\n");
    // What was there before cannot be told from what was not committed.
    let mut lost =
        sinks::open(&spec(&path, RowFormat::Jsonl, IfExists::Append), None, Opening::Resume).unwrap();
    write(&mut lost, &["{\"a\":1}"]).unwrap();
    assert!(lost.sink.sync().unwrap_err().message().contains("--fresh --append"));
    let mut pair = opened(IfExists::Overwrite).unwrap();
    assert_eq!(read(&path), "");
    write(&mut pair, &["{\"a\":1}"]).unwrap();
    pair.sink.sync().unwrap();

    let missing = dir.path().join("no/such/out.jsonl");
    let fault = sinks::open(&spec(&missing, RowFormat::Jsonl, IfExists::Refuse), None, Opening::Create)
        .err()
        .unwrap();
    assert!(fault.message().contains("no/such does not exist (mkdir -p "), "{fault}");
    let fault = sinks::open(&spec(dir.path(), RowFormat::Jsonl, IfExists::Overwrite), None, Opening::Create)
        .err()
        .unwrap();
    assert!(fault.message().contains("directory"), "{fault}");
}

#[test]
fn json_rows_are_one_line_each() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.jsonl");
    let mut pair = open(&path, RowFormat::Jsonl, Opening::Create);
    write(&mut pair, &["{\n  \"a\": \"x\\ny\",\r\n  \"n\": 1.50}"]).unwrap();
    pair.sink.sync().unwrap();
    assert_eq!(read(&path), "{   \"a\": \"x\\ny\",    \"n\": 1.50}\n");
}

#[test]
fn csv_columns_come_from_the_first_row() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.csv");
    let mut pair = open(&path, RowFormat::Csv, Opening::Create);
    let rows = [
        "{\"id\": 1.50, \"na\\\"me\": \"a,b\", \"x\": null, \"ok\": true, \"v\": {\"k\": [1, 2]}}",
        "{\"na\\\"me\": \"say \\\"hi\\\"\\nthere\", \"id\": 12345678901234567890123}",
        "{\"id\": \"\", \"x\": \" padded\", \"id\": \"last wins\"}",
    ];
    write(&mut pair, &rows).unwrap();
    let mark = pair.sink.sync().unwrap();
    assert_eq!(
        read(&path),
        "id,\"na\"\"me\",x,ok,v\n1.50,\"a,b\",,true,\"{\"\"k\"\": [1, 2]}\"\n\
         12345678901234567890123,\"say \"\"hi\"\"\nthere\",,,\nlast wins,,\" padded\",,\n"
    );
    let fault = write(&mut pair, &["{\"id\": 1, \"new\": 2}"]).unwrap_err();
    assert_eq!((fault.class(), fault.code()), (FaultClass::Permanent, "column"));
    assert!(fault.message().contains("\"new\""), "{fault}");
    assert!(write(&mut pair, &["[1]"]).is_err());
    drop(pair);

    // The columns are known again from the file.
    let mut pair = open(&path, RowFormat::Csv, Opening::Resume);
    pair.sink.cut(&mark).unwrap();
    write(&mut pair, &["{\"x\": 9}"]).unwrap();
    pair.sink.sync().unwrap();
    assert!(read(&path).ends_with("\n,,9,,\n"), "{}", read(&path));

    let append = sinks::open(&spec(&path, RowFormat::Csv, IfExists::Append), None, Opening::Create);
    let mut pair = append.unwrap();
    write(&mut pair, &["{\"ok\": false}"]).unwrap();
    pair.sink.sync().unwrap();
    assert!(read(&path).ends_with(",,9,,\n,,,false,\n"));
}

#[test]
fn a_csv_of_one_column_has_no_empty_lines() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.csv");
    let mut pair = open(&path, RowFormat::Csv, Opening::Create);
    write(&mut pair, &["{\"a\": null}", "{\"a\": \"\"}", "{\"a\": \"x\"}"]).unwrap();
    pair.sink.sync().unwrap();
    assert_eq!(read(&path), "a\n\"\"\n\"\"\nx\n");
}

#[test]
fn standard_output_cannot_be_cut() {
    let spec = OutputSpec { format: RowFormat::Jsonl, path: "-".into(), row: None, exists: IfExists::Refuse };
    let mut pair = sinks::open(&spec, None, Opening::Resume).unwrap();
    let fault = pair.sink.cut(&Mark::default()).unwrap_err();
    assert!(fault.class() == FaultClass::Fatal && fault.message().contains("--fresh"));
}

/// A file in memory whose n-th operation fails, having done half of it.
struct Failing {
    bytes: std::sync::Arc<std::sync::Mutex<Vec<u8>>>,
    left: usize,
    kind: io::ErrorKind,
}

impl Failing {
    fn step(&mut self) -> io::Result<()> {
        if self.left == 0 {
            return Err(self.kind.into());
        }
        self.left -= 1;
        Ok(())
    }
}

impl FileOps for Failing {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let fails = self.step();
        let n = if fails.is_err() { bytes.len() / 2 } else { bytes.len() };
        self.bytes.lock().unwrap().extend_from_slice(&bytes[..n]);
        fails
    }

    fn sync(&mut self) -> io::Result<()> {
        self.step()
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.step()?;
        self.bytes.lock().unwrap().truncate(usize::try_from(len).unwrap());
        Ok(())
    }

    fn stat(&mut self) -> io::Result<Mark> {
        Ok(Mark { file: 1, len: self.bytes.lock().unwrap().len() as u64, tail: 0 })
    }

    fn read(&mut self, from: u64, most: usize) -> io::Result<Vec<u8>> {
        let bytes = self.bytes.lock().unwrap();
        let from = usize::try_from(from).unwrap();
        Ok(bytes[from..bytes.len().min(from + most)].to_vec())
    }
}

#[test]
fn a_disk_that_fails_the_nth_operation_loses_nothing_that_was_marked() {
    let rows: Vec<Row> = (0..40).map(|i| Row(format!("{{\"row\":{i}}}").into())).collect();
    let disk = std::sync::Arc::<std::sync::Mutex<Vec<u8>>>::default();
    let (mut done, mut mark) = (0, Mark { file: 1, len: 0, tail: 0 });
    for attempt in 0.. {
        let kind = if attempt % 2 == 0 { io::ErrorKind::StorageFull } else { io::ErrorKind::Other };
        let ops = Failing { bytes: disk.clone(), left: attempt, kind };
        let file = AppendFile::over("out.jsonl", Box::new(ops), IfExists::Refuse).unwrap();
        let mut sink = JsonlSink::new(file);
        let mut run = || -> Result<(), Fault> {
            sink.cut(&mark)?;
            while done < rows.len() {
                sink.append(&rows[done..done + 4])?;
                mark = sink.sync()?;
                done += 4;
            }
            Ok(())
        };
        match run() {
            Ok(()) => break,
            Err(fault) => {
                assert_eq!(fault.class(), FaultClass::Fatal);
                let code = if attempt % 2 == 0 { "disk_full" } else { "sink" };
                assert_eq!(fault.code(), code, "{fault}");
                assert!(fault.message().contains("out.jsonl"));
            }
        }
    }
    let expected: String = (0..40).map(|i| format!("{{\"row\":{i}}}\n")).collect();
    assert_eq!(String::from_utf8(disk.lock().unwrap().clone()).unwrap(), expected);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_says_so() {
    let file = std::fs::OpenOptions::new().append(true).open("/dev/full").unwrap();
    let mut sink = JsonlSink::new(AppendFile::over("/dev/full", Box::new(file), IfExists::Append).unwrap());
    sink.append(&[Row(Bytes::from_static(b"{}"))]).unwrap();
    let fault = sink.sync().unwrap_err();
    assert_eq!((fault.code(), fault.class()), ("disk_full", FaultClass::Fatal));
    assert!(fault.message().contains("free some space"), "{fault}");
}
