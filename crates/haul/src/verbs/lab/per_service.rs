//! Flag values that may be meant for one service: `[SERVICE=]VALUE`.

use std::time::Duration;

use haul_core::job::units::parse_duration;
use haul_core::pace::gcra::Rate;
use haul_lab::{LabSpec, Script, Service};

/// A value, for all services or for one.
#[derive(Clone, Debug)]
pub(super) struct PerService<T> {
    service: Option<Service>,
    value: T,
}

/// From and until.
pub(super) type Window = (Duration, Duration);

fn split<T>(text: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<PerService<T>, String> {
    match text.split_once('=') {
        Some((service, value)) => {
            Ok(PerService { service: Some(Service::from_word(service)?), value: read(value)? })
        }
        None => Ok(PerService { service: None, value: read(text)? }),
    }
}

/// Applies values to scripts: those for all first, whatever the order on the command line.
pub(super) fn apply<T>(spec: &mut LabSpec, values: &[PerService<T>], change: impl Fn(&mut Script, &T)) {
    for named in [false, true] {
        for v in values.iter().filter(|v| v.service.is_some() == named) {
            for s in spec.services.iter_mut().filter(|s| v.service.is_none_or(|only| only == s.service)) {
                change(&mut s.script, &v.value);
            }
        }
    }
}

/// Adds down windows.
pub(super) fn apply_windows(spec: &mut LabSpec, windows: &[PerService<Window>]) {
    for w in windows {
        for s in spec.services.iter_mut().filter(|s| w.service.is_none_or(|only| only == s.service)) {
            s.down.push(w.value);
        }
    }
}

/// The service of a value that the lab does not play, if there is one.
pub(super) fn stranger<T>(spec: &LabSpec, values: &[PerService<T>]) -> Option<Service> {
    values
        .iter()
        .filter_map(|v| v.service)
        .find(|service| spec.services.iter().all(|s| s.service != *service))
}

/// `0.05` or `5%`
pub(super) fn share(text: &str) -> Result<PerService<f64>, String> {
    split(text, |text| {
        let (number, scale) = match text.strip_suffix('%') {
            Some(percent) => (percent, 100.0),
            None => (text, 1.0),
        };
        let share = number.parse::<f64>().ok().map(|n| n / scale).filter(|n| (0.0..=1.0).contains(n));
        share.ok_or_else(|| format!("\"{text}\" is not a share: write it like 0.05 or 5%"))
    })
}

fn duration(text: &str) -> Result<Duration, String> {
    if matches!(text, "0" | "0s" | "0ms") { Ok(Duration::ZERO) } else { parse_duration(text) }
}

/// `20ms`
pub(super) fn millis(text: &str) -> Result<PerService<f64>, String> {
    split(text, |text| Ok(duration(text)?.as_secs_f64() * 1000.0))
}

/// `5s`, whole seconds
pub(super) fn seconds(text: &str) -> Result<PerService<u32>, String> {
    split(text, |text| {
        let d = duration(text)?;
        let whole = u32::try_from(d.as_secs()).ok().filter(|_| d.subsec_nanos() == 0);
        whole.ok_or_else(|| format!("\"{text}\": Retry-After is whole seconds, as 5s"))
    })
}

/// `10s..25s`
pub(super) fn window(text: &str) -> Result<PerService<Window>, String> {
    split(text, |text| {
        let hint = || format!("\"{text}\" is not a window: write it like 10s..25s, counted from the start");
        let (from, until) = text.split_once("..").ok_or_else(hint)?;
        let (from, until) = (duration(from)?, duration(until)?);
        if from < until { Ok((from, until)) } else { Err(hint()) }
    })
}

/// `100/s`
pub(super) fn rate(text: &str) -> Result<PerService<u32>, String> {
    split(text, |text| {
        let rate = Rate::parse(text)?;
        let per_second = rate.count.checked_div(rate.per.as_secs()).and_then(|n| u32::try_from(n).ok());
        let exact = per_second.filter(|n| *n > 0 && u64::from(*n) * rate.per.as_secs() == rate.count);
        exact.ok_or_else(|| format!("\"{text}\": the lab limits by whole requests a second, as 100/s"))
    })
}

/// A whole number.
pub(super) fn number(text: &str) -> Result<PerService<u32>, String> {
    split(text, |text| text.parse().map_err(|_| format!("\"{text}\" is not a whole number")))
}

/// `502`
pub(super) fn status(text: &str) -> Result<PerService<u16>, String> {
    split(text, |text| {
        let status = text.parse().ok().filter(|s| (400..=599).contains(s));
        status.ok_or_else(|| format!("\"{text}\" is not an error status: 400 to 599"))
    })
}

/// `403` or `403@1000`
pub(super) fn deny(text: &str) -> Result<PerService<(u16, u64)>, String> {
    split(text, |text| {
        let (status, after) = text.split_once('@').unwrap_or((text, "0"));
        match (status, after.parse()) {
            ("401", Ok(after)) => Ok((401, after)),
            ("403", Ok(after)) => Ok((403, after)),
            _ => Err(format!("\"{text}\": write 401, 403, or 403@1000 to let 1,000 requests through first")),
        }
    })
}

/// `1000..5000`
pub(super) fn ids(text: &str) -> Result<std::ops::Range<u64>, String> {
    let ends = text.split_once("..").and_then(|(a, b)| Some(a.parse().ok()?..b.parse().ok()?));
    ends.ok_or_else(|| format!("\"{text}\" is no range: write it like 1000..5000"))
}

/// Any text.
pub(super) fn text(text: &str) -> Result<PerService<String>, String> {
    // A token may hold "=": only the name of a service makes it one service's.
    match text.split_once('=').map(|(service, value)| (Service::from_word(service), value)) {
        Some((Ok(service), value)) => Ok(PerService { service: Some(service), value: value.to_owned() }),
        _ => Ok(PerService { service: None, value: text.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_for_one_service_wins_over_one_for_all_in_any_order() {
        for texts in [["5%", "index=0.2"], ["index=0.2", "5%"]] {
            let mut spec = LabSpec::enrich();
            let values: Vec<PerService<f64>> = texts.iter().map(|t| share(t).unwrap()).collect();
            apply(&mut spec, &values, |s, v| s.error_rate = *v);
            let rates: Vec<f64> = spec.services.iter().map(|s| s.script.error_rate).collect();
            assert_eq!(rates, [0.05, 0.05, 0.2]);
        }
    }

    #[test]
    fn values_are_read_with_their_units() {
        assert_eq!(millis("users=1s").unwrap().value, 1000.0);
        assert_eq!(millis("0").unwrap().value, 0.0);
        assert_eq!(seconds("1m").unwrap().value, 60);
        assert_eq!(rate("100/s").unwrap().value, 100);
        assert_eq!(rate("6000/min").unwrap().value, 100);
        assert_eq!(deny("403@1000").unwrap().value, (403, 1000));
        assert_eq!(window("0s..10s").unwrap().value, (Duration::ZERO, Duration::from_secs(10)));
        assert_eq!(text("ab=cd").unwrap().value, "ab=cd");
        assert_eq!(text("users=ab=cd").unwrap().value, "ab=cd");
    }

    #[test]
    fn a_bad_value_says_how_to_write_it() {
        let why = |e: Result<PerService<f64>, String>| e.map(|_| ()).unwrap_err();
        assert!(why(share("105%")).contains("0.05 or 5%"));
        assert!(why(share("cats=0.1")).contains("it has users, videos, index"));
        assert!(why(millis("20")).contains("20"));
        assert!(seconds("1500ms").unwrap_err().contains("whole seconds"));
        assert!(rate("7/min").unwrap_err().contains("100/s"));
        assert!(deny("500").unwrap_err().contains("403@1000"));
        assert!(status("200").unwrap_err().contains("400 to 599"));
        assert!(window("5s..1s").unwrap_err().contains("10s..25s"));
    }

    #[test]
    fn a_value_for_a_service_that_is_not_played_is_found() {
        let spec = LabSpec::new(&[Service::Users]);
        assert_eq!(stranger(&spec, &[share("videos=0.1").unwrap()]), Some(Service::Videos));
        assert_eq!(stranger(&spec, &[share("users=0.1").unwrap(), share("0.1").unwrap()]), None);
    }
}
