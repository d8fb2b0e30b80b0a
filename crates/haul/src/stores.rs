//! `stores.toml`: the stores that a person has names for.

use std::collections::BTreeMap;
use std::path::PathBuf;

use haul_core::job::{StoreSpec, parse_stores};

use crate::diagnostic::{self, File};
use crate::{exit, output};

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
