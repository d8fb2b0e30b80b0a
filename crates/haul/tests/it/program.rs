//! Runs the real program in a directory of its own.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// A working directory that goes away.
pub(crate) struct Place {
    dir: tempfile::TempDir,
}

/// What the program said and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        Place { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.file(name), text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).unwrap()
    }

    /// Names of the runs made here.
    pub(crate) fn runs(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.file(".haul")).into_iter().flatten().flatten();
        let names = entries.map(|e| e.file_name().into_string().unwrap()).filter(|n| !n.starts_with('.'));
        names.collect()
    }

    /// The program with arguments, in this directory, seeing nothing of the user's.
    pub(crate) fn command<S: AsRef<std::ffi::OsStr>>(&self, args: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_haul"));
        command
            .args(args)
            .current_dir(self.path())
            .env("XDG_STATE_HOME", self.file("user-state"))
            .env("XDG_RUNTIME_DIR", self.path())
            .env("USER", "ada")
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs it to its end.
    pub(crate) fn haul<S: AsRef<std::ffi::OsStr>>(&self, args: &[S]) -> Said {
        said(self.command(args).output().unwrap())
    }

    /// Runs it to its end with standard input.
    pub(crate) fn haul_fed<S: AsRef<std::ffi::OsStr>>(&self, args: &[S], input: &[u8]) -> Said {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().unwrap();
        feed(&mut child, input);
        said(child.wait_with_output().unwrap())
    }
}

/// Writes all input; a program that stopped reading is no error here.
fn feed(child: &mut Child, input: &[u8]) {
    let mut stdin = child.stdin.take().unwrap();
    let _ = stdin.write_all(input);
}

pub(crate) fn said(output: Output) -> Said {
    Said {
        status: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Said {
    /// Fails unless it ended with this status.
    #[track_caller]
    pub(crate) fn ended(self, status: i32) -> Self {
        assert_eq!(self.status, status, "\n--- stdout\n{}--- stderr\n{}", self.out, self.err);
        self
    }

    /// Fails unless standard error holds all of these.
    #[track_caller]
    pub(crate) fn told(self, wanted: &[&str]) -> Self {
        for w in wanted {
            assert!(self.err.contains(w), "{w:?} is not in\n{}", self.err);
        }
        self
    }
}

/// Ctrl-C.
#[cfg(unix)]
pub(crate) fn interrupt(child: &std::process::Child) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
}
