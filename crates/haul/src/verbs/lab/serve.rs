//! The services at work, until they are told to end.

use std::io::{self, Write};

use haul_lab::{ACCESS_KEY, Lab, LabError, LabSpec, SECRET_KEY, Script, Service, Truth};
use serde_json::{Map, Value, json};

use super::per_service::{PerService, apply, apply_windows, stranger};
use super::{ScriptArgs, ServeArgs};
use crate::open_files;

const USAGE: u8 = 64;

/// Plays the services; the exit status.
pub(super) fn run(args: &ServeArgs) -> u8 {
    match play(args) {
        Ok(()) => 0,
        Err(e) => {
            let _ = writeln!(io::stderr(), "haul lab: {e}");
            if matches!(e, LabError::Spec(_)) { USAGE } else { 1 }
        }
    }
}

fn play(args: &ServeArgs) -> Result<(), LabError> {
    let spec = spec(args).map_err(LabError::Spec)?;
    open_files::raise();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let lab = Lab::start(&spec)?;
    if !args.quiet {
        tell(&if args.json { opening_json(&lab) } else { opening(&lab) });
    }
    runtime.block_on(told_to_end())?;
    if !args.quiet {
        tell(&if args.json { closing_json(&lab) } else { closing(&lab) });
    }
    lab.stop();
    Ok(())
}

fn spec(args: &ServeArgs) -> Result<LabSpec, String> {
    let services: Result<Vec<Service>, String> =
        args.services.iter().map(|word| Service::from_word(word)).collect();
    let services = services?;
    if args.port > u16::MAX - 5 {
        return Err(format!("--port {}: the services need it and the next five", args.port));
    }
    let mut spec = LabSpec::new(&services).ports_from(args.port).seed(args.seed).threads(args.threads);
    spec.host = args.host;
    if let Some(ids) = &args.pages.ids {
        spec.pages.range = ids.clone();
    }
    (spec.pages.density, spec.pages.skew) = (args.pages.density, args.pages.skew);
    script(&mut spec, &args.script)?;
    Ok(spec)
}

fn script(spec: &mut LabSpec, args: &ScriptArgs) -> Result<(), String> {
    type Shares<'a> = (&'a [PerService<f64>], fn(&mut Script, &f64));
    let numbers: [Shares<'_>; 16] = [
        (&args.error_rate, |s, v| s.error_rate = *v),
        (&args.drop_rate, |s, v| s.drop_rate = *v),
        (&args.reply_loss, |s, v| s.reply_loss = *v),
        (&args.truncate_rate, |s, v| s.truncate_rate = *v),
        (&args.html_rate, |s, v| s.html_rate = *v),
        (&args.hang_rate, |s, v| s.hang_rate = *v),
        (&args.missing_rate, |s, v| s.missing_rate = *v),
        (&args.refuse_rate, |s, v| s.refuse_rate = *v),
        (&args.wrong_rate, |s, v| s.wrong_rate = *v),
        (&args.redirect_rate, |s, v| s.redirect_rate = *v),
        (&args.slow_rate, |s, v| s.slow_rate = *v),
        (&args.etag_rate, |s, v| s.etag_rate = *v),
        (&args.loop_rate, |s, v| s.loop_rate = *v),
        (&args.shift_rate, |s, v| s.shift_rate = *v),
        (&args.latency, |s, v| s.latency_ms = *v),
        (&args.jitter, |s, v| s.jitter_ms = *v),
    ];
    let mut strangers = vec![stranger(spec, &args.error_status), stranger(spec, &args.capacity)];
    strangers.extend([stranger(spec, &args.rate_limit), stranger(spec, &args.retry_after)]);
    strangers.extend([stranger(spec, &args.deny), stranger(spec, &args.token), stranger(spec, &args.down)]);
    strangers.extend(numbers.iter().map(|(values, _)| stranger(spec, values)));
    if let Some(service) = strangers.into_iter().flatten().next() {
        return Err(format!(
            "a value is given for {0}, but {0} is not played: name it among the services",
            service.as_str()
        ));
    }
    for (values, change) in numbers {
        apply(spec, values, change);
    }
    apply(spec, &args.error_status, |s, v| s.error_status = *v);
    apply(spec, &args.capacity, |s, v| s.capacity = *v);
    apply(spec, &args.rate_limit, |s, v| s.rate_limit = *v);
    apply(spec, &args.retry_after, |s, v| s.retry_after_s = Some(*v));
    apply(spec, &args.deny, |s, v| (s.deny, s.deny_after) = *v);
    apply(spec, &args.token, |s, v| s.token.clone_from(v));
    apply_windows(spec, &args.down);
    for s in &mut spec.services {
        (s.script.gzip, s.script.rate_headers) = (args.gzip, args.rate_headers);
        (s.script.no_ranges, s.script.no_digests) = (args.no_ranges, args.no_digests);
    }
    Ok(())
}

