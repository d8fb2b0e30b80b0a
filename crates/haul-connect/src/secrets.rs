//! Secrets: references are resolved when a request needs them, and read again when a service
//! refuses what they gave.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use haul_core::Fault;
use haul_core::lane::{LaneId, Lanes, Origin, Permit};
use haul_core::pace::hint::Stated;
use haul_core::secret::{SecretFrom, SecretSpec, SecretValue};
use tokio::io::AsyncReadExt;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::http::HeaderLines;

/// How long a secret command may take; it may have to ask another service.
const COMMAND_TIME: Duration = Duration::from_secs(30);
/// Longest value: larger than any token, smaller than what a service takes in a header.
const VALUE_BYTES: usize = 16 * 1024;
/// A refused secret is not read again more often than this: every request in flight reports it.
const READ_AGAIN: Duration = Duration::from_secs(1);
/// The same for a command, which may have to ask another service.
const RUN_AGAIN: Duration = Duration::from_secs(5);

/// What is sent to one service: any number of secrets, each in its header.
pub struct Credential {
    name: Arc<str>,
    secrets: Vec<(String, SecretSpec)>,
    lines: std::sync::Mutex<Known>,
    /// One reads, the others wait for what it finds.
    reading: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Known {
    lines: Option<Arc<HeaderLines>>,
    read: Option<Instant>,
    refused: bool,
}

impl Credential {
    /// Of named secrets, in the order of their headers.
    pub fn new(secrets: Vec<(String, SecretSpec)>) -> Self {
        let name = secrets.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(",");
        let none = secrets.is_empty().then(Arc::default);
        Credential {
            name: name.into(),
            secrets,
            lines: std::sync::Mutex::new(Known { lines: none, ..Known::default() }),
            reading: tokio::sync::Mutex::default(),
        }
    }

    /// Names of its secrets, for the lane; empty when it has none.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Its header lines; reads the secrets when they have not been read, or were refused.
    ///
    /// # Errors
    /// `secret`: fatal while it was never read (the run cannot start), transient later.
    pub async fn lines(&self) -> Result<Arc<HeaderLines>, Fault> {
        if let Some(lines) = self.known() {
            return Ok(lines);
        }
        let _one = self.reading.lock().await;
        if let Some(lines) = self.known() {
            return Ok(lines);
        }
        let read = self.read().await;
        let mut known = self.lock();
        match read {
            Ok(lines) => {
                let lines = Arc::new(lines);
                let read = Some(Instant::now());
                *known = Known { lines: Some(Arc::clone(&lines)), read, refused: false };
                Ok(lines)
            }
            Err(fault) => {
                // Until the next try the old value goes out: being refused makes the lane wait, instead
                // of every item asking for a value that cannot be had.
                known.read = known.read.map(|_| Instant::now());
                Err(fault)
            }
        }
    }

    async fn read(&self) -> Result<HeaderLines, Fault> {
        let mut lines = HeaderLines::new();
        for (name, spec) in &self.secrets {
            let value = resolve(name, spec).await.map_err(|why| self.fault(name, &why))?;
            let text = spec.format.replace("{}", value.reveal());
            lines.push(&spec.header, &text).map_err(|e| self.fault(name, &e.to_string()))?;
        }
        Ok(lines)
    }

    /// A service refused it: before the next request it is read again, unless it just was.
    pub fn refused(&self) {
        self.lock().refused = true;
    }

    /// What is known, unless it is to be read again.
    pub(crate) fn known(&self) -> Option<Arc<HeaderLines>> {
        let known = self.lock();
        let stale = known.refused && known.read.is_some_and(|at| at.elapsed() >= self.patience());
        if stale && !self.secrets.is_empty() { None } else { known.lines.clone() }
    }

    fn patience(&self) -> Duration {
        let runs = self.secrets.iter().any(|(_, spec)| matches!(spec.from, SecretFrom::Command(_)));
        if runs { RUN_AGAIN } else { READ_AGAIN }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn fault(&self, name: &str, why: &str) -> Fault {
        let message = format!("secret {name}: {why}");
        if self.lock().read.is_some() {
            Fault::transient("secret", message).uncharged()
        } else {
            Fault::fatal("secret", message)
        }
    }
}

/// The lanes as a request sees them that carries a credential. It may have waited for long when it is
/// granted its permit: if the credential was refused and has been renewed since, it must not go out as
/// it was made.
pub(crate) struct Renewing<'a> {
    lanes: &'a dyn Lanes,
    credential: &'a Credential,
    made_with: &'a Arc<HeaderLines>,
    renewed: Notify,
    /// The first permit was granted: what comes after it are redirects.
    entered: AtomicBool,
}

impl<'a> Renewing<'a> {
    pub(crate) fn new(
        lanes: &'a dyn Lanes,
        credential: &'a Credential,
        made_with: &'a Arc<HeaderLines>,
    ) -> Self {
        Renewing { lanes, credential, made_with, renewed: Notify::new(), entered: AtomicBool::new(false) }
    }

