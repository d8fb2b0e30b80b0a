//! `--metrics ADDR`: the figures of a run for Prometheus, over HTTP. Views never block the engine: a
//! scrape reads the last published state, and one that asks for nothing is dropped.

use std::fmt::{Display, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use haul_engine::{Handle, Snapshot};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::cost;

/// Longest request that is read: a scraper sends some hundred bytes.
const REQUEST_BYTES: usize = 8 << 10;
/// How long a scraper may take for its request and for reading the reply.
const PATIENCE: Duration = Duration::from_secs(5);
/// Scrapes at the same time; more wait.
const SCRAPES: usize = 4;

/// Where to listen: `9464`, `127.0.0.1:9464`, `[::1]:9464`. A port alone is of this machine only.
///
/// # Errors
/// A sentence that shows how to write it.
pub fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let local = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    let port = text.strip_prefix(':').unwrap_or(text);
    port.parse().map(local).or_else(|_| text.parse()).map_err(|_| {
        format!("\"{text}\" is no address to listen at: write a port like 9464, or 0.0.0.0:9464 for other machines")
    })
}

/// Takes the address, so that a problem is told before the run begins.
///
/// # Errors
/// A sentence that names it.
pub fn bind(at: SocketAddr) -> Result<TcpListener, String> {
    let told = |e: std::io::Error| format!("--metrics {at}: {e}");
    let listener = TcpListener::bind(at).map_err(told)?;
    listener.set_nonblocking(true).map_err(told)?;
    Ok(listener)
}

/// Answers scrapes until it is dropped.
pub async fn serve(listener: TcpListener, handle: Handle, run: String) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    let room = std::sync::Arc::new(tokio::sync::Semaphore::new(SCRAPES));
    let run = std::sync::Arc::new(run);
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors: the run needs them more.
            tokio::time::sleep(PATIENCE).await;
            continue;
        };
        let (handle, run) = (handle.clone(), run.clone());
        tokio::spawn(async move {
            // A scraper that goes away has had its answer.
            let _ = tokio::time::timeout(PATIENCE, answer(stream, &handle, &run)).await;
            drop(permit);
        });
    }
}

async fn answer(mut stream: TcpStream, handle: &Handle, run: &str) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut chunk = [0; 1024];
    while !request.windows(4).any(|w| w == b"\r\n\r\n") {
        let n = stream.read(&mut chunk).await?;
        request.extend_from_slice(&chunk[..n]);
        if n == 0 || request.len() > REQUEST_BYTES {
            return Ok(());
        }
    }
    let line = request.split(|b| *b == b'\r').next().unwrap_or_default();
    let mut words = line.split(|b| *b == b' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = path.split(|b| *b == b'?').next().unwrap_or_default();
    let (status, body) = match (method, path) {
        (b"GET" | b"HEAD", b"/metrics") => ("200 OK", render(&handle.snapshot(), run, cost::so_far())),
        (b"GET" | b"HEAD", _) => ("404 Not Found", "the figures are at /metrics\n".to_owned()),
        _ => ("405 Method Not Allowed", "GET /metrics\n".to_owned()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    if method != b"HEAD" {
        stream.write_all(body.as_bytes()).await?;
    }
    stream.shutdown().await
}

/// The text format of Prometheus, version 0.0.4.
struct Text(String);

impl Text {
    /// What a family is: `counter` or `gauge`.
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (i, (label, value)) in labels.iter().enumerate() {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{}{label}=\"{value}\"", if i == 0 { '{' } else { ',' });
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{close} {value}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "gauge", help);
        self.sample(name, &[], value);
    }

    fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "counter", help);
        self.sample(name, &[], value);
    }

    /// A family with a sample for each of `rows`.
    fn each<T>(
        &mut self,
        (name, kind, help): (&str, &str, &str),
        label: &str,
        rows: &[T],
        of: impl Fn(&T) -> (&str, u64),
    ) {
        self.family(name, kind, help);
        for (who, value) in rows.iter().map(of) {
            self.sample(name, &[(label, who)], value);
        }
    }
}

fn render(now: &Snapshot, run: &str, cost: cost::Cost) -> String {
    let mut text = Text(String::with_capacity(8 << 10));
    text.family("haul_run_info", "gauge", "The run that this process drives.");
    text.sample("haul_run_info", &[("run", run), ("version", env!("CARGO_PKG_VERSION"))], 1);
    items(&mut text, now);
    steps(&mut text, now);
    lanes(&mut text, now);
    let (held, peak) = now.memory;
    text.gauge("haul_memory_held_bytes", "Bytes held for everything that grows with the input.", held);
    text.gauge("haul_memory_peak_bytes", "The most that was held.", peak);
    text.gauge("haul_memory_limit_bytes", "What may be held.", now.memory_limit);
    text.gauge("haul_resident_peak_bytes", "Most resident memory of the process.", cost.rss_peak);
    text.counter("process_cpu_seconds_total", "Processor time of the process.", cost.cpu_ms as f64 / 1000.0);
    text.0
}

