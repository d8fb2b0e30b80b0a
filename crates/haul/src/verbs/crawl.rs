//! `haul crawl`: page through an API, as fast as it allows, and count or keep its records.

use clap::Args;

use super::drive_said;
use crate::flags::{ExistsFlags, PaceFlags, ReadFlags, RunFlags};
use crate::lower;

/// What was said; [`lower::crawl`] says what it means.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = EXAMPLES)]
pub struct CrawlArgs {
    /// URL of the first page, without the parameters of paging
    pub url: String,
    /// Where a page has the list of its records: .data, or . when the page is the list
    #[arg(long, value_name = "PATH", help_heading = "Pages")]
    pub items: Option<String>,
    /// This parameter says where a page starts: at which record, or with --range at which id
    #[arg(long, value_name = "PARAM", help_heading = "Pages")]
    pub offset: Option<String>,
    /// This parameter counts the pages
    #[arg(long, value_name = "PARAM", help_heading = "Pages")]
    pub page: Option<String>,
    /// This parameter repeats what the last page said (see --next)
    #[arg(long, value_name = "PARAM", help_heading = "Pages")]
    pub cursor: Option<String>,
    /// Where a page has the value of --cursor or --offset for the next one (null at the end), as a jq
    /// expression: .meta.next_offset
    #[arg(long, value_name = "EXPR", help_heading = "Pages")]
    pub next: Option<String>,
    /// Where a page has the URL of the next one (null at the end)
    #[arg(long, value_name = "EXPR", help_heading = "Pages")]
    pub next_url: Option<String>,
    /// The Link header has the URL of the next page
    #[arg(long, help_heading = "Pages")]
    pub link: bool,
    /// Ask for pages of so many records: limit=100
    #[arg(long, value_name = "PARAM=N", help_heading = "Pages")]
    pub page_size: Option<String>,
    /// Read these ids, many pages at a time: A..B (without B) or A..=B; needs --offset and --id
    #[arg(long, value_name = "A..B", help_heading = "Pages")]
    pub range: Option<String>,
    /// Where a record has its id: records that come twice are taken once
    #[arg(long, value_name = "PATH", help_heading = "Pages")]
    pub id: Option<String>,
    /// Count the most common values at a path and print K of them: .food_id:100 [default of K: 10]
    #[arg(long, value_name = "PATH[:K]", help_heading = "Results")]
    pub count: Vec<String>,
    /// Print the K records with the highest numbers at a path, by their id: .score:10
    #[arg(long, value_name = "PATH[:K]", help_heading = "Results")]
    pub top: Vec<String>,
    /// Print count, sum, extremes and quantiles of the numbers at a path
    #[arg(long, value_name = "PATH", help_heading = "Results")]
    pub stats: Vec<String>,
    /// Take only records for which this jq expression is true
    #[arg(long = "where", value_name = "EXPR", help_heading = "Results")]
    pub filter: Option<String>,
    /// Write each record to a file (.csv, else JSON Lines), or to standard output with -
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub to: Option<String>,
    /// What to write of a record [default: all of it]
    #[arg(long, value_name = "EXPR", requires = "to", help_heading = "Output")]
    pub row: Option<String>,
    /// Send a header: 'Authorization: Bearer {env:TOKEN}'
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", help_heading = "Pages")]
    pub header: Vec<String>,
    #[command(flatten)]
    pub exists: ExistsFlags,
    #[command(flatten)]
    pub read: ReadFlags,
    #[command(flatten)]
    pub pace: PaceFlags,
    #[command(flatten)]
    pub run: RunFlags,
}

const EXAMPLES: &str = "\
Examples:
  haul crawl http://localhost:8003/foodstats --items .response \\
    --offset offset --next .meta.next_offset --page-size limit=100 \\
    --range 658330693..=732158492 --id .id \\
    --count .food_id:100 --count .food__category_id:10 --rate 100/s
  haul crawl 'https://api.github.com/orgs/rust-lang/repos?per_page=100' --items . --link \\
    --to repos.jsonl";

/// Lowers and drives.
pub fn run(args: &CrawlArgs) -> u8 {
    drive_said(lower::crawl(args), &args.run)
}
