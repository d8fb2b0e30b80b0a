//! AWS Signature Version 4 for S3, as its documentation has it ("Authenticating Requests: Using the
//! Authorization Header"), of requests whose body is not signed.
//!
//! Written here, as a signature is made for every request: what is the same for many of them, the key of a
//! day and the time of a second, is computed once, and the rest is two hashes and a copy of each header.

use haul_core::clock::UnixMs;
use haul_core::cx::hex;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

use crate::http::Url;

/// What is said of the body: the connection, and what its store says of its content, vouch for it.
pub(super) const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Who signs.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Keys {
    pub(super) access: String,
    pub(super) secret: String,
    pub(super) token: Option<String>,
}

/// What a request says that is signed.
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    /// Its path is percent-encoded as signatures have it, once.
    pub(super) url: &'a Url,
    /// Names and values of its query, percent-encoded.
    pub(super) query: &'a [(String, String)],
    /// Names in lower case.
    pub(super) headers: &'a [(&'a str, &'a str)],
}

/// Signs the requests of one second.
pub(super) struct Stamp {
    second: i64,
    /// `20130524T000000Z`
    pub(super) time: String,
    /// `20130524/us-east-1/s3/aws4_request`
    scope: String,
    key: Hmac<Sha256>,
}

impl Stamp {
    /// For a moment.
    pub(super) fn new(keys: &Keys, region: &str, at: UnixMs) -> Stamp {
        let when = jiff::Timestamp::from_millisecond(at.0).unwrap_or_default();
        let time = when.strftime("%Y%m%dT%H%M%SZ").to_string();
        let day = &time[..8];
        let mut key = mac(format!("AWS4{}", keys.secret).as_bytes(), day.as_bytes());
        for part in [region, "s3", "aws4_request"] {
            key = mac(&finish(key), part.as_bytes());
        }
        let scope = format!("{day}/{region}/s3/aws4_request");
        Stamp { second: at.0.div_euclid(1000), time, scope, key: keyed(&finish(key)) }
    }

    /// True when it is still that second.
    pub(super) fn is_of(&self, at: UnixMs) -> bool {
        self.second == at.0.div_euclid(1000)
    }

    /// The value of `Authorization`. The headers have to hold `x-amz-date`, `x-amz-content-sha256`, and the
    /// session token, if there is one; `host` is added.
    pub(super) fn authorization(&self, keys: &Keys, request: &Request<'_>) -> String {
        let mut headers: Vec<(&str, &str)> = request.headers.to_vec();
        headers.push(("host", request.url.authority()));
        headers.sort_unstable();
        let mut names = String::with_capacity(160);
        for (name, _) in &headers {
            if !names.is_empty() {
                names.push(';');
            }
            names.push_str(name);
        }
        let canonical = canonical(request, &headers, &names);
        let mut text = String::with_capacity(200);
        for line in [ALGORITHM, &self.time, &self.scope] {
            text.push_str(line);
            text.push('\n');
        }
        text.push_str(&hex(&Sha256::digest(canonical)));
        let mut signature = self.key.clone();
        signature.update(text.as_bytes());
        let (access, scope, signature) = (&keys.access, &self.scope, hex(&finish(signature)));
        format!("{ALGORITHM} Credential={access}/{scope}, SignedHeaders={names}, Signature={signature}")
    }
}

/// The canonical request.
fn canonical(request: &Request<'_>, headers: &[(&str, &str)], names: &str) -> String {
    let path = request.url.target().split('?').next().unwrap_or("/");
    let mut out = String::with_capacity(path.len() + 512);
    out.push_str(request.method);
    out.push('\n');
    out.push_str(path);
    out.push('\n');
    let mut query: Vec<_> = request.query.iter().collect();
    query.sort_unstable();
    for (i, (name, value)) in query.into_iter().enumerate() {
        if i > 0 {
            out.push('&');
        }
        out.push_str(name);
        out.push('=');
        out.push_str(value);
    }
    out.push('\n');
    let mut payload = UNSIGNED;
    for (name, value) in headers {
        if *name == "x-amz-content-sha256" {
            payload = value;
        }
        out.push_str(name);
        out.push(':');
        // One space for several, and none around it.
        for (i, word) in value.split_ascii_whitespace().enumerate() {
            if i > 0 {
                out.push(' ');
            }
            out.push_str(word);
        }
        out.push('\n');
    }
    out.push('\n');
    out.push_str(names);
    out.push('\n');
    out.push_str(payload);
    out
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    // A key of any length is taken.
    Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| Hmac::<Sha256>::new(&[0; 64].into()))
}

fn mac(key: &[u8], text: &[u8]) -> Hmac<Sha256> {
    let mut mac = keyed(key);
    mac.update(text);
    mac
}

fn finish(mac: Hmac<Sha256>) -> [u8; 32] {
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn keys() -> Keys {
        let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned();
        Keys { access: "AKIAIOSFODNN7EXAMPLE".to_owned(), secret, token: None }
    }

    fn at(text: &str) -> UnixMs {
        UnixMs(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    }

    fn signature(method: &str, target: &str, query: &[(&str, &str)], headers: &[(&str, &str)]) -> String {
        let stamp = Stamp::new(&keys(), "us-east-1", at("2013-05-24T00:00:00Z"));
        assert_eq!(stamp.time, "20130524T000000Z");
        let url = Url::parse(&format!("https://examplebucket.s3.amazonaws.com{target}")).unwrap();
        let query: Vec<_> = query.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let mut all = headers.to_vec();
        all.push(("x-amz-date", &stamp.time));
        let request = Request { method, url: &url, query: &query, headers: &all };
        stamp.authorization(&keys(), &request).rsplit_once('=').unwrap().1.to_owned()
    }

    /// The examples of AWS ("Signature Calculations for the Authorization Header: Transferring Payload in a
    /// Single Chunk").
    #[test]
    fn the_examples_of_the_documentation() {
        let empty = ("x-amz-content-sha256", EMPTY);
        let of = signature("GET", "/test.txt", &[], &[("range", "bytes=0-9"), empty]);
        assert_eq!(of, "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
        let body = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
        let headers = [
            ("date", "Fri, 24 May 2013 00:00:00 GMT"),
            ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ("x-amz-content-sha256", body),
        ];
        let of = signature("PUT", "/test%24file.text", &[], &headers);
        assert_eq!(of, "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
        let of = signature("GET", "/?lifecycle", &[("lifecycle", "")], &[empty]);
        assert_eq!(of, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
        let of = signature("GET", "/?prefix=J&max-keys=2", &[("prefix", "J"), ("max-keys", "2")], &[empty]);
        assert_eq!(of, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
    }

    #[test]
    fn a_stamp_lasts_a_second() {
        let stamp = Stamp::new(&keys(), "eu-west-1", at("2024-02-29T23:59:59Z"));
        assert!(stamp.is_of(at("2024-02-29T23:59:59.999Z")));
        assert!(!stamp.is_of(at("2024-03-01T00:00:00Z")));
    }
}
