//! Makes what OpenDAL calls an operator of what a store says of itself.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use haul_core::Fault;
use haul_core::job::{StoreKind, StoreSpec};
use opendal::{Operator, services};

use crate::secrets;

/// Base URL of the service.
pub(super) fn endpoint(spec: &StoreSpec) -> String {
    let usual = || match (spec.kind, &spec.account) {
        (StoreKind::Azblob, Some(account)) => format!("https://{account}.blob.core.windows.net"),
        _ => "https://storage.googleapis.com".to_owned(),
    };
    spec.endpoint.clone().unwrap_or_else(usual)
}

/// Reads the secret and makes the operator; nothing is sent.
pub(super) async fn operator(name: &str, bucket: &str, spec: &StoreSpec) -> Result<Operator, Fault> {
    let secret = match &spec.secret {
        None => None,
        Some(from) => {
            let secret = secrets::read(&format!("store.{name}"), from).await;
            Some(secret.map_err(|why| Fault::fatal("credentials", format!("store {name}: {why}")))?)
        }
    };
    let secret = secret.as_ref().map(|secret| secret.reveal());
    let account = spec.account.as_deref().unwrap_or_default();
    let endpoint = endpoint(spec);
    let made = match spec.kind {
        StoreKind::Azblob => {
            let mut service = services::Azblob::default().container(bucket).endpoint(&endpoint).root("/");
            if !account.is_empty() {
                service = service.account_name(account);
            }
            Operator::new(match secret {
                Some(token) if token.contains("sig=") => service.sas_token(token.trim_start_matches('?')),
                Some(key) => service.account_key(key),
                None => service,
            })
        }
        StoreKind::Webdav => {
            let root = format!("/{bucket}/");
            // Every parent is looked for when an object gets its name; what is unfinished has one that is there.
            let service =
                services::Webdav::default().endpoint(&endpoint).root(&root).disable_create_dir(true);
            Operator::new(match (account.is_empty(), secret) {
                (false, password) => service.username(account).password(password.unwrap_or_default()),
                (true, Some(token)) => service.token(token),
                (true, None) => service,
            })
        }
        StoreKind::Gcs | StoreKind::S3 => {
            let service = services::Gcs::default().bucket(bucket).endpoint(&endpoint).root("/");
            Operator::new(match secret {
                Some(file) if file.trim_start().starts_with('{') => {
                    service.credential(&BASE64_STANDARD.encode(file))
                }
                Some(token) => service.token(token.to_owned()),
                None => service,
            })
        }
    };
    made.map_err(|e| Fault::fatal("store", format!("store {name}: {}", e.message())))
}
