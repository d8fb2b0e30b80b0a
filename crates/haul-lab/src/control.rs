//! The lab's own paths: `/_truth`, `/_reset`, `/_set`; each also with `/NAME` of another service or `/all`.
//!
//! `POST /_set` takes members of [`Script`], and `"down": true|false` or `"down_ms": N`.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::http::{Head, Request};
use crate::script::Script;
use crate::services::Service;
use crate::world::{Gate, Live, World};

type Answer = Result<Value, (u16, String)>;

/// Appends the reply.
pub(crate) fn answer(world: &World, live: &Live, request: &Request<'_>, out: &mut Vec<u8>) {
    let (status, body) = match act(world, live, request) {
        Ok(body) => (200, body),
        Err((status, error)) => (status, serde_json::json!({ "error": error })),
    };
    let mut body = body.to_string();
    body.push('\n');
    Head::start(out, status).header("content-type", "application/json").end(body.len());
    out.extend_from_slice(body.as_bytes());
}

fn act(world: &World, live: &Live, request: &Request<'_>) -> Answer {
    let path = request.path.split('?').next().unwrap_or_default();
    let (verb, who) = match path.get(1..).and_then(|p| p.split_once('/')) {
        Some((verb, who)) => (verb, Some(who)),
        None => (path.trim_start_matches('/'), None),
    };
    let (all, chosen) = choose(world, live, who)?;
    match (request.method, verb) {
        ("GET", "_truth") => {
            let truths = chosen.iter().map(|live| {
                let mut truth = live.record.snapshot(live.service);
                truth.pages = (live.service == Service::Pages).then(|| world.counted().clone());
                let truth = serde_json::to_value(truth).unwrap_or_default();
                (live.service.as_str().to_owned(), truth)
            });
            let mut truths: Map<String, Value> = truths.collect();
            if all {
                return Ok(Value::Object(truths));
            }
            Ok(truths.remove(chosen.first().map_or("", |live| live.service.as_str())).unwrap_or_default())
        }
        ("POST", "_reset") => {
            chosen.iter().for_each(|live| live.record.reset());
            Ok(serde_json::json!({ "reset": names(&chosen) }))
        }
        ("POST", "_set") => {
            for live in &chosen {
                set(live, &request.body).map_err(|e| (400, e))?;
            }
            Ok(serde_json::json!({ "set": names(&chosen) }))
        }
        _ => Err((404, "the lab has GET /_truth, POST /_reset and POST /_set".to_owned())),
    }
}

fn names(lives: &[&Live]) -> Vec<&'static str> {
    lives.iter().map(|live| live.service.as_str()).collect()
}

/// The services a path means, and whether it said `all`.
fn choose<'a>(
    world: &'a World,
    own: &'a Live,
    who: Option<&str>,
) -> Result<(bool, Vec<&'a Live>), (u16, String)> {
    match who {
        None | Some("") => Ok((false, vec![own])),
        Some("all") => Ok((true, world.lives.iter().collect())),
        Some(name) => {
            let service = Service::from_word(name).map_err(|e| (404, e))?;
            let live = world.find(service).ok_or_else(|| (404, format!("this lab does not play {name}")))?;
            Ok((false, vec![live]))
        }
    }
}

/// Applies a change; members that are not named keep their value.
fn set(live: &Live, body: &[u8]) -> Result<(), String> {
    let change: Map<String, Value> =
        serde_json::from_slice(body).map_err(|e| format!("the body is not a JSON object: {e}"))?;
    let (mut script, mut down, mut down_ms) =
        (serde_json::to_value(&*live.script()).unwrap_or_default(), None, None);
    for (name, value) in change {
        match name.as_str() {
            "down" => down = Some(value.as_bool().ok_or("down is true or false")?),
            "down_ms" => down_ms = Some(value.as_u64().ok_or("down_ms is a whole number of milliseconds")?),
            _ => {
                script.as_object_mut().map(|members| members.insert(name, value));
            }
        }
    }
    let script: Script = serde_json::from_value(script).map_err(|e| e.to_string())?;
    live.set(script)?;
    if let Some(down) = down {
        let _ = live.gate.send(Gate { open: !down, ack: None });
    }
    if let Some(ms) = down_ms {
        let _ = live.gate.send(Gate { open: false, ack: None });
        let gate = live.gate.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            let _ = gate.send(Gate { open: true, ack: None });
        });
    }
    Ok(())
}
