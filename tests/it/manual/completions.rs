//! Completions for shells, generated from the command line. clap knows options and fixed values;
//! names of interfaces and sources of names are added here.

use clap::builder::ValueHint;
use clap::{Arg, Command, CommandFactory};
use clap_complete::Shell;

use tzsp_packetstream_exporter::cli::Cli;

use super::NAME;

/// The file names and scripts of all shells.
pub(super) fn scripts() -> [(String, String); 3] {
    [Shell::Bash, Shell::Fish, Shell::Zsh].map(|shell| {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut command(), NAME, &mut script);
        let script = String::from_utf8(script).unwrap();
        let file = match shell {
            Shell::Zsh => format!("_{NAME}"),
            shell => format!("{NAME}.{shell}"),
        };
        (file, with_own_values(shell, script))
    })
}

/// The command line with values that the shells can complete.
fn command() -> Command {
    let command = Cli::command();
    // Without hidden subcommands, which completions would offer.
    let subcommands = command.get_subcommands().cloned();
    Command::new(NAME)
        .args(command.get_arguments().cloned())
        .subcommands(subcommands.filter(|subcommand| !subcommand.is_hide_set()))
        .mut_args(without_files)
        .mut_arg("interfaces", |arg| arg.value_parser(["any", INTERFACES]))
        .mut_arg("names", |arg| arg.value_parser(NAMES))
        .mut_subcommands(|subcommand| subcommand.mut_args(without_files))
        .mut_subcommand("analyze", |analyze| {
            analyze.mut_arg("names", |arg| arg.value_parser(NAMES_OF_ANALYZE))
        })
}

const NAMES: [&str; 5] = ["dhcp", "dns", "resolve", "hosts=", "leases="];
const NAMES_OF_ANALYZE: [&str; 4] = ["dhcp", "dns", "hosts=", "leases="];
/// Stands for the names of all interfaces.
const INTERFACES: &str = "ALL_INTERFACES";

/// Keeps shells from offering files for values of which nothing is known. Paths are known.
fn without_files(arg: Arg) -> Arg {
    if arg.get_value_hint() == ValueHint::Unknown && arg.get_action().takes_values() {
        return arg.value_hint(ValueHint::Other);
    }
    arg
}

/// Replaces the generated test for a subcommand by one that works. clap's passes all options to
/// fish's `argparse`, which refuses names with dots, and options whose value is being typed. Here, a
/// subcommand can only be the first word.
#[track_caller]
fn with_own_subcommands(script: &str) -> String {
    let function = format!("function __fish_{NAME}_using_subcommand");
    let (_, rest) = script.split_once(&function).unwrap();
    assert!(rest.contains(&format!("-n \"__fish_{NAME}_needs_command\"")));
    let mut command = command();
    command.build();
    let names = command.get_subcommands().map(Command::get_name);
    let names: Vec<_> = names.collect();
    format!(
        "function __fish_{NAME}_needs_command
    set -l words (commandline -opc)
    if contains -- \"$words[2]\" {}
        echo $words[2]
        return 1
    end
end

{function}{rest}",
        names.join(" ")
    )
}

/// Puts commands and patterns into a generated script where its shell needs more than fixed words.
#[track_caller]
fn with_own_values(shell: Shell, script: String) -> String {
    let script = match shell {
        Shell::Fish => with_own_subcommands(&script),
        _ => script,
    };
    let replacements = match shell {
        Shell::Bash => vec![(INTERFACES.to_owned(), "$(ls /sys/class/net 2>/dev/null)")],
        // Files are completed behind the equals sign.
        Shell::Fish => vec![
            (
                format!("{INTERFACES}\\t''"),
                "(ls /sys/class/net 2>/dev/null)",
            ),
            (" -r -f -a \"dhcp".to_owned(), " -r -F -a \"dhcp"),
        ],
        _ => vec![
            (
                format!("(any {INTERFACES})"),
                "{compadd any $(ls /sys/class/net 2>/dev/null)}",
            ),
            (
                format!("({})", NAMES.join(" ")),
                "{_values source dhcp dns resolve hosts\\:file\\:_files leases\\:file\\:_files}",
            ),
            (
                format!("({})", NAMES_OF_ANALYZE.join(" ")),
                "{_values source dhcp dns hosts\\:file\\:_files leases\\:file\\:_files}",
            ),
        ],
    };
    replacements.into_iter().fold(script, |script, (from, to)| {
        assert!(script.contains(&from), "{shell}: {from}");
        script.replace(&from, to)
    })
}
