//! Better advice than clap's for common mistakes on the command line.

use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory, Error};

use super::Cli;

/// The subcommand that reads captures.
const ANALYZE: &str = "analyze";

/// Returns clap's command for `analyze`, with the program's name for its usage line.
pub(super) fn analyze_command() -> Command {
    let mut command = Cli::command();
    // Without this, the subcommand's usage line would lack the program's name.
    command.build();
    let analyze = command.find_subcommand(ANALYZE);
    analyze.cloned().unwrap_or(command)
}

/// Replaces clap's advice in two cases: for an option of the other mode, and for a capture file
/// where a subcommand is expected.
pub(super) fn advised(mut error: Error, is_analyze: bool) -> Error {
    let mistake = match error.kind() {
        ErrorKind::UnknownArgument => ContextKind::InvalidArg,
        ErrorKind::InvalidSubcommand => ContextKind::InvalidSubcommand,
        _ => return error,
    };
    let Some(ContextValue::String(typed)) = error.get(mistake).cloned() else {
        return error;
    };
    let (here, there) = if is_analyze {
        (analyze_command(), Cli::command())
    } else {
        (Cli::command(), analyze_command())
    };
    let advice = match mistake {
        ContextKind::InvalidSubcommand if Path::new(&typed).exists() => {
            format!("to read captures, write '{ANALYZE} {typed}'")
        }
        ContextKind::InvalidArg if has_option(&there, &typed) && is_analyze => {
            format!("'{typed}' is for the live exporter, which runs without '{ANALYZE}'")
        }
        ContextKind::InvalidArg if has_option(&there, &typed) => {
            format!("'{typed}' is an option of '{ANALYZE}'")
        }
        _ => return error,
    };
    error.remove(ContextKind::SuggestedArg);
    let advice = ContextValue::StyledStrs(vec![advice.into()]);
    error.insert(ContextKind::Suggested, advice);
    let usage = ContextValue::StyledStr(here.clone().render_usage());
    error.insert(ContextKind::Usage, usage);
    error
}

fn has_option(command: &Command, typed: &str) -> bool {
    let Some(name) = typed.strip_prefix("--") else {
        return false;
    };
    command.get_arguments().any(|argument| {
        let aliases = argument.get_all_aliases().unwrap_or_default();
        argument.get_long() == Some(name) || aliases.contains(&name)
    })
}