fn items(text: &mut Text, now: &Snapshot) {
    let c = &now.counts;
    let states = [
        ("done", c.done),
        ("skipped", c.skipped),
        ("failed", c.failed),
        ("rejected", c.rejected),
        ("in_doubt", c.in_doubt),
        ("waiting", c.waiting),
    ];
    let family =
        ("haul_items", "gauge", "Items of the whole run by what became of them; their sum was read.");
    text.each(family, "outcome", &states, |(name, n)| (name, *n));
    text.counter("haul_settled_total", "Items settled by this process.", now.settled_now);
    text.counter("haul_faults_total", "Attempts that ended in a fault.", now.faults);
    text.counter("haul_retries_total", "Attempts that were retries.", now.retries);
    text.counter("haul_memo_saved_total", "Requests saved by memos.", now.memo_saved);
    text.counter("haul_commits_total", "Durable commits.", now.commits);
    text.gauge("haul_parked_items", "Items set aside until they are due.", now.parked);
    text.gauge("haul_window_items", "Items read and not committed.", now.window);
    text.gauge("haul_in_work_items", "Items being worked on.", now.in_work);
    text.gauge("haul_input_read_bytes", "Bytes of input behind the last page.", now.bytes_read);
    if let Some(total) = now.bytes_total {
        text.gauge("haul_input_bytes", "Bytes of the whole input.", total);
    }
    text.gauge("haul_read_all", "1 when the source is at its end.", u8::from(now.read_all));
    text.gauge("haul_paused", "1 while a person has it paused.", u8::from(now.paused_since.is_some()));
    text.gauge("haul_waiting_reasons", "Services that are waited for.", now.waiting_for.len());
    text.counter("haul_elapsed_seconds", "Since this process began.", now.elapsed_ms as f64 / 1000.0);
}

fn steps(text: &mut Text, now: &Snapshot) {
    let s = &now.steps;
    text.each(("haul_requests_total", "counter", "Requests sent."), "step", s, |s| (&s.name, s.requests));
    let received = ("haul_received_bytes_total", "counter", "Bytes received on the wire.");
    text.each(received, "step", s, |s| (&s.name, s.wire_in));
    let decoded = ("haul_decoded_bytes_total", "counter", "Bytes received, decoded.");
    text.each(decoded, "step", s, |s| (&s.name, s.decoded_in));
    let sent = ("haul_sent_bytes_total", "counter", "Bytes sent on the wire.");
    text.each(sent, "step", s, |s| (&s.name, s.wire_out));
    let coalesced = ("haul_coalesced_total", "counter", "Requests saved: an identical one was in flight.");
    text.each(coalesced, "step", s, |s| (&s.name, s.coalesced));
    let cached = ("haul_cached_total", "counter", "Requests saved: their result was kept.");
    text.each(cached, "step", s, |s| (&s.name, s.cached));
    text.family("haul_latency_seconds", "gauge", "Latency since this process began.");
    for step in s.iter().filter(|s| s.requests > 0) {
        let (p50, p95, p99) = step.latency_us;
        for (quantile, us) in [("0.5", p50), ("0.95", p95), ("0.99", p99)] {
            let labels = [("step", step.name.as_str()), ("quantile", quantile)];
            text.sample("haul_latency_seconds", &labels, us as f64 / 1e6);
        }
    }
}

fn lanes(text: &mut Text, now: &Snapshot) {
    let l = &now.lanes;
    let in_flight = ("haul_lane_in_flight", "gauge", "Requests in flight.");
    text.each(in_flight, "host", l, |l| (&l.name, l.in_flight.into()));
    let limit = ("haul_lane_limit", "gauge", "Requests in flight allowed.");
    text.each(limit, "host", l, |l| (&l.name, l.limit.into()));
    let requests = ("haul_lane_requests_total", "counter", "Requests sent.");
    text.each(requests, "host", l, |l| (&l.name, l.requests));
    let throttled = ("haul_lane_throttled_total", "counter", "Requests answered with 429 or 503.");
    text.each(throttled, "host", l, |l| (&l.name, l.throttled));
    text.family("haul_lane_rate", "gauge", "Requests a second allowed.");
    for lane in l {
        if let Some(rate) = lane.rate {
            text.sample("haul_lane_rate", &[("host", &lane.name)], rate);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_of_this_machine() {
        for (text, at) in [
            ("9464", "127.0.0.1:9464"),
            (":9464", "127.0.0.1:9464"),
            ("0.0.0.0:1", "0.0.0.0:1"),
            ("[::1]:9464", "[::1]:9464"),
        ] {
            assert_eq!(parse_address(text).unwrap().to_string(), at);
        }
        for bad in ["", "host", "host:1", "99999", "1.2.3.4"] {
            assert!(parse_address(bad).unwrap_err().contains("9464"), "{bad}");
        }
    }

    #[test]
    fn labels_are_escaped() {
        let text = render(&Snapshot::default(), "a\"b\\c", cost::Cost::default());
        assert!(text.contains("run=\"a\\\"b\\\\c\""), "{text}");
    }
}
