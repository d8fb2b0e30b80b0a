//! `GET /users/ID` → `{"data": {"id", "fullName", "email", "country", "language", "lastIp"}}`

use super::catalogue::{Catalogue, Draw, Text};
use super::{Written, look_up};
use crate::http::Request;
use crate::script::Script;
use crate::world::{Live, World};

const FIRST: [&str; 16] = [
    "Ada",
    "Grace",
    "Edsger",
    "Barbara",
    "Ren\\u00e9e",
    "Zoë",
    "Łukasz",
    "Søren",
    "伟",
    "Mehmet",
    "Ngozi",
    "José",
    "Amélie",
    "Dmitri",
    "Aiko",
    "Fatima",
];
const LAST: [&str; 16] = [
    "Lovelace",
    "Hopper",
    "Dijkstra",
    "Liskov",
    "O'Brien",
    "\\\"Buzz\\\" Aldrin",
    "Wójcik",
    "Kierkegaard",
    "李",
    "Öztürk",
    "Okafor",
    "N\\u00fa\\u00f1ez",
    "Dupont\\/Durand",
    "Ivanov",
    "Tanaka",
    "Khan",
];
const COUNTRY: [&str; 12] = ["DE", "US", "PL", "BR", "NG", "JP", "FR", "TR", "IN", "DK", "MX", "CN"];
const LANGUAGE: [&str; 8] = ["de", "en-US", "pl", "pt-BR", "ja", "fr", "tr", "zh-Hans"];

/// Appends the reply.
pub(super) fn answer(
    world: &World,
    live: &Live,
    script: &Script,
    request: &Request<'_>,
    out: &mut Vec<u8>,
) -> Written {
    look_up(&world.users, "/users/", (live, script), request, out)
}

/// Everyone there is.
pub(crate) fn catalogue(seed: u64) -> Catalogue {
    Catalogue::new(seed ^ 0x7573_6572, text)
}

fn text(draw: &mut Draw) -> Text {
    let (first, last) = (draw.pick(&FIRST), draw.pick(&LAST));
    let number = draw.below(100_000);
    let ip = match draw.below(16) {
        // An IPv6 address as a number: 23 digits, beyond what a double holds.
        0 => format!(
            "{}{:011}{:06}",
            100_000 + draw.below(900_000),
            draw.below(100_000_000_000),
            draw.below(1_000_000)
        ),
        1 => format!("\"2001:db8::{:x}:{:x}\"", draw.below(65_536), draw.below(65_536)),
        _ => format!("\"10.{}.{}.{}\"", draw.below(256), draw.below(256), draw.below(256)),
    };
    Text::new(draw)
        .member("fullName", format!("\"{first} {last}\""))
        .member("email", format!("\"mail{number}@example.org\""))
        .member("country", format!("\"{}\"", draw.pick(&COUNTRY)))
        .member("language", format!("\"{}\"", draw.pick(&LANGUAGE)))
        .member("lastIp", ip)
}
