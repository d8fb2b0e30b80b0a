//! `haul enrich`: join a stream against services, then send each item on or write it down.

use clap::Args;

use super::drive_said;
use crate::flags::{ExistsFlags, PaceFlags, ReadFlags, RunFlags, SourceFlags};
use crate::lower;

/// What was said; [`lower::enrich`] says what it means.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = EXAMPLES)]
pub struct EnrichArgs {
    /// A file, - for standard input, or an http(s) URL; compressed or not
    pub input: String,
    /// Get a URL for each item and attach the reply: user='http://localhost:8000/users/{user_id}'
    #[arg(long, value_name = "NAME=URL", help_heading = "Steps")]
    pub lookup: Vec<String>,
    /// Attach only what this jq expression makes of a lookup's reply: user='.data | {id, fullName}'
    #[arg(long, value_name = "NAME=EXPR", help_heading = "Steps")]
    pub take: Vec<String>,
    /// What a status means: skip, null, done, fail or retry (video:404=skip, 409=done); without a step
    /// skip and null are about lookups
    #[arg(long, value_name = "[STEP:]STATUS=ACTION", help_heading = "Steps")]
    pub on: Vec<String>,
    /// Post each item to a URL, the lookups by name as its body
    #[arg(long, value_name = "URL", help_heading = "Steps")]
    pub post: Option<String>,
    /// What to post, as a jq expression: '{user: .user, video: .video}'
    #[arg(long, value_name = "EXPR", requires = "post", help_heading = "Steps")]
    pub body: Option<String>,
    /// Statuses that mean success, of the post or of a lookup [default: 2xx]
    #[arg(long, value_name = "[STEP:]STATUS,…", help_heading = "Steps")]
    pub expect: Vec<String>,
    /// Send a header: 'Accept: application/json', 'index=Authorization: Bearer {env:TOKEN}'
    #[arg(short = 'H', long = "header", value_name = "[HOST=]NAME: VALUE", help_heading = "Steps")]
    pub header: Vec<String>,
    /// Write each done item to a file (.csv, else JSON Lines), or to standard output with -
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub to: Option<String>,
    /// What to write of an item [default: the record with everything attached]
    #[arg(long, value_name = "EXPR", requires = "to", help_heading = "Output")]
    pub row: Option<String>,
    #[command(flatten)]
    pub exists: ExistsFlags,
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
  haul enrich pairs.csv --columns user_id:int,video_id:int \\
    --lookup user='http://localhost:8000/users/{user_id}' --take user='.data | {id, fullName}' \\
    --lookup video='http://localhost:8001/videos/{video_id}' --on video:404=skip \\
    --post http://localhost:8002/index --expect 201";

/// Lowers and drives.
pub fn run(args: &EnrichArgs) -> u8 {
    drive_said(lower::enrich(args), &args.run)
}
