//! Credentials, `reqsign`'s, with nothing of the environment but them; and what they sign.

use haul_core::clock::UnixMs;
use reqsign_aws_v4::{
    Credential, EnvCredentialProvider, ProfileCredentialProvider, StaticCredentialProvider,
};
use reqsign_core::{Context, FileRead, OsEnv, ProvideCredential, ProvideCredentialChain, SigningCredential};
use tokio::sync::Mutex;

use super::sigv4::{Keys, Request, Stamp, UNSIGNED};
use crate::http::HeaderLines;
use crate::http::headers::HeaderError;

/// Reads profiles.
#[derive(Debug)]
struct Files;

impl FileRead for Files {
    async fn file_read(&self, path: &str) -> reqsign_core::Result<Vec<u8>> {
        // A few hundred bytes, once.
        std::fs::read(path).map_err(|e| reqsign_core::Error::config_invalid(format!("{path}: {e}")))
    }
}

/// Why a request is not signed. Holds no secret.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum SignError {
    /// There are none, or they cannot be read.
    #[error("no credentials: {0}")]
    Credentials(String),
    /// A header cannot be sent.
    #[error(transparent)]
    Header(#[from] HeaderError),
}

/// Signs requests with the credentials of a profile, or of the environment and the default profile.
pub(super) struct Signer {
    context: Context,
    chain: ProvideCredentialChain<Credential>,
    region: Box<str>,
    /// What was read last, and what signs with it in this second.
    held: Mutex<Option<Held>>,
}

struct Held {
    credential: Credential,
    keys: Keys,
    stamp: Stamp,
}

impl Signer {
    pub(super) fn new(profile: Option<&str>, region: &str) -> Self {
        let chain = ProvideCredentialChain::new();
        let chain = match profile {
            Some(profile) => chain.push(ProfileCredentialProvider::new().with_profile(profile)),
            None => chain.push(EnvCredentialProvider::new()).push(ProfileCredentialProvider::new()),
        };
        Signer::with(chain, region)
    }

    /// Signs with these credentials.
    pub(super) fn with_keys(access: &str, secret: &str, region: &str) -> Self {
        Signer::with(
            ProvideCredentialChain::new().push(StaticCredentialProvider::new(access, secret)),
            region,
        )
    }

    fn with(chain: ProvideCredentialChain<Credential>, region: &str) -> Self {
        let context = Context::new().with_file_read(Files).with_env(OsEnv);
        Signer { context, chain, region: region.into(), held: Mutex::default() }
    }

    /// All headers of a request with those of its signature.
    pub(super) async fn sign(&self, request: Request<'_>, now: UnixMs) -> Result<HeaderLines, SignError> {
        let mut held = self.held.lock().await;
        let fresh = match held.take().filter(|held| held.credential.is_valid()) {
            Some(held) if held.stamp.is_of(now) => held,
            Some(Held { credential, keys, .. }) => {
                let stamp = Stamp::new(&keys, &self.region, now);
                Held { credential, keys, stamp }
            }
            None => self.read(now).await?,
        };
        let Held { keys, stamp, .. } = held.insert(fresh);
        let mut headers = request.headers.to_vec();
        headers.push(("x-amz-content-sha256", UNSIGNED));
        headers.push(("x-amz-date", &stamp.time));
        headers.extend(keys.token.as_deref().map(|token| ("x-amz-security-token", token)));
        let authorization = stamp.authorization(keys, &Request { headers: &headers, ..request });
        let mut lines = HeaderLines::new();
        for (name, value) in headers {
            lines.push(name, value)?;
        }
        lines.push("authorization", &authorization)?;
        Ok(lines)
    }

    async fn read(&self, now: UnixMs) -> Result<Held, SignError> {
        let found = self.chain.provide_credential(&self.context).await;
        let credential = match found {
            Ok(Some(credential)) if credential.is_valid() => credential,
            Ok(Some(_)) => return Err(SignError::Credentials("they have expired".to_owned())),
            Ok(None) => return Err(SignError::Credentials("nobody has any".to_owned())),
            Err(e) => return Err(SignError::Credentials(e.to_string())),
        };
        let keys = Keys {
            access: credential.access_key_id.clone(),
            secret: credential.secret_access_key.clone(),
            token: credential.session_token.clone(),
        };
        let stamp = Stamp::new(&keys, &self.region, now);
        Ok(Held { credential, keys, stamp })
    }
}
