//! From what was said to what is meant: flags become a job that knows which flag each value came
//! from. Nothing deeper reads a flag.

mod copy;
mod crawl;
mod enrich;
mod get;
mod header;
mod output;
mod pace;
mod service;
mod source;

pub use copy::copy;
pub use crawl::crawl;
pub use enrich::enrich;
pub use get::get;
pub use header::{UrlHeaders, headers_of_url};
pub use pace::overlay;
pub use service::{authority_with_port, find_service, is_name};
pub use source::format_of;

use haul_core::job::{Diagnostic, Job, Place, Places, check, tidy};

/// A job, and where each of its values was said.
#[derive(Clone, Debug)]
pub struct Said {
    /// What to do.
    pub job: Job,
    /// Which flag said it.
    pub places: Places,
}

/// Problems of flags, as they are found.
#[derive(Debug, Default)]
pub struct Problems(Vec<Diagnostic>);

impl Problems {
    /// Adds one about a flag with its value.
    fn add(&mut self, said: impl Into<String>, message: impl Into<String>, hint: impl Into<String>) {
        let hint: String = hint.into();
        let diagnostic = Diagnostic::new(message, Place::Argument(said.into()));
        self.0.push(if hint.is_empty() { diagnostic } else { diagnostic.with_hint(hint) });
    }

    /// As [`Problems::add`], for a flag whose value may hold a secret.
    fn secret(&mut self, said: impl Into<String>, message: impl Into<String>, hint: impl Into<String>) {
        self.add(said, message, hint);
        if let Some(last) = self.0.pop() {
            self.0.push(last.hiding_source());
        }
    }

    /// As [`Problems::add`], for a flag with a URL, which may hold a password.
    fn url(&mut self, said: String, message: impl Into<String>, hint: impl Into<String>) {
        if said.contains('@') {
            self.secret(said, message, hint);
        } else {
            self.add(said, message, hint);
        }
    }

    /// Checks the job as a whole; the problems, if there are any.
    pub fn finish(mut self, job: &Job, places: &Places) -> Result<(), Vec<Diagnostic>> {
        if self.0.is_empty() {
            self.0.extend(check(job).into_iter().map(|p| p.at(places)));
        }
        tidy(&mut self.0);
        if self.0.is_empty() { Ok(()) } else { Err(self.0) }
    }
}
