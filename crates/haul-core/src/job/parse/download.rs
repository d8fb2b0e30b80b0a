//! What belongs to `download`.

use super::reader::{self, Bad, Reader};
use super::tree::{Node, Value};
use crate::job::diagnose::{Diagnostic, nearest};
use crate::job::{DownloadSpec, FileSpec, parse_file};

/// `download = ["mp4=.urls.mp4"]`, with `as`, `to`, `checksum` and `overwrite` beside it.
pub(super) fn read(r: &mut Reader<'_>, node: &Node, out: &mut Vec<Diagnostic>) -> Option<DownloadSpec> {
    let files = files(node).map_err(|bad| out.push(bad.about("download", node))).ok();
    let name = r.take("as", out, reader::text);
    let to = r.need("to", "\"DIR\"", out, reader::text);
    let sums = r.node("checksum");
    let overwrite = r.take("overwrite", out, reader::truth).unwrap_or_default();
    let mut files = files?;
    if let Some(node) = sums
        && let Err(bad) = checksums(node, &mut files)
    {
        out.push(bad.about("checksum", node));
    }
    Some(DownloadSpec { files, name, to: to?, overwrite })
}

/// One text or a list of them.
fn texts(node: &Node) -> Result<Vec<(String, &Node)>, Bad> {
    match &node.value {
        Value::Array(members) if members.is_empty() => Err(Bad::from("{key} is empty".to_owned())),
        Value::Array(members) => members
            .iter()
            .map(|m| reader::text(m).map(|text| (text, m)).map_err(|bad| bad.in_part(m)))
            .collect(),
        Value::Str(_) => Ok(vec![(reader::text(node)?, node)]),
        _ => Err(reader::wrong_type("text like \"mp4=.urls.mp4\", or a list of it", node)),
    }
}

fn files(node: &Node) -> Result<Vec<FileSpec>, Bad> {
    texts(node)?
        .into_iter()
        .map(|(text, part)| {
            let (name, optional, path) = parse_file(&text).map_err(|m| Bad::from(m).in_part(part))?;
            Ok(FileSpec { name, path, optional, checksum: None })
        })
        .collect()
}

fn checksums(node: &Node, files: &mut [FileSpec]) -> Result<(), Bad> {
    for (text, part) in texts(node)? {
        let (name, _, path) = parse_file(&text).map_err(|m| Bad::from(m).in_part(part))?;
        let names: Vec<String> = files.iter().filter_map(|f| f.name.clone()).collect();
        let Some(file) = files.iter_mut().find(|f| f.name == name) else {
            let name = name.unwrap_or_default();
            let hint = match nearest(&name, names.iter().map(String::as_str)) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("the files are: {}", names.join(", ")),
            };
            return Err(Bad::hinted(format!("{{key}} is of no file: \"{name}\""), hint).in_part(part));
        };
        file.checksum = Some(path);
    }
    Ok(())
}
