//! `stores.toml`: the stores that a person has names for.

use std::collections::BTreeMap;
use std::path::PathBuf;

use haul_core::job::{StoreSpec, parse_place, parse_stores};

use crate::diagnostic::{self, File};
use crate::{exit, output};

/// The name that the store of the environment has, unless the file gives it to another.
const ENVIRONMENT: &str = "s3";

/// A store by its name: that of the file, that of the environment, or a profile of the AWS command line.
pub fn find(name: &str, known: &BTreeMap<String, StoreSpec>) -> Option<StoreSpec> {
    if let Some(spec) = known.get(name) {
        return Some(spec.clone());
    }
    if name == ENVIRONMENT {
        let (endpoint, region) = (environment(ENDPOINTS), environment(REGIONS));
        let spec = StoreSpec { endpoint, region, ..StoreSpec::default() };
        let said = spec.endpoint.is_some() || spec.region.is_some();
        return if said { Some(spec) } else { profile("default").map(|p| StoreSpec { profile: None, ..p }) };
    }
    profile(name)
}

/// True when both ends would be at the endpoint that the environment says.
pub fn is_environments_twice(from: &str, to: &str, known: &BTreeMap<String, StoreSpec>) -> bool {
    let is = |place: &str| parse_place(place).is_ok_and(|p| p.store() == Some(ENVIRONMENT));
    is(from) && is(to) && !known.contains_key(ENVIRONMENT) && environment(ENDPOINTS).is_some()
}

const ENDPOINTS: [&str; 2] = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"];
const REGIONS: [&str; 2] = ["AWS_REGION", "AWS_DEFAULT_REGION"];

/// The first of these variables that says something.
fn environment(names: [&str; 2]) -> Option<String> {
    names.iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}

/// Region and endpoint of a profile, where it says either.
fn profile(name: &str) -> Option<StoreSpec> {
    let path = std::env::var_os("AWS_CONFIG_FILE").map(PathBuf::from);
    let path = path.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".aws/config")))?;
    profile_in(&std::fs::read_to_string(path).ok()?, name)
}

fn profile_in(text: &str, name: &str) -> Option<StoreSpec> {
    let mut spec = StoreSpec { profile: Some(name.to_owned()), ..StoreSpec::default() };
    let mut is_it = false;
    for line in text.lines() {
        if let Some(title) = line.trim().strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
            let title = title.trim();
            is_it = title.strip_prefix("profile ").map_or(title, str::trim) == name;
        } else if let Some((key, value)) = line.split_once('=').filter(|_| is_it && !line.starts_with(' ')) {
            match key.trim() {
                "region" => spec.region = Some(value.trim().to_owned()),
                "endpoint_url" => spec.endpoint = Some(value.trim().to_owned()),
                _ => {}
            }
        }
    }
    (spec.region.is_some() || spec.endpoint.is_some()).then_some(spec)
}

/// What messages call the file.
pub fn file() -> String {
    path().map_or("stores.toml".to_owned(), |p| p.display().to_string())
}

/// Where it is: `$XDG_CONFIG_HOME/haul/stores.toml`, else `~/.config/haul/stores.toml`.
pub fn path() -> Option<PathBuf> {
    let dir = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let config = dir("XDG_CONFIG_HOME").or_else(|| dir("HOME").map(|home| home.join(".config")));
    config.map(|config| config.join("haul/stores.toml"))
}

/// The stores by name; none where there is no file. What is wrong has been told, and the exit status is
/// given.
pub fn load() -> Result<BTreeMap<String, StoreSpec>, u8> {
    let Some(path) = path().filter(|path| path.exists()) else { return Ok(BTreeMap::new()) };
    let name = path.to_string_lossy();
    let text = std::fs::read_to_string(&path).map_err(|e| {
        output::complain(&format!("{name}: {e}"));
        exit::NO_START
    })?;
    parse_stores(&text).map_err(|found| {
        diagnostic::tell_all(&found, Some(File { name: &name, text: &text }));
        exit::USAGE
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_say_where_a_store_is() {
        let text = "[default]\nregion = eu-west-1\n[profile lab]\nendpoint_url=http://127.0.0.1:9000\n\
                    s3 =\n  region = nested\n[profile x]\noutput = json\n";
        let lab = profile_in(text, "lab").unwrap();
        assert_eq!((lab.endpoint.as_deref(), lab.region), (Some("http://127.0.0.1:9000"), None));
        assert_eq!(lab.profile.as_deref(), Some("lab"));
        assert_eq!(profile_in(text, "default").unwrap().region.as_deref(), Some("eu-west-1"));
        assert_eq!(profile_in(text, "x"), None);
        assert_eq!(profile_in(text, "y"), None);
    }
}
