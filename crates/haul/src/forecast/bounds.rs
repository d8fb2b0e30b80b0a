//! Which bound rules: rate, concurrency × latency, bandwidth, this machine, or the service. Pure.

/// Kinds of bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A rate that the job or the service states.
    Rate,
    /// Requests in flight and the time that each takes.
    Concurrency,
    /// Bytes a second.
    Bandwidth,
    /// This machine's processor.
    Cpu,
    /// What the service gives.
    Service,
}

impl What {
    /// A word for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            What::Rate => "rate",
            What::Concurrency => "concurrency",
            What::Bandwidth => "bandwidth",
            What::Cpu => "cpu",
            What::Service => "service",
        }
    }
}

/// One bound.
#[derive(Clone, Debug, PartialEq)]
pub struct Bound {
    /// Its kind.
    pub what: What,
    /// Items a second that it allows.
    pub per_second: f64,
    /// Why so many.
    pub says: String,
}

/// What items ask of one service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LaneLoad {
    /// Host and port.
    pub name: String,
    /// Requests a second that it allows, and who says so.
    pub rate: Option<(f64, String)>,
    /// Requests of an item.
    pub per_item: f64,
    /// Of these, requests that read.
    pub reads: f64,
    /// Most requests in flight.
    pub in_flight: Option<u32>,
    /// Seconds that a reply takes when nothing queues.
    pub reply_s: Option<f64>,
}

/// What was measured of the reading part of a job.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Probed {
    /// Items a second.
    pub per_second: f64,
    /// Share of the requests of an item that were made: those that read.
    pub share: f64,
    /// Seconds of processor time that all requests of an item take.
    pub cpu_s: f64,
    /// The same of all processes of this machine, services included that are on it; and its processors.
    pub machine_s: Option<(f64, f64)>,
    /// Concurrency was still growing.
    pub growing: bool,
    /// Pages that came one after the other.
    pub serial: bool,
}

/// Everything that bounds follow from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Load {
    /// By service.
    pub lanes: Vec<LaneLoad>,
    /// Items in work, where that is fixed.
    pub in_work: Option<u32>,
    /// Seconds that an item takes when nothing queues: all steps, and those that read.
    pub item_s: Option<(f64, f64)>,
    /// Bytes a second that may come in, and bytes that an item brings.
    pub bandwidth: Option<(f64, f64)>,
    /// What was measured.
    pub probed: Option<Probed>,
}

/// Below this share of what is known to be allowed, something else ruled the measurement.
const RULED: f64 = 0.85;
/// A process that carries items on one thread and takes this part of a processor is at its end.
const BUSY: f64 = 0.8;

impl Load {
    /// All bounds that are known, the one that rules first.
    pub fn bounds(&self) -> Vec<Bound> {
        let mut all = self.stated(|lane| lane.per_item, self.item_s.map(|(all, _)| all));
        if let Some(probed) = &self.probed {
            let reads = self.stated(|lane| lane.reads, self.item_s.map(|(_, reads)| reads));
            let known = reads.iter().map(|b| b.per_second).fold(f64::INFINITY, f64::min);
            let reached = probed.per_second * probed.share;
            if probed.per_second < RULED * known && reached > 0.0 {
                all.push(self.reached(probed, reached));
            }
            if let Some((each, processors)) = probed.machine_s.filter(|(each, _)| *each > 0.0) {
                let says = format!(
                    "{} of all this machine's processors an item, with the services on it",
                    micros(each)
                );
                all.push(Bound { what: What::Cpu, per_second: processors / each, says });
            }
            if probed.cpu_s > 0.0 {
                let says = format!(
                    "{} of this machine's processor an item",
                    crate::format::micros((probed.cpu_s * 1e6) as u64)
                );
                all.push(Bound { what: What::Cpu, per_second: (1.0 / probed.cpu_s).max(reached), says });
            }
        }
        all.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
        all
    }

    fn reached(&self, probed: &Probed, reached: f64) -> Bound {
        // Who used most of a processor waited for it, not for a service.
        let (what, says) = match (reached * probed.cpu_s > BUSY, probed.serial, probed.growing) {
            (true, ..) => (What::Cpu, "what was reached, with this machine at its end"),
            (_, true, _) => (What::Concurrency, "pages come one after the other"),
            (.., true) => (What::Service, "what was reached while concurrency was still growing"),
            _ => (What::Service, "what was reached; the service gives no more"),
        };
        Bound { what, per_second: reached, says: says.to_owned() }
    }

