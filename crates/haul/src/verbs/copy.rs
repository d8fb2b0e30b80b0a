//! `haul copy`: migrate objects from one store or directory to another.

use clap::Args;
use haul_core::job::{Job, PlaceText, StepKind, StoreKind, StoreSpec, parse_place};
use haul_core::secret::SecretFrom;

use super::drive_said;
use crate::flags::{ChosenFlags, ExistsFlags, PaceFlags, ReadFlags, RunFlags};
use crate::{lower, output, stores};

/// What was said; [`lower::copy`] says what it means.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct CopyArgs {
    /// What to copy: STORE:BUCKET/PREFIX, or a directory
    pub from: String,
    /// Where to: STORE:BUCKET/PREFIX, or a directory
    pub to: String,
    /// Copy only objects for which this jq expression is true; they have key, size, etag and modified
    #[arg(long = "where", value_name = "EXPR")]
    pub filter: Option<String>,
    #[command(flatten)]
    pub chosen: ChosenFlags,
    /// Copy only what is of this type by its first bytes: png, or png,jpg; anything else fails, and is not
    /// written
    #[arg(long, value_name = "TYPE", value_delimiter = ',')]
    pub expect: Vec<String>,
    /// Write a line for every object that is copied: key, bytes, ETag, how it was verified
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub receipts: Option<String>,
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
Stores have names, in $XDG_CONFIG_HOME/haul/stores.toml (~/.config/haul/stores.toml):
  [old]
  type     = \"s3\"
  endpoint = \"https://s3.old.example\"
  profile  = \"old\"
  [new]
  type     = \"s3\"
  region   = \"eu-central-1\"
  profile  = \"new\"
Credentials come from the profile, else from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. Without a file, s3: is
the store of the environment (AWS_REGION, AWS_ENDPOINT_URL), and the name of a profile is a store as well.

Examples:
  haul copy old:images new:images
  haul copy ./photos s3:bucket/photos
  haul copy old:images/2023/ new:archive/2023/ --where '.size < 1000000' --receipts copied.jsonl
  haul copy old:images new:images --max-size 20M --max-age 7d";

/// Lowers and drives.
pub fn run(args: &CopyArgs) -> u8 {
    let known = match stores::load() {
        Ok(known) => known,
        Err(status) => return status,
    };
    let said = lower::copy(args, &known);
    if let Ok(said) = &said
        && !args.run.show.quiet
        && !args.run.show.json
    {
        output::tell(&ends(&said.job));
    }
    drive_said(said, &args.run)
}

/// Both ends as they were resolved: a name says little about where bytes go.
fn ends(job: &Job) -> String {
    let end = |place: &str| match parse_place(place) {
        Ok(PlaceText::Bucket { store, .. }) => {
            format!("{place} ({})", job.stores.get(store).map(at).unwrap_or_default())
        }
        _ => format!("{place} (a directory)"),
    };
    let to = job.steps.iter().find_map(|s| match &s.kind {
        StepKind::Copy { to, .. } => Some(to.as_str()),
        _ => None,
    });
    format!("haul: from {} to {}", end(&job.source.location), end(to.unwrap_or_default()))
}

fn at(store: &StoreSpec) -> String {
    let name = |of: &Option<String>| of.as_deref().unwrap_or_default().to_owned();
    let place = match (&store.endpoint, store.kind) {
        (Some(endpoint), _) => endpoint.clone(),
        (None, StoreKind::S3) => format!("AWS {}", name(&store.region)),
        (None, StoreKind::Gcs) => "Google Cloud Storage".to_owned(),
        (None, StoreKind::Azblob) => format!("Azure, account {}", name(&store.account)),
        (None, StoreKind::Webdav) => String::new(),
    };
    match (&store.profile, &store.secret, store.kind) {
        (Some(profile), ..) => format!("{place}, profile {profile}"),
        (None, Some(SecretFrom::Env(name)), _) => format!("{place}, secret in ${name}"),
        (None, Some(SecretFrom::File(path)), _) => format!("{place}, secret in {path}"),
        (None, Some(SecretFrom::Command(_)), _) => format!("{place}, secret of a command"),
        (None, None, StoreKind::Webdav) => format!("{place}, without a password"),
        (None, None, _) => format!("{place}, credentials of the environment"),
    }
}