fn opening(lab: &Lab) -> String {
    let mut text = String::new();
    for service in lab.services() {
        text.push_str(&format!("{:<8}{}\n", service.as_str(), lab.url(service)));
    }
    if lab.services().contains(&Service::Files) {
        let url = lab.url(Service::Files);
        text.push_str(&format!("\nhaul lab gen manifest -c 50 --url {url} > contents.json\n"));
    }
    if lab.services().contains(&Service::S3) {
        text.push_str(&format!(
            "\nbuckets: img-N or img-N-SIZE (N objects), odd (odd keys), any other (empty)\n\
             export AWS_ACCESS_KEY_ID={ACCESS_KEY} AWS_SECRET_ACCESS_KEY={SECRET_KEY}\n"
        ));
    }
    if let Some(line) = lab.line("pairs.csv") {
        let input =
            if line.contains("pairs.csv") { "haul lab gen pairs -c 100000 > pairs.csv\n" } else { "" };
        text.push_str(&format!("\n{input}{line}\n"));
    }
    text
}

fn opening_json(lab: &Lab) -> String {
    let services: Map<String, Value> =
        lab.services().into_iter().map(|s| (s.as_str().to_owned(), Value::from(lab.url(s)))).collect();
    format!("{}\n", json!({ "services": services, "line": lab.line("pairs.csv"), "pid": std::process::id() }))
}

fn closing_json(lab: &Lab) -> String {
    let truths: Map<String, Value> = lab
        .truths()
        .into_iter()
        .map(|t| (t.service.as_str().to_owned(), serde_json::to_value(t).unwrap_or_default()))
        .collect();
    format!("{}\n", json!({ "truth": truths }))
}

fn closing(lab: &Lab) -> String {
    lab.truths().iter().map(summary).collect()
}

/// What a service saw, in words; what did not happen is left out.
fn summary(t: &Truth) -> String {
    if t.requests == 0 {
        return format!("{:<8}no requests\n", t.service.as_str());
    }
    let statuses: Vec<String> = t.statuses.iter().map(|(status, n)| format!("{status}: {n}")).collect();
    let mut text = format!(
        "{:<8}{} requests on {} connections ({}); at most {} in flight, {} in one second\n",
        t.service.as_str(),
        t.requests,
        t.connections,
        statuses.join(", "),
        t.max_in_flight,
        t.busiest_second,
    );
    let what = match t.service {
        Service::Index => "pairs",
        Service::Files => "files",
        Service::Pages => "pages",
        Service::S3 => "keys",
        _ => "ids",
    };
    let parts = [
        (t.unique, what),
        (t.repeated, "repeated"),
        (t.replayed, "replayed under their key"),
        (t.conflicts, "refused: key used for another pair"),
        (t.mismatched, "MISMATCHED: not the bytes that were served"),
        (t.unidentified, "without user or video"),
        (t.keyless, "without key"),
        (t.dropped, "dropped"),
        (t.reply_lost, "replies lost"),
        (t.truncated, "truncated"),
        (t.html, "HTML"),
        (t.hung, "hung"),
    ];
    let parts: Vec<String> = parts
        .iter()
        .enumerate()
        .filter(|(n, (c, _))| *n == 0 || *c > 0)
        .map(|(_, (c, w))| format!("{c} {w}"))
        .collect();
    text.push_str(&format!("        {}\n", parts.join(", ")));
    if let Some(sample) = &t.first_mismatch {
        text.push_str(&format!("        first mismatch: {sample}\n"));
    }
    text
}

/// Writes to standard output; when nobody reads it any more, the services work on.
fn tell(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Ends with Ctrl-C, or what a service supervisor sends.
async fn told_to_end() -> io::Result<()> {
    #[cfg(unix)]
    {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            end = tokio::signal::ctrl_c() => end,
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}
