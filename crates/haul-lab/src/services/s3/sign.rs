//! Checks of AWS Signature Version 4, written from its description, not from a client: what a client
//! signs wrongly for an odd key is refused here as AWS refuses it.

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

use super::{ACCESS_KEY, Ask, SECRET_KEY, encode, hex};

type Refused = (&'static str, String);

fn refused(code: &'static str, why: impl Into<String>) -> Refused {
    (code, why.into())
}

/// Refuses a request that is not signed by the key of the lab.
pub(super) fn check(ask: &Ask<'_>) -> Result<(), Refused> {
    let given = ask.header("authorization").ok_or_else(|| refused("AccessDenied", "it is not signed"))?;
    let fields = given.strip_prefix("AWS4-HMAC-SHA256 ");
    let fields = fields.ok_or_else(|| refused("AccessDenied", "it is not signed by AWS4-HMAC-SHA256"))?;
    let field = |name: &str| {
        let mut parts = fields.split(',').filter_map(|part| part.trim().split_once('='));
        parts.find(|(n, _)| *n == name).map(|(_, value)| value).unwrap_or_default()
    };
    let (key, scope) = field("Credential").split_once('/').unwrap_or_default();
    if key != ACCESS_KEY {
        return Err(refused("InvalidAccessKeyId", format!("there is no access key \"{key}\"")));
    }
    let date = ask.header("x-amz-date").unwrap_or_default();
    let sent = ask.header("x-amz-content-sha256").unwrap_or_default();
    let request = canonical(ask, field("SignedHeaders"), sent);
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex(&Sha256::digest(request.as_bytes())));
    let mut secret = format!("AWS4{SECRET_KEY}").into_bytes();
    for part in scope.split('/') {
        secret = mac(&secret, part.as_bytes());
    }
    if !date.starts_with(scope.split('/').next().unwrap_or("?")) {
        return Err(refused("AccessDenied", "the date of the scope is another one"));
    }
    if hex(&mac(&secret, text.as_bytes())) != field("Signature") {
        return Err(refused("SignatureDoesNotMatch", format!("signed was:\n{request}")));
    }
    if sent != "UNSIGNED-PAYLOAD" && sent != hex(&Sha256::digest(&ask.request.body)) {
        return Err(refused("XAmzContentSHA256Mismatch", "the SHA-256 of the body is another one"));
    }
    Ok(())
}

/// The request as it is signed: method, path, query, headers, their names, hash of the body.
fn canonical(ask: &Ask<'_>, signed: &str, sent: &str) -> String {
    let target = &ask.target;
    let mut path = format!("/{}", encode(&target.bucket, false));
    if ask.request.path.split('?').next().is_some_and(|path| path[1..].contains('/')) {
        path.push('/');
        path.push_str(&encode(&target.key, true));
    }
    let mut query: Vec<String> =
        target.query.iter().map(|(n, v)| format!("{}={}", encode(n, false), encode(v, false))).collect();
    query.sort();
    let mut headers = String::new();
    for name in signed.split(';') {
        let value = ask.header(name).unwrap_or_default();
        let value = value.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
        headers.push_str(&format!("{name}:{value}\n"));
    }
    format!("{}\n{path}\n{}\n{headers}\n{signed}\n{sent}", ask.request.method, query.join("&"))
}

fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    // Any length will do as a key.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

/// RFC 4648 §4.
pub(super) fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().enumerate().fold(0_u32, |n, (i, b)| n | u32::from(*b) << (16 - 8 * i));
        for i in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * i)) as usize & 63];
            out.push(if i <= group.len() { char::from(letter) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_padded() {
        for (text, coded) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(text.as_bytes()), coded);
        }
    }
}
