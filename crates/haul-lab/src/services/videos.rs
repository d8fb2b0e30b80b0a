//! `GET /videos/ID` → `{"data": {"id", "title", "caption", "privacy", "frameRate", "videoCodec",
//! "audioCodec", "audioSampleRate"}}`

use super::catalogue::{Catalogue, Draw, Text};
use super::{Written, look_up};
use crate::http::Request;
use crate::script::Script;
use crate::world::{Live, World};

const WORDS: [&str; 24] = [
    "how",
    "to",
    "fix",
    "a",
    "slow",
    "bicycle",
    "in",
    "Zürich",
    "with",
    "tape",
    "and",
    "patience",
    "caf\\u00e9",
    "tour",
    "n\\/a",
    "part",
    "two",
    "\\\"live\\\"",
    "sunset",
    "at",
    "the",
    "harbour",
    "東京",
    "\\ud83d\\ude80",
];
const PRIVACY: [&str; 3] = ["public", "unlisted", "private"];
/// Numbers that a round trip through a double, or a tidy printer, would change.
const FRAME_RATE: [&str; 8] =
    ["25", "30", "60", "29.97", "23.9760239760", "30.0", "5.0e1", "23.976023976023976023976"];
const VIDEO_CODEC: [&str; 4] = ["h264", "hevc", "vp9", "av1"];
const AUDIO_CODEC: [&str; 4] = ["aac", "opus", "mp3", "flac"];
const SAMPLE_RATE: [&str; 6] = ["44100", "48000", "96000", "1.0e2", "4.8E+4", "12345678901234567890123"];

/// Appends the reply.
pub(super) fn answer(
    world: &World,
    live: &Live,
    script: &Script,
    request: &Request<'_>,
    out: &mut Vec<u8>,
) -> Written {
    look_up(&world.videos, "/videos/", (live, script), request, out)
}

/// Every video there is.
pub(crate) fn catalogue(seed: u64) -> Catalogue {
    Catalogue::new(seed ^ 0x7669_6465, text)
}

fn text(draw: &mut Draw) -> Text {
    let title = words(draw, 3);
    let caption = words(draw, 12);
    Text::new(draw)
        .member("title", title)
        .member("caption", caption)
        .member("privacy", format!("\"{}\"", draw.pick(&PRIVACY)))
        .member("frameRate", draw.pick(&FRAME_RATE).to_owned())
        .member("videoCodec", format!("\"{}\"", draw.pick(&VIDEO_CODEC)))
        .member("audioCodec", format!("\"{}\"", draw.pick(&AUDIO_CODEC)))
        .member("audioSampleRate", draw.pick(&SAMPLE_RATE).to_owned())
}

fn words(draw: &mut Draw, least: u64) -> String {
    let count = least + draw.below(least + 1);
    let words: Vec<&str> = (0..count).map(|_| draw.pick(&WORDS)).collect();
    format!("\"{}\"", words.join(" "))
}
