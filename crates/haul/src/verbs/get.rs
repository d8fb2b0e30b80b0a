//! `haul get`: download everything a manifest names.

use clap::Args;
use haul_core::job::units::parse_size;

use super::drive_said;
use crate::flags::{PaceFlags, ReadFlags, RunFlags, SourceFlags};
use crate::lower;

/// What was said; [`lower::get`] says what it means.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = EXAMPLES)]
pub struct GetArgs {
    /// The manifest: a JSON document, JSON Lines, CSV, or a list of URLs; a file, - for standard input,
    /// or an http(s) URL; compressed or not
    pub manifest: String,
    /// Where a record has a URL: mp4=.download_urls.mp4; a name that is a file type is checked, NAME?=
    /// may be missing [default: .url]
    #[arg(long, value_name = "[NAME=]PATH", help_heading = "Files")]
    pub url: Vec<String>,
    /// Where a record has the checksum of a file (md5, sha1, sha256 or crc32c; hex or base64)
    #[arg(long, value_name = "[NAME=]PATH", help_heading = "Files")]
    pub checksum: Vec<String>,
    /// What to call a file: {key}, {name} and {ext} of --url, {file} of its URL, and fields
    /// [default: '{key}.{ext}'; of a list of URLs '{file}']
    #[arg(long = "as", value_name = "TEMPLATE", help_heading = "Files")]
    pub template: Option<String>,
    /// The directory to save files in, or a place in a store: STORE:BUCKET/PREFIX
    #[arg(long, value_name = "DIR|STORE", help_heading = "Files")]
    pub to: String,
    /// Replace files that are there and that no run has saved
    #[arg(long, help_heading = "Files")]
    pub overwrite: bool,
    /// Stop before less than this is free on the disk: 10GiB
    #[arg(long, value_name = "SIZE", value_parser = parse_size, help_heading = "Files")]
    pub keep_free: Option<u64>,
    /// Give up a file that comes more slowly than this a second, and try it again [default: 1KiB]
    #[arg(long, value_name = "SIZE", value_parser = parse_size, help_heading = "Files")]
    pub min_throughput: Option<u64>,
    /// What a status means: skip (the record), done (without the file), fail or retry: 404=skip
    #[arg(long, value_name = "STATUS=ACTION", help_heading = "Files")]
    pub on: Vec<String>,
    #[command(flatten)]
    pub source: SourceFlags,
    #[command(flatten)]
    pub read: ReadFlags,
    #[command(flatten)]
    pub pace: PaceFlags,
    #[command(flatten)]
    pub run: RunFlags,
}

const EXAMPLES: &str = "\
Example:
  haul get contents.json --each '.[]' --url mp4=.download_urls.mp4 --url 'png?=.download_urls.png' \\
    --as '{id}/{name}.{ext}' --to content --limit 50
  haul get urls.txt --to files

The same command again fetches only what is missing or changed.";

/// Lowers and drives.
pub fn run(args: &GetArgs) -> u8 {
    drive_said(lower::get(args), &args.run)
}
