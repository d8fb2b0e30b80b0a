//! How many files this process may have open.

/// A thousand requests in flight, or a thousand small files on their way to their commit, need more than the usual
/// 1,024.
pub fn raise() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        // Refused: connections beyond the limit wait, and files get a name at once.
        let _ = setrlimit(Resource::Nofile, limit);
    }
}