    /// What follows from what is said, for all requests or for those that read.
    fn stated(&self, requests: fn(&LaneLoad) -> f64, item_s: Option<f64>) -> Vec<Bound> {
        let mut all = Vec::new();
        for lane in self.lanes.iter().filter(|l| requests(l) > 0.0) {
            if let Some((rate, who)) = &lane.rate {
                let says = format!("{} {who} {}", lane.name, per_second(*rate));
                all.push(Bound { what: What::Rate, per_second: rate / requests(lane), says });
            }
            // As many items in work as requests in flight say it all.
            let in_flight = lane.in_flight.filter(|n| item_s.is_none() || self.in_work != Some(*n));
            if let (Some(n), Some(reply)) = (in_flight, lane.reply_s.filter(|s| *s > 0.0)) {
                let says = format!("{n} in flight to {} × {} a reply", lane.name, micros(reply));
                all.push(Bound {
                    what: What::Concurrency,
                    per_second: f64::from(n) / reply / requests(lane),
                    says,
                });
            }
        }
        if let (Some(n), Some(item)) = (self.in_work, item_s.filter(|s| *s > 0.0)) {
            let says = format!("{n} items in work × {} each", micros(item));
            all.push(Bound { what: What::Concurrency, per_second: f64::from(n) / item, says });
        }
        if let Some((allowed, bytes)) = self.bandwidth.filter(|(_, bytes)| *bytes > 0.0) {
            let (a, b) = (crate::format::bytes(allowed as u64), crate::format::bytes(bytes as u64));
            all.push(Bound {
                what: What::Bandwidth,
                per_second: allowed / bytes,
                says: format!("{a} a second, {b} an item"),
            });
        }
        all
    }
}

fn micros(seconds: f64) -> String {
    crate::format::micros((seconds * 1e6).round() as u64)
}

/// `500/s`, `0.50/s`.
pub fn per_second(rate: f64) -> String {
    crate::format::rate((rate * 1000.0).round() as u64, 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(name: &str, per_item: f64, reads: f64) -> LaneLoad {
        LaneLoad { name: name.to_owned(), per_item, reads, reply_s: Some(0.02), ..LaneLoad::default() }
    }

    fn join() -> Load {
        Load {
            lanes: vec![lane("users", 1.0, 1.0), lane("videos", 1.0, 1.0), lane("index", 1.0, 0.0)],
            item_s: Some((0.04, 0.02)),
            ..Load::default()
        }
    }

    fn rules(load: &Load) -> (What, u64) {
        let first = load.bounds().remove(0);
        (first.what, first.per_second.round() as u64)
    }

    #[test]
    fn nothing_is_said_without_anything_known() {
        assert_eq!(join().bounds(), []);
    }

    #[test]
    fn the_tightest_rules() {
        let mut load = join();
        load.in_work = Some(16);
        assert_eq!(rules(&load), (What::Concurrency, 400));
        load.lanes[2].rate = Some((100.0, "is held to".to_owned()));
        assert_eq!(rules(&load), (What::Rate, 100));
        load.lanes[1].per_item = 4.0;
        load.lanes[1].rate = Some((100.0, "is held to".to_owned()));
        assert_eq!(rules(&load), (What::Rate, 25));
        load.bandwidth = Some((1000.0, 100.0));
        assert_eq!(rules(&load), (What::Bandwidth, 10));
    }

    #[test]
    fn what_was_reached_counts_when_nothing_known_explains_it() {
        let mut load = join();
        load.in_work = Some(16);
        // 16 items of 20 ms are 800 a second while only the reads are made: the latency explains it.
        let probed = Probed { per_second: 780.0, share: 2.0 / 3.0, cpu_s: 0.0001, ..Probed::default() };
        load.probed = Some(probed.clone());
        assert_eq!(rules(&load), (What::Concurrency, 400));
        load.probed = Some(Probed { per_second: 300.0, ..probed.clone() });
        assert_eq!(rules(&load), (What::Service, 200));
        load.probed = Some(Probed { per_second: 300.0, cpu_s: 0.0045, ..probed.clone() });
        assert_eq!(rules(&load).0, What::Cpu);
        load.probed = Some(Probed { per_second: 300.0, cpu_s: 0.0045, serial: true, ..probed.clone() });
        assert_eq!(rules(&load).0, What::Cpu, "who works all the time does not wait");
        load.in_work = None;
        load.probed = Some(Probed { growing: true, ..probed });
        let bounds = load.bounds();
        assert!(bounds[0].says.contains("still growing") && bounds[1].what == What::Cpu, "{bounds:?}");
        // Two processors, and 16 ms of them an item.
        load.probed = load.probed.map(|p| Probed { machine_s: Some((0.016, 2.0)), ..p });
        assert_eq!(rules(&load), (What::Cpu, 125));
    }
}
