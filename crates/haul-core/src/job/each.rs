//! Where in a document its records stand: `.[]`, `.data.items[]`, `."b c"[].files[]`.
//!
//! A document is streamed, so only what can be followed while it passes is taken: members by name and
//! everything in an array or object.

/// One step down into a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EachStep {
    /// The member of that name.
    Field(String),
    /// Every member or element.
    All,
}

/// Reads a path. `.` alone is the document itself.
///
/// # Errors
/// A sentence that shows how to write it.
pub fn parse_each(text: &str) -> Result<Vec<EachStep>, String> {
    let wrong = |what: &str| {
        format!("\"{text}\" {what}: a document is streamed, and takes only .name, .\"any name\" and []")
    };
    let mut rest = text.trim();
    if rest == "." {
        return Ok(Vec::new());
    }
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let after_dot = rest.strip_prefix('.');
        let here = after_dot.unwrap_or(rest);
        if let Some(after) = here.strip_prefix("[]") {
            steps.push(EachStep::All);
            rest = after;
            continue;
        }
        let (Some(here), false) = (after_dot, here.is_empty()) else {
            return Err(wrong("is no path of a document"));
        };
        let (name, after) = match here.strip_prefix('"') {
            Some(quoted) => {
                let end = string_end(quoted).ok_or_else(|| wrong("has a quote that is never closed"))?;
                let name = serde_json::from_str::<String>(&here[..end + 2])
                    .map_err(|_| wrong("has a name that is no JSON string"))?;
                (name, &quoted[end + 1..])
            }
            None => {
                let end = here.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(here.len());
                (here[..end].to_owned(), &here[end..])
            }
        };
        if name.is_empty() {
            return Err(wrong("is no path of a document"));
        }
        steps.push(EachStep::Field(name));
        rest = after;
    }
    if steps.is_empty() { Err(wrong("is empty")) } else { Ok(steps) }
}

/// Where the string ends whose opening quote is passed.
fn string_end(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|b| {
        let end = b == b'"' && !escaped;
        escaped = b == b'\\' && !escaped;
        end
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_members_and_everything() {
        let field = |name: &str| EachStep::Field(name.to_owned());
        for (text, steps) in [
            (".", vec![]),
            (".[]", vec![EachStep::All]),
            ("[]", vec![EachStep::All]),
            (".data.items[]", vec![field("data"), field("items"), EachStep::All]),
            (" .\"b \\\"c\\\"\"[][] ", vec![field("b \"c\""), EachStep::All, EachStep::All]),
            (".\"x\".[].größe", vec![field("x"), EachStep::All, field("größe")]),
        ] {
            assert_eq!(parse_each(text).as_deref(), Ok(&steps[..]), "{text}");
        }
        for text in ["", "data", ".a | .b", ".[0]", ".a[", ".\"a", "..", ".a..b", ".a-b", ".[].", ". a"] {
            assert!(parse_each(text).is_err_and(|e| e.contains("[]")), "{text}");
        }
    }
}
