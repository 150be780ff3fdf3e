//! The manual pages and completions in contrib agree with the command line. With
//! INSTA_UPDATE=always, as for snapshots, they are regenerated.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process;

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use tempfile::TempDir;

use tzsp_packetstream_exporter::cli::Cli;

use crate::support::tool;

const NAME: &str = "tzsp_packetstream_exporter";

fn contrib() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib")
}

/// The command line without hidden subcommands, which completions would offer.
fn visible() -> Command {
    let command = Cli::command();
    let subcommands = command.get_subcommands().cloned();
    Command::new(NAME)
        .args(command.get_arguments().cloned())
        .subcommands(subcommands.filter(|subcommand| !subcommand.is_hide_set()))
}

/// The files of a directory, by name.
fn files(directory: &Path) -> BTreeMap<String, String> {
    let Ok(entries) = directory.read_dir() else {
        return BTreeMap::new();
    };
    let files = entries.map(|entry| {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, fs::read_to_string(path).unwrap())
    });
    files.collect()
}

#[track_caller]
fn check(kind: &str, fresh: &Path) {
    let directory = contrib().join(kind);
    let fresh = files(fresh);
    if std::env::var_os("INSTA_UPDATE").is_some_and(|update| update == "always") {
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).unwrap();
        for (name, text) in &fresh {
            fs::write(directory.join(name), text).unwrap();
        }
    }
    let there = files(&directory);
    let names = |files: &BTreeMap<String, String>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&there), names(&fresh));
    for (name, text) in fresh {
        assert!(
            there[&name] == text,
            "contrib/{kind}/{name} is stale: INSTA_UPDATE=always cargo test --test it -- manual::"
        );
    }
}

#[test]
fn manual_pages_match_the_command_line() {
    let fresh = TempDir::new().unwrap();
    clap_mangen::generate_to(Cli::command().name(NAME), &fresh).unwrap();
    check("man", fresh.path());
}

#[test]
fn completions_match_the_command_line() {
    let fresh = TempDir::new().unwrap();
    for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
        clap_complete::generate_to(shell, &mut visible(), NAME, fresh.path()).unwrap();
    }
    check("completions", fresh.path());
}

#[test]
fn bash_completes_options_and_their_values() {
    let complete = |words: &[&str]| {
        let script = contrib().join("completions").join(format!("{NAME}.bash"));
        let words = words.join(" ");
        let script = format!(
            "source {}; COMP_WORDS=({NAME} {words}); COMP_CWORD=$(({} - 1)); \
             _{NAME} {NAME} \"${{COMP_WORDS[COMP_CWORD]}}\" \
             \"${{COMP_WORDS[COMP_CWORD-1]}}\"; echo \"${{COMPREPLY[@]}}\"",
            script.display(),
            words.split_whitespace().count() + 1
        );
        tool(process::Command::new("bash").args(["--norc", "-c", &script]))
    };
    assert_eq!(complete(&["--interf"]), "--interface\n");
    assert_eq!(complete(&["--log-format", "j"]), "json\n");
    assert_eq!(complete(&["ana"]), "analyze\n");
    assert_eq!(complete(&["analyze", "--format", "op"]), "openmetrics\n");
}

#[test]
fn man_renders_the_manual_pages() {
    for page in files(&contrib().join("man")).keys() {
        let page = contrib().join("man").join(page);
        let shown = tool(
            process::Command::new("man")
                .arg("--local-file")
                .arg(&page)
                .env("MANWIDTH", "80"),
        );
        assert!(shown.contains("--listen-port"), "{shown}");
    }
}
