//! What may not be shown: the values of signature and token parameters in URLs, and secrets that a
//! service echoes.

use std::borrow::Cow;

/// Query parameters (lower case) whose values are credentials or signatures.
const SECRET_PARAMETERS: &[&str] = &[
    "access_key",
    "access_token",
    "accesskey",
    "api-key",
    "api_key",
    "apikey",
    "auth",
    "authorization",
    "awsaccesskeyid",
    "client_secret",
    "id_token",
    "jwt",
    "key",
    "key-pair-id",
    "passwd",
    "password",
    "policy",
    "pwd",
    "refresh_token",
    "secret",
    "session",
    "sig",
    "signature",
    "token",
    "x-amz-credential",
    "x-amz-security-token",
    "x-amz-signature",
    "x-goog-credential",
    "x-goog-signature",
    "x-oss-signature",
];

/// A text with URLs in it, the values of secret parameters and any user info replaced by `***`.
pub fn redact(text: &str) -> Cow<'_, str> {
    let has_query = text.contains(['?', '&', ';']);
    if !has_query && !text.contains('@') {
        return Cow::Borrowed(text);
    }
    let text = redact_user_info(text);
    if !has_query {
        return text;
    }
    let mut out = String::new();
    let mut copied = 0;
    let mut from = 0;
    while let Some(at) = text[from..].find(['?', '&', ';']) {
        let name_start = from + at + 1;
        from = name_start;
        let rest = &text[name_start..];
        let name_len = rest.find(|c: char| !is_name(c)).unwrap_or(rest.len());
        if !rest[name_len..].starts_with('=') || !is_secret(&rest[..name_len]) {
            continue;
        }
        let value_start = name_start + name_len + 1;
        let value = &text[value_start..];
        let ends = |c: char| matches!(c, '&' | ';' | '#' | '"' | '\'' | '<' | '>') || c.is_whitespace();
        let value_len = value.find(ends).unwrap_or(value.len());
        out.push_str(&text[copied..value_start]);
        out.push_str("***");
        copied = value_start + value_len;
        from = copied;
    }
    if copied == 0 {
        return text;
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}

/// Replaces each of `secrets` in a text that came from outside (a service may echo a header).
/// Values shorter than four characters are left: they would hit ordinary words.
pub fn scrub(text: &mut String, secrets: &[&str]) {
    for secret in secrets {
        for part in std::iter::once(*secret).chain(secret.split_ascii_whitespace()) {
            let is_scheme = ["bearer", "basic", "token", "apikey"].contains(&&*part.to_ascii_lowercase());
            if part.len() >= 4 && !is_scheme && text.contains(part) {
                *text = text.replace(part, "***");
            }
        }
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '%' | '~' | '[' | ']')
}

fn is_secret(name: &str) -> bool {
    SECRET_PARAMETERS.iter().any(|secret| name.eq_ignore_ascii_case(secret))
}

/// `scheme://user:password@` becomes `scheme://***@`.
fn redact_user_info(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut copied = 0;
    let mut from = 0;
    while let Some(at) = text[from..].find("://") {
        let start = from + at + 3;
        from = start;
        let rest = &text[start..];
        let ends = |c: char| matches!(c, '/' | '?' | '#' | '"') || c.is_whitespace();
        let authority = &rest[..rest.find(ends).unwrap_or(rest.len())];
        if let Some(user_len) = authority.rfind('@') {
            out.push_str(&text[copied..start]);
            out.push_str("***");
            copied = start + user_len;
            from = copied;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_secret_parameters_are_hidden_and_nothing_else() {
        let shown = |t: &'static str| redact(t).into_owned();
        assert_eq!(
            shown("https://b/k?X-Amz-Date=1&X-Amz-Signature=abc&x-amz-credential=c%2Fd"),
            "https://b/k?X-Amz-Date=1&X-Amz-Signature=***&x-amz-credential=***"
        );
        assert_eq!(
            shown("see http://a/?token=t1 and http://b/?TOKEN=t2"),
            "see http://a/?token=*** and http://b/?TOKEN=***"
        );
        assert_eq!(shown("http://a/?monkey=1&page_token_count=2"), "http://a/?monkey=1&page_token_count=2");
        assert_eq!(shown("http://a/?api_key="), "http://a/?api_key=***");
        assert_eq!(shown("plain"), "plain");
    }

    #[test]
    fn user_info_is_hidden() {
        assert_eq!(redact("x http://u:p@h/ y https://v@i z"), "x http://***@h/ y https://***@i z");
        assert_eq!(redact("mail a@b"), "mail a@b");
    }

    #[test]
    fn echoed_secrets_are_hidden() {
        let mut t = String::from("bad token 'Bearer s3cr3t' (s3cr3t)");
        scrub(&mut t, &["Bearer s3cr3t"]);
        assert!(!t.contains("s3cr3t"), "{t}");
        let mut t = String::from("a token is needed");
        scrub(&mut t, &["a", "Bearer xyz9"]);
        assert_eq!(t, "a token is needed");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_taken(text in "\\PC{0,80}", value in "[a-z0-9]{6,12}") {
            let _ = redact(&text);
            let with = format!("{text} http://h/?sig={value}");
            let shown = redact(&with);
            let value = format!("sig={value}");
            proptest::prop_assert!(!shown.contains(&value));
        }
    }
}
