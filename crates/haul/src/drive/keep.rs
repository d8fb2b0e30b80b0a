//! What a process that knows secrets does not leave behind.

/// From now on this process leaves no core file, and no other process of the user may look into its
/// memory. Where the system does not know that, nothing is done.
pub fn secrets_safe() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, setrlimit};
        let none = Rlimit { current: Some(0), maximum: Some(0) };
        // A limit can always be lowered.
        let _ = setrlimit(Resource::Core, none);
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}
