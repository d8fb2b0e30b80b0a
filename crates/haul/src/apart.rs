//! Files that are written are none that is read, and each is written by one only.

use std::path::{Path, PathBuf};

/// A file that was named.
pub struct Named<'a> {
    /// What names it, for messages: `the input`, `--to`.
    pub what: &'a str,
    /// As it was said.
    pub path: &'a Path,
}

/// Says which file would be lost, if one would be.
pub fn clash(read: &[Named<'_>], written: &[Named<'_>]) -> Option<String> {
    let ids: Vec<(&Named<'_>, Option<Id>)> =
        read.iter().chain(written).map(|named| (named, id(named.path))).collect();
    for (at, (named, known)) in ids.iter().enumerate().skip(read.len()) {
        let before = ids[..at].iter().find(|(_, other)| known.is_some() && other == known);
        if let Some((other, _)) = before {
            return Some(format!(
                "{} {} is {} ({}), which would be lost: name another file",
                named.what,
                named.path.display(),
                other.what,
                other.path.display()
            ));
        }
    }
    None
}

/// Which file it is, whatever it is called.
#[derive(PartialEq, Eq)]
enum Id {
    /// Device and inode.
    #[cfg(unix)]
    There(u64, u64),
    /// A path without links.
    Named(PathBuf),
}

/// `None`: a device, a pipe, or nowhere.
fn id(path: &Path) -> Option<Id> {
    let path = if path == Path::new("-") { Path::new("/dev/stdin") } else { path };
    match std::fs::metadata(path) {
        Ok(meta) if !meta.is_file() => None,
        #[cfg(unix)]
        Ok(meta) => {
            use std::os::unix::fs::MetadataExt;
            Some(Id::There(meta.dev(), meta.ino()))
        }
        #[cfg(not(unix))]
        Ok(_) => path.canonicalize().ok().map(Id::Named),
        Err(_) => {
            let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            Some(Id::Named(parent.canonicalize().ok()?.join(path.file_name()?)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named<'a>(what: &'a str, path: &'a Path) -> Named<'a> {
        Named { what, path }
    }

    #[test]
    fn a_file_is_the_same_under_other_names() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("in"), "1\n").unwrap();
        std::fs::create_dir(at("d")).unwrap();
        let input = at("in");
        let others = ["./in", "d/../in", "in"].map(at);
        for other in &others {
            let said = clash(&[named("the input", &input)], &[named("--to", other)]).unwrap();
            assert!(said.contains("is the input"), "{said}");
        }
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(at("in"), at("link")).unwrap();
            std::fs::hard_link(at("in"), at("hard")).unwrap();
            for other in ["link", "hard"].map(at) {
                assert!(clash(&[named("the input", &input)], &[named("--to", &other)]).is_some());
            }
        }
        let (new, same) = (at("out"), at("d/../out"));
        assert!(clash(&[], &[named("--to", &new), named("--failed-to", &same)]).is_some());
        assert_eq!(clash(&[named("the input", &input)], &[named("--to", &new)]), None);
        let null = Path::new("/dev/null");
        assert_eq!(clash(&[named("the input", null)], &[named("--to", null)]), None);
    }
}
