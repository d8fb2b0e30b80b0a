//! `haul tune`: another pace for a run that works, within a second.

use clap::Args;
use haul_core::job::units::parse_size;
use haul_core::job::{Given, parse};
use haul_core::pace::{Concurrency, Rate};
use haul_engine::rundir::RunDir;
use haul_engine::socket::{Ask, Request};

use crate::flags::RunQuery;
use crate::lower::{authority_with_port, find_service};
use crate::{exit, output, runs, standing};

/// Which run, and what pace.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct TuneArgs {
    #[command(flatten)]
    pub query: RunQuery,
    /// Ceiling of the rate, for each service or for one: 500/s, localhost:8001=100/min
    #[arg(long, value_name = "[HOST=]N/UNIT")]
    pub rate: Vec<String>,
    /// Requests in flight to each service: auto, a number, or bounds
    #[arg(short = 'j', long, value_name = "auto|N|MIN..MAX", value_parser = Concurrency::parse)]
    pub concurrency: Option<Concurrency>,
    /// Bytes held for everything that grows with the input
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  haul tune enrich-pairs --rate 50/s
  haul tune --rate users=200/s -j 64 --memory 32MiB

It holds until the run's process ends; to keep it, give the same flags to the command that goes on.";

/// Asks the run's process.
pub fn run(args: &TuneArgs) -> u8 {
    let request = args.query.find().and_then(|dir| request(args, &dir));
    match request {
        Ok(request) => standing::order(&args.query, &request, "nothing changed"),
        Err(status) => status,
    }
}

fn request(args: &TuneArgs, dir: &RunDir) -> Result<Request, u8> {
    let refuse = |message: String| {
        output::complain(&message);
        exit::USAGE
    };
    if args.rate.is_empty() && args.concurrency.is_none() && args.memory.is_none() {
        return Err(refuse("tune what? Give --rate, -j or --memory".to_owned()));
    }
    let mut request = Request::new(Ask::Tune, runs::who());
    for said in &args.rate {
        let (host, text) = match said.split_once('=') {
            Some((host, text)) => (Some(host), text),
            None => (None, said.as_str()),
        };
        let rate = Rate::parse(text).map_err(|e| refuse(format!("--rate {said}: {e}")))?;
        let rate = rate.to_string();
        match host {
            None => request.rates.push((None, rate)),
            Some(host) => {
                let hosts = addresses(host, dir).into_iter();
                request.rates.extend(hosts.map(|host| (Some(host), rate.clone())));
            }
        }
    }
    request.concurrency = args.concurrency.map(|n| n.to_string());
    if let Some(memory) = &args.memory {
        parse_size(memory).map_err(|e| refuse(format!("--memory {memory}: {e}")))?;
        request.memory = Some(memory.clone());
    }
    Ok(request)
}

/// Where the service is that the run's job calls so, with its replicas; else the host as it was said.
fn addresses(host: &str, dir: &RunDir) -> Vec<String> {
    let job = dir.job_text().ok().and_then(|text| {
        parse(&Given { text: &text, name: "job", profile: None, set: &[] }).ok().map(|p| p.job)
    });
    let found = job.as_ref().and_then(|job| {
        let name = find_service(&job.services, host)?;
        let service = job.services.get(&name)?;
        let replicas = service.replicas.iter().filter(|_| name == host);
        Some(std::iter::once(&service.url).chain(replicas).map(|url| authority_with_port(url)).collect())
    });
    found.unwrap_or_else(|| vec![host.to_owned()])
}
