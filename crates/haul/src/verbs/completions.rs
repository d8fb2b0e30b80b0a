//! `haul completions`: what a shell needs to complete verbs and flags.

use clap::Args;
use clap_complete::Shell;

use crate::{cli, exit, output};

/// Which shell.
#[derive(Args, Clone, Copy, Debug)]
#[command(after_help = EXAMPLES)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

const EXAMPLES: &str = "\
Examples:
  haul completions bash > haul.bash
  haul completions zsh > _haul
  haul completions fish > haul.fish

Put the file where the shell looks: ~/.local/share/bash-completion/completions/haul, a directory of zsh's
fpath, ~/.config/fish/completions.";

/// Prints the script.
pub fn run(args: &CompletionsArgs) -> u8 {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut cli::command(), "haul", &mut script);
    output::data(&script);
    exit::DONE
}