    /// The permit, unless what waited for it must not go out.
    async fn fresh(&self, permit: impl Future<Output = Permit>) -> Permit {
        let permit = permit.await;
        if self.entered.swap(true, Ordering::Relaxed) {
            return permit;
        }
        match self.credential.lines().await {
            Ok(lines) if lines.as_bytes() != self.made_with.as_bytes() => {
                drop(permit);
                self.renewed.notify_one();
                std::future::pending().await
            }
            // What cannot be read is refused again, and then waited for.
            _ => permit,
        }
    }

    /// Returns when the request is to be made anew; nothing of it was sent.
    pub(crate) async fn renewed(&self) {
        self.renewed.notified().await;
    }
}

#[async_trait]
impl Lanes for Renewing<'_> {
    fn lane(&self, origin: &Origin) -> LaneId {
        self.lanes.lane(origin)
    }

    async fn enter(&self, lane: LaneId) -> Permit {
        self.fresh(self.lanes.enter(lane)).await
    }

    async fn enter_any(&self, lanes: &[LaneId]) -> Permit {
        self.fresh(self.lanes.enter_any(lanes)).await
    }

    async fn closed(&self) {
        self.lanes.closed().await;
    }

    fn stated(&self, lane: LaneId, limits: &[Stated]) {
        self.lanes.stated(lane, limits);
    }

    fn failed(&self, fault: &Fault) {
        self.lanes.failed(fault);
    }
}

/// The value of a secret. Errors say what to do and never hold the value.
async fn resolve(name: &str, spec: &SecretSpec) -> Result<SecretValue, String> {
    read(&format!("secret.{name}"), &spec.from).await
}

/// The value that is found there; `at` is the table that says where, for messages that never hold the value.
pub(crate) async fn read(at: &str, from: &SecretFrom) -> Result<SecretValue, String> {
    let value = match from {
        SecretFrom::Env(variable) => match std::env::var(variable) {
            Ok(value) => value,
            Err(std::env::VarError::NotPresent) => {
                return Err(format!(
                    "the environment variable {variable} is not set: export it, or name another in [{at}]"
                ));
            }
            Err(std::env::VarError::NotUnicode(_)) => {
                return Err(format!("the environment variable {variable} is not UTF-8"));
            }
        },
        SecretFrom::File(path) => {
            text(read_file(path).await.map_err(|e| format!("cannot read {path}: {e}"))?)
                .map_err(|why| format!("{path} {why}"))?
        }
        SecretFrom::Command(command) => {
            text(run(command).await?).map_err(|why| format!("what the command `{command}` prints {why}"))?
        }
    };
    let value = value.strip_suffix('\n').map_or(value.as_str(), |v| v.strip_suffix('\r').unwrap_or(v));
    if value.is_empty() {
        return Err("its value is empty".into());
    }
    Ok(SecretValue::new(value.to_owned()))
}

fn text(bytes: Vec<u8>) -> Result<String, &'static str> {
    if bytes.len() > VALUE_BYTES {
        return Err("is too long for a header");
    }
    String::from_utf8(bytes).map_err(|_| "is not UTF-8")
}

