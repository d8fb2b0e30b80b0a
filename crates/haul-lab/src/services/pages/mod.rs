//! `GET /foodstats?offset=ID&limit=N` →
//! `{"meta": {"code", "limit", "offset", "next_offset"}, "response": [{"id", "food_id", "food__category_id"}, …]}`,
//! and lists in the styles of well-known services (see [`styles`]).

pub(crate) mod population;
mod styles;

use population::Population;

use super::{Written, message};
use crate::http::{Head, Request};
use crate::mix::{below, mix, unit};
use crate::script::Script;
use crate::world::{Live, World};

/// Records of a page when nothing is asked for, and most that can be.
const LIMIT: u64 = 100;
const LIMIT_MAX: u64 = 1000;
/// A page that shifts starts up to so many records early.
const SHIFT: u64 = 9;

/// What goes wrong with the order of pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Slip {
    /// The next page is said to be this one.
    loops: bool,
    /// The page starts so many records early.
    shift: u64,
}

impl Slip {
    fn of(world: &World, live: &Live, script: &Script) -> Slip {
        if script.loop_rate == 0.0 && script.shift_rate == 0.0 {
            return Slip { loops: false, shift: 0 };
        }
        let bits = mix(live.seed.rotate_left(7) ^ mix(world.slip()));
        let loops = unit(bits) < script.loop_rate;
        let shifts = unit(mix(bits)) < script.shift_rate;
        Slip { loops, shift: if shifts { 1 + below(mix(!bits), SHIFT) } else { 0 } }
    }
}

/// Appends the reply.
pub(super) fn answer(
    world: &World,
    live: &Live,
    script: &Script,
    request: &Request<'_>,
    out: &mut Vec<u8>,
) -> Written {
    if request.method != "GET" {
        return message(out, 405, "only GET");
    }
    let (path, query) = request.path.split_once('?').unwrap_or((request.path, ""));
    let slip = Slip::of(world, live, script);
    if path != "/foodstats" {
        return styles::answer(world, live, (path, query), slip, out);
    }
    let number = |name: &str, usual: u64| match parameter(query, name) {
        None => Some(usual),
        Some(text) => text.parse().ok(),
    };
    let (Some(offset), Some(limit)) = (number("offset", 0), number("limit", LIMIT)) else {
        return message(out, 400, "offset and limit are integers");
    };
    let limit = limit.clamp(1, LIMIT_MAX);
    live.record.served(offset);
    let body = page(&world.population, offset, limit, slip);
    written(out, script.gzip, &[], body)
}

/// One page: it starts at the first id from `offset` on.
fn page(population: &Population, offset: u64, limit: u64, slip: Slip) -> Vec<u8> {
    let mut ids = population.from(offset.saturating_sub(slip.shift));
    let mut body = Vec::with_capacity(96 + 64 * limit as usize);
    let mut records = Vec::with_capacity(64 * limit as usize);
    for id in ids.by_ref().take(limit as usize) {
        let (food, category) = population.values(id);
        if !records.is_empty() {
            records.push(b',');
        }
        for (name, value) in
            [("{\"id\": ", id), (", \"food_id\": ", food), (", \"food__category_id\": ", category)]
        {
            records.extend_from_slice(name.as_bytes());
            records.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        }
        records.push(b'}');
    }
    let next = if slip.loops { Some(offset) } else { ids.next() };
    let next = next.map_or("null".to_owned(), |id| id.to_string());
    body.extend_from_slice(
        format!(
            "{{\"meta\": {{\"code\": 200, \"limit\": {limit}, \"offset\": {offset}, \"next_offset\": {next}}}, \"response\": ["
        )
        .as_bytes(),
    );
    body.extend_from_slice(&records);
    body.extend_from_slice(b"]}");
    body
}

/// Appends a reply of JSON.
fn written(out: &mut Vec<u8>, gzip: bool, headers: &[(&str, String)], body: Vec<u8>) -> Written {
    let mut head = Head::start(out, 200).header("content-type", "application/json");
    for (name, value) in headers {
        head = head.header(name, value);
    }
    let body = if gzip { compressed(&body) } else { body };
    if gzip {
        head = head.header("content-encoding", "gzip");
    }
    head.end(body.len());
    out.extend_from_slice(&body);
    Written { status: 200, body: body.len() }
}

fn compressed(body: &[u8]) -> Vec<u8> {
    let mut gzip = libdeflater::Compressor::new(libdeflater::CompressionLvl::fastest());
    let mut out = vec![0; gzip.gzip_compress_bound(body.len())];
    let n = gzip.gzip_compress(body, &mut out).unwrap_or(0);
    out.truncate(n);
    out
}

/// A parameter of a query, decoded.
fn parameter(query: &str, name: &str) -> Option<String> {
    let value = query.split('&').find_map(|pair| pair.split_once('=').filter(|(n, _)| *n == name))?.1;
    let mut bytes = value.bytes();
    let mut out = Vec::with_capacity(value.len());
    while let Some(b) = bytes.next() {
        match b {
            b'+' => out.push(b' '),
            b'%' => {
                let hex = [bytes.next()?, bytes.next()?];
                out.push(u8::from_str_radix(std::str::from_utf8(&hex).ok()?, 16).ok()?);
            }
            b => out.push(b),
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use population::PagesSpec;

    const STEADY: Slip = Slip { loops: false, shift: 0 };

    fn read(people: &Population, offset: u64, slip: Slip) -> (Vec<u64>, serde_json::Value) {
        let page: serde_json::Value = serde_json::from_slice(&page(people, offset, 100, slip)).unwrap();
        let ids = page["response"].as_array().unwrap().iter().map(|r| r["id"].as_u64().unwrap()).collect();
        (ids, page["meta"]["next_offset"].clone())
    }

    #[test]
    fn pages_lead_through_every_id_once() {
        let spec = PagesSpec { range: 5_000..9_000, ..PagesSpec::default() };
        let people = Population::new(spec, 1);
        let (mut all, mut at) = (Vec::new(), 0);
        loop {
            let (ids, next) = read(&people, at, STEADY);
            all.extend(ids);
            match next.as_u64() {
                Some(next) => at = next,
                None => break,
            }
        }
        assert_eq!(all, people.from(0).collect::<Vec<_>>());
        assert_eq!(read(&people, 9_000, STEADY), (vec![], serde_json::Value::Null));
    }

    #[test]
    fn slips_shift_and_loop() {
        let spec = PagesSpec { range: 5_000..9_000, density: 1.0, ..PagesSpec::default() };
        let people = Population::new(spec, 1);
        let (ids, next) = read(&people, 6_000, Slip { loops: true, shift: 3 });
        assert_eq!((ids[0], next.as_u64()), (5_997, Some(6_000)));
    }

    #[test]
    fn parameters_are_decoded() {
        assert_eq!(parameter("a=1&b=x%20y+z", "b").as_deref(), Some("x y z"));
        assert_eq!(parameter("ab=1", "b"), None);
    }
}
