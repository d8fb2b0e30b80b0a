//! Credentials and signatures: `reqsign`'s, with nothing of the environment but credentials.

use http::request::Parts;
use reqsign_aws_v4::{
    Credential, EnvCredentialProvider, ProfileCredentialProvider, RequestSigner, StaticCredentialProvider,
};
use reqsign_core::{Context, FileRead, OsEnv, ProvideCredentialChain};

/// Reads profiles.
#[derive(Debug)]
struct Files;

impl FileRead for Files {
    async fn file_read(&self, path: &str) -> reqsign_core::Result<Vec<u8>> {
        // A few hundred bytes, once.
        std::fs::read(path).map_err(|e| reqsign_core::Error::config_invalid(format!("{path}: {e}")))
    }
}

/// Signs requests with the credentials of a profile, or of the environment and the default profile.
pub(super) struct Signer(reqsign_core::Signer<Credential>);

impl Signer {
    pub(super) fn new(profile: Option<&str>, region: &str) -> Self {
        let context = Context::new().with_file_read(Files).with_env(OsEnv);
        let signer = RequestSigner::new("s3", region);
        Signer(match profile {
            Some(profile) => {
                let provider = ProfileCredentialProvider::new().with_profile(profile);
                reqsign_core::Signer::new(context, provider, signer)
            }
            None => {
                let chain = ProvideCredentialChain::new()
                    .push(EnvCredentialProvider::new())
                    .push(ProfileCredentialProvider::new());
                reqsign_core::Signer::new(context, chain, signer)
            }
        })
    }

    /// Signs with these credentials.
    pub(super) fn with_keys(access: &str, secret: &str, region: &str) -> Self {
        let context = Context::new().with_file_read(Files).with_env(OsEnv);
        let provider = StaticCredentialProvider::new(access, secret);
        Signer(reqsign_core::Signer::new(context, provider, RequestSigner::new("s3", region)))
    }

    /// Adds the headers of a signature. The message of an error holds no secret.
    pub(super) async fn sign(&self, parts: &mut Parts) -> Result<(), String> {
        self.0.sign(parts, None).await.map_err(|e| e.to_string())
    }
}