/// At most one byte more than allowed: `/dev/zero` is a file too.
async fn read_file(path: &str) -> std::io::Result<Vec<u8>> {
    let path = path.to_owned();
    let read = move || {
        use std::io::Read;
        let mut bytes = Vec::new();
        std::fs::File::open(path)?.take(VALUE_BYTES as u64 + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    tokio::task::spawn_blocking(read).await.unwrap_or_else(|e| Err(std::io::Error::other(e)))
}

/// Standard output of a shell command. Its standard error is the user's: it may ask for a password.
async fn run(command: &str) -> Result<Vec<u8>, String> {
    let (shell, flag) = if cfg!(windows) { ("cmd", "/C") } else { ("sh", "-c") };
    let mut child = tokio::process::Command::new(shell)
        .arg(flag)
        .arg(command)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| format!("cannot run {shell}: {e}"))?;
    let mut bytes = Vec::new();
    let output = child.stdout.take();
    let work = async {
        if let Some(output) = output {
            output.take(VALUE_BYTES as u64 + 1).read_to_end(&mut bytes).await?;
        }
        child.wait().await
    };
    match tokio::time::timeout(COMMAND_TIME, work).await {
        Err(_) => Err(format!("the command `{command}` did not end within {COMMAND_TIME:?}")),
        Ok(Err(e)) => Err(format!("the command `{command}` cannot be run: {e}")),
        Ok(Ok(status)) if !status.success() => {
            Err(format!("the command `{command}` failed ({status}): run it by hand to see why"))
        }
        Ok(Ok(_)) => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use haul_core::FaultClass;

    use super::*;

    fn of(from: SecretFrom, format: &str) -> Credential {
        let spec = SecretSpec { header: "Authorization".into(), from, format: format.into() };
        Credential::new(vec![("index".into(), spec)])
    }

    async fn line(from: SecretFrom) -> Result<String, Fault> {
        let lines = of(from, "Bearer {}").lines().await?;
        Ok(String::from_utf8(lines.as_bytes().to_vec()).unwrap())
    }

    #[tokio::test]
    async fn values_come_from_variables_files_and_commands() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "t0p\r\n").unwrap();
        let path = file.path().to_str().unwrap().to_owned();
        assert_eq!(line(SecretFrom::File(path)).await.unwrap(), "Authorization: Bearer t0p\r\n");
        let echo = SecretFrom::Command("echo s3cret".into());
        assert_eq!(line(echo).await.unwrap(), "Authorization: Bearer s3cret\r\n");
        // Cargo sets it for every test.
        let from = SecretFrom::Env("CARGO_PKG_NAME".into());
        assert_eq!(line(from).await.unwrap(), "Authorization: Bearer haul-connect\r\n");
    }

    #[tokio::test]
    async fn what_cannot_be_had_says_where_and_shows_nothing() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap().to_owned();
        for (content, says) in [
            (&b"two\nlines"[..], "line break"),
            (b"", "empty"),
            (b"\xff", "not UTF-8"),
            (&[b'x'; 20_000], "too long"),
        ] {
            std::fs::write(file.path(), content).unwrap();
            let fault = line(SecretFrom::File(path.clone())).await.unwrap_err();
            assert_eq!((fault.class(), fault.code()), (FaultClass::Fatal, "secret"));
            // The path is random, and may hold anything.
            let message = fault.message().replace(&path, "");
            assert!(message.starts_with("secret index: ") && message.contains(says), "{message}");
            assert!(!message.contains("two") && !message.contains("xx"), "{message}");
        }
        for (from, says) in [
            (SecretFrom::Env("HAUL_NO_SUCH_VARIABLE".into()), "HAUL_NO_SUCH_VARIABLE is not set"),
            (SecretFrom::File("/no/such/file".into()), "cannot read /no/such/file"),
            (SecretFrom::Command("exit 3".into()), "`exit 3` failed"),
        ] {
            let fault = line(from).await.unwrap_err();
            assert!(fault.message().contains(says), "{fault}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_secret_is_read_again_but_not_at_once() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "old").unwrap();
        let credential = of(SecretFrom::File(file.path().to_str().unwrap().into()), "{}");
        let now = async || String::from_utf8(credential.lines().await.unwrap().as_bytes().to_vec()).unwrap();
        assert_eq!(now().await, "Authorization: old\r\n");
        std::fs::write(file.path(), "new").unwrap();
        credential.refused();
        assert_eq!(now().await, "Authorization: old\r\n");
        tokio::time::advance(READ_AGAIN).await;
        credential.refused();
        assert_eq!(now().await, "Authorization: new\r\n");
        tokio::time::advance(READ_AGAIN).await;
        credential.refused();
        file.close().unwrap();
        let fault = credential.lines().await.unwrap_err();
        assert!(fault.class() == FaultClass::Transient && fault.is_uncharged());
        assert_eq!(now().await, "Authorization: new\r\n", "not asked for again at once");
        tokio::time::advance(READ_AGAIN).await;
        assert!(credential.lines().await.is_err());
    }

    #[tokio::test]
    async fn no_secrets_are_no_lines() {
        let none = Credential::new(Vec::new());
        assert!(none.lines().await.unwrap().is_empty() && none.name().is_empty());
    }
}
