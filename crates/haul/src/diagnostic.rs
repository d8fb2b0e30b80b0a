//! Shows what is wrong with a job: where it was said, with the text around it, and a way out.

use haul_core::job::{Diagnostic, Place, line_column};
use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteDiagnostic, NamedSource, Report};

use crate::{format, output};

/// A job file, for showing its text.
#[derive(Clone, Copy, Debug)]
pub struct File<'a> {
    /// As the person called it.
    pub name: &'a str,
    /// Its contents.
    pub text: &'a str,
}

/// Problems shown at once: more are of one cause.
const SHOWN: usize = 12;

/// Tells all problems on standard error.
pub fn tell_all(found: &[Diagnostic], file: Option<File<'_>>) {
    for diagnostic in found.iter().take(SHOWN) {
        output::tell(&render(diagnostic, file, output::has_colour()));
    }
    if found.len() > SHOWN {
        output::complain(&format!("and {} problems more", format::count((found.len() - SHOWN) as u64)));
    }
}

fn render(diagnostic: &Diagnostic, file: Option<File<'_>>, colour: bool) -> String {
    if let Some(said) = diagnostic.argument() {
        return with_hint(format!("haul: {said}: {}", diagnostic.message), None, diagnostic);
    }
    let Some(file) = file else {
        return with_hint(format!("haul: {}", diagnostic.message), None, diagnostic);
    };
    let Place::File(span) = &diagnostic.place else {
        return with_hint(format!("haul: {}: {}", file.name, diagnostic.message), None, diagnostic);
    };
    let (line, column) = line_column(file.text, span.start);
    let title = format!("haul: {}:{line}:{column}: {}", file.name, diagnostic.message);
    // An excerpt shows the lines around as well, which may be those that hold a secret.
    let excerpt = if diagnostic.hide_source { None } else { excerpt(span.clone(), file, colour) };
    with_hint(title, excerpt, diagnostic)
}

fn with_hint(title: String, excerpt: Option<String>, diagnostic: &Diagnostic) -> String {
    let mut text = title;
    if let Some(excerpt) = excerpt.filter(|e| !e.is_empty()) {
        text.push('\n');
        text.push_str(&excerpt);
    }
    if let Some(hint) = &diagnostic.hint {
        text.push_str("\n  hint: ");
        text.push_str(hint);
    }
    text
}

/// The lines around a span, marked.
fn excerpt(span: std::ops::Range<usize>, file: File<'_>, colour: bool) -> Option<String> {
    let theme = if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler = GraphicalReportHandler::new_themed(theme).with_links(false).with_context_lines(1);
    let marked = MietteDiagnostic::new("").with_label(LabeledSpan::underline(span));
    let report = Report::new(marked).with_source_code(NamedSource::new(file.name, file.text.to_owned()));
    let mut text = String::new();
    handler.render_report(&mut text, report.as_ref()).ok()?;
    // The first lines are the empty title and the place, which the message says already.
    let body: Vec<&str> = text.lines().skip_while(|l| !l.contains('│')).collect();
    Some(body.iter().filter(|l| !l.trim().is_empty()).copied().collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_shown_with_the_place_marked() {
        let text = "haul = 1\n[limits]\nconcurency = 4\nmemory = \"12MiB\"\n";
        let found =
            Diagnostic::new("unknown key \"concurency\"", Place::File(18..28)).with_hint("did you mean it?");
        let shown = render(&found, Some(File { name: "a.toml", text }), false);
        let wanted = "\
haul: a.toml:3:1: unknown key \"concurency\"
 2 │ [limits]
 3 │ concurency = 4
   · ──────────
 4 │ memory = \"12MiB\"
   ╰────
  hint: did you mean it?";
        assert_eq!(shown, wanted);
    }

    #[test]
    fn a_secret_is_not_shown() {
        let found = Diagnostic::new("no", Place::File(0..4)).hiding_source();
        let shown = render(&found, Some(File { name: "a.toml", text: "abcd" }), false);
        assert_eq!(shown, "haul: a.toml:1:1: no");
    }
}
