//! Inputs for the tests.

use std::io::{self, Read};
use std::path::PathBuf;

use haul_reduce::{Input, Origin, Progress, Ranking, ReduceError, TopSpec};

/// A fixed sequence of numbers (Steele et al. 2014, SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// A stream that gives what it holds in pieces of changing size, as pipes do.
pub(crate) struct Drip {
    bytes: io::Cursor<Vec<u8>>,
    random: Random,
}

impl Drip {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Drip { bytes: io::Cursor::new(bytes.to_vec()), random: Random(7) }
    }
}

impl Read for Drip {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.random.below(20) {
            0 => Err(io::ErrorKind::Interrupted.into()),
            n => {
                let len = buffer.len().min(1 << n);
                self.bytes.read(&mut buffer[..len])
            }
        }
    }
}

/// Files in a directory that goes with the test.
pub(crate) struct Files(tempfile::TempDir);

impl Files {
    pub(crate) fn new() -> Self {
        Files(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.0.path().to_owned()
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Input {
        std::fs::write(self.path(name), bytes).unwrap();
        Input::open(Origin::Path(self.path(name))).unwrap()
    }
}

pub(crate) fn stream(bytes: &[u8]) -> Input {
    Input::open(Origin::Stream("stream".to_owned(), Box::new(Drip::new(bytes)))).unwrap()
}

pub(crate) fn spec(limit: usize) -> TopSpec {
    TopSpec { limit, lowest: false, records: false, skip: false, id: ".id".parse().unwrap(), by: None }
}

pub(crate) fn rank(inputs: Vec<Input>, spec: &TopSpec) -> Result<Ranking, ReduceError> {
    haul_reduce::top(inputs, spec, &Progress::default())
}

/// The printed result, checked to be JSON.
pub(crate) fn printed(ranking: &mut Ranking) -> String {
    let mut out = Vec::new();
    ranking.write_json(&mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    serde_json::from_str::<serde_json::Value>(&text).unwrap();
    text
}

/// The lines of the result without brackets and commas.
pub(crate) fn entries(inputs: Vec<Input>, spec: &TopSpec) -> Vec<String> {
    let text = printed(&mut rank(inputs, spec).unwrap());
    let lines = text.lines().filter(|l| !matches!(*l, "[" | "]" | "[]"));
    lines.map(|l| l.trim_end_matches(',').to_owned()).collect()
}

/// The message of the error.
pub(crate) fn refusal(inputs: Vec<Input>, spec: &TopSpec) -> String {
    rank(inputs, spec).unwrap_err().to_string()
}
