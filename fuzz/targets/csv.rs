//! Any bytes as CSV: where the splitter cuts, reading the two parts by themselves must give the
//! records of the whole.

#![no_main]

use csv_core::{ReadRecordResult, Reader};
use haul_reduce::fuzz;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let Some(end) = fuzz::csv_end(text) else { return };
    let (first, second) = text.split_at(end);
    let mut parts = records(first);
    parts.extend(records(second));
    assert_eq!(parts, records(text), "cut at {end}");
});

fn records(mut input: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let mut reader = Reader::new();
    let (mut output, mut ends) = (vec![0; input.len() + 1], vec![0; input.len() + 2]);
    let (mut all, mut written, mut ended) = (Vec::new(), 0, 0);
    loop {
        let (result, used, wrote, fields) =
            reader.read_record(input, &mut output[written..], &mut ends[ended..]);
        input = &input[used..];
        written += wrote;
        ended += fields;
        match result {
            ReadRecordResult::Record => {
                let starts = std::iter::once(0).chain(ends[..ended].iter().copied());
                all.push(starts.zip(&ends[..ended]).map(|(from, to)| output[from..*to].to_vec()).collect());
                (written, ended) = (0, 0);
            }
            ReadRecordResult::End => return all,
            ReadRecordResult::InputEmpty => {}
            full => unreachable!("{full:?}: the output is as long as the input"),
        }
    }
}
