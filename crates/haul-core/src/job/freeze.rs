//! Makes a job independent of the directory it was written in.

use std::path::{Component, Path, PathBuf};

use super::{Job, PlaceText, RowFormat, StepKind, parse_place};
use crate::secret::SecretFrom;

/// The same job with absolute paths: relative ones are relative to `directory`. Standard streams
/// and URLs stay as they are.
pub fn freeze(job: &Job, directory: &Path) -> Job {
    let mut job = job.clone();
    if job.source.format == RowFormat::Keys {
        job.source.location = place(&job.source.location, directory);
    } else if job.source.pages.is_none() {
        job.source.location = absolute(&job.source.location, directory);
    }
    if let Some(output) = &mut job.output {
        output.path = absolute(&output.path, directory);
    }
    for step in &mut job.steps {
        if let StepKind::Download(download) = &mut step.kind {
            download.to = place(&download.to, directory);
        }
        if let StepKind::Copy { to, .. } = &mut step.kind {
            *to = place(to, directory);
        }
    }
    for secret in job.secrets.values_mut() {
        if let SecretFrom::File(path) = &mut secret.from {
            *path = absolute(path, directory);
        }
    }
    job
}

fn place(text: &str, directory: &Path) -> String {
    match parse_place(text) {
        Ok(PlaceText::Directory(path)) => absolute(path, directory),
        _ => text.to_owned(),
    }
}

fn absolute(location: &str, directory: &Path) -> String {
    if location == "-" || location.contains("://") {
        return location.to_owned();
    }
    // `..` is kept: behind a symbolic link it is not the directory above.
    let path: PathBuf =
        directory.join(location).components().filter(|c| !matches!(c, Component::CurDir)).collect();
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_become_absolute_and_nothing_else_changes() {
        let here = Path::new("/data/in");
        assert_eq!(absolute("a.csv", here), "/data/in/a.csv");
        assert_eq!(absolute("./x/./a.csv", here), "/data/in/x/a.csv");
        assert_eq!(absolute("../a.csv", here), "/data/in/../a.csv");
        for same in ["/tmp/a.csv", "-", "https://example.org/a.csv"] {
            assert_eq!(absolute(same, here), same);
        }
    }
}
