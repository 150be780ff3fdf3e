//! The manual pages and completions in contrib agree with the command line, and work. With
//! INSTA_UPDATE=always, as for snapshots, they are regenerated.

mod completions;
mod pages;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process;

use tempfile::TempDir;

use crate::support::tool;

const NAME: &str = "tzsp_packetstream_exporter";

fn contrib() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib")
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
fn check(kind: &str, fresh: impl IntoIterator<Item = (String, String)>) {
    let directory = contrib().join(kind);
    let fresh: BTreeMap<_, _> = fresh.into_iter().collect();
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
    check("man", pages::pages());
}

#[test]
fn completions_match_the_command_line() {
    check("completions", completions::scripts());
}

#[test]
fn man_renders_the_manual_pages_without_warnings() {
    let pages = pages::pages();
    assert_eq!(pages.len(), 3);
    let directory = TempDir::new().unwrap();
    for (name, text) in pages {
        let page = directory.path().join(name);
        fs::write(&page, text).unwrap();
        let mut man = process::Command::new("man");
        man.args(["--local-file", "--warnings"]).arg(&page);
        let output = man.env("MANWIDTH", "80").output();
        let output = output.expect("man is missing; `cargo xtask ci` installs it");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        let shown = String::from_utf8(output.stdout).unwrap();
        let headings: Vec<_> = shown
            .lines()
            .filter(|line| line.starts_with(|first: char| first.is_ascii_uppercase()))
            .filter(|line| {
                line.chars()
                    .all(|letter| letter.is_ascii_uppercase() || letter == ' ')
            })
            .filter(|line| *line != "SUBCOMMANDS")
            .collect();
        let expected = [
            "NAME",
            "SYNOPSIS",
            "DESCRIPTION",
            "OPTIONS",
            "EXIT STATUS",
            "SIGNALS",
            "FILES",
            "EXAMPLES",
            "SEE ALSO",
        ];
        assert_eq!(headings, expected, "{shown}");
    }
}

/// The examples of the manual pages are valid command lines, but for files and interfaces that do
/// not exist.
#[test]
fn examples_in_the_manual_pages_are_valid() {
    let mut checked = 0;
    for (_, text) in pages::pages() {
        for example in text.split("\n.EX\n").skip(1) {
            let example = example.split("\n.EE").next().unwrap().replace('\\', "");
            let (_, options) = example.rsplit_once(NAME).unwrap();
            let options = options.split_whitespace();
            let task = tzsp_packetstream_exporter::cli::task(
                std::iter::once(NAME).chain(options).map(Into::into),
            );
            task.unwrap_or_else(|error| panic!("{example}: {error}"));
            checked += 1;
        }
    }
    assert_eq!(checked, 8);
}

/// A file, as the beginning of its path and the whole.
const FILE: [&str; 2] = [
    concat!(env!("CARGO_MANIFEST_DIR"), "/LICENS"),
    concat!(env!("CARGO_MANIFEST_DIR"), "/LICENSE"),
];

/// The words that bash offers.
#[track_caller]
fn bash(words: &[&str]) -> Vec<String> {
    let script = contrib().join("completions").join(format!("{NAME}.bash"));
    let script = format!(
        "compopt() {{ :; }}; source {}; COMP_WORDS=({NAME} \"$@\"); COMP_CWORD=$#; \
         _{NAME} {NAME} \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"; \
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        script.display(),
    );
    let mut bash = process::Command::new("bash");
    let printed = tool(bash.args(["--norc", "-c", &script, "bash"]).args(words));
    printed.lines().map(str::to_owned).collect()
}

/// The words that fish offers for the last of these words, without their descriptions.
#[track_caller]
fn fish(line: &str) -> Vec<String> {
    let script = contrib().join("completions").join(format!("{NAME}.fish"));
    let script = format!(
        "source {}; complete --do-complete '{NAME} {line}'",
        script.display()
    );
    let home = TempDir::new().unwrap();
    let mut fish = process::Command::new("fish");
    fish.args(["--no-config", "-c", &script]);
    let printed = tool(fish.env("HOME", home.path()).current_dir("/"));
    let words = printed.lines().map(|line| line.split('\t').next().unwrap());
    words.map(str::to_owned).collect()
}

/// The arguments after zsh completed the last of these words.
#[track_caller]
fn zsh(line: &str) -> String {
    let setup = format!(
        "fpath=({} $fpath); autoload -Uz compinit; compinit -u -D; unsetopt beep\n\
         {NAME}() {{ print -r -- \"<<$*>>\"; }}\ncompdef _{NAME} {NAME}\nPROMPT=\n",
        contrib().join("completions").display()
    );
    typed("zsh -f -i", &setup, line)
}

/// The same in bash. The function [`bash`] is faster, but completes no files.
#[track_caller]
fn bash_typed(line: &str) -> String {
    let script = contrib().join("completions").join(format!("{NAME}.bash"));
    let setup = format!(
        "source {}\n{NAME}() {{ printf '<<%s>>\\n' \"$*\"; }}\n",
        script.display()
    );
    typed("bash --norc --noprofile -i", &setup, line)
}

/// The arguments after a shell completed the last of these words: typed on a terminal, followed by the
/// tabulator and Enter. `setup` makes the program print its arguments between `<<` and `>>`.
#[track_caller]
fn typed(shell: &str, setup: &str, line: &str) -> String {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("setup"), setup).unwrap();
    let script = format!(
        "zmodload zsh/zpty; zpty shell {shell}; zpty -w shell 'source ./setup; cd /'; \
         zpty -w shell $'{NAME} {line}\\t'; zpty -r shell shown $'*<<*>>*'; print -r -- $shown"
    );
    let mut zsh = process::Command::new("zsh");
    zsh.args(["-f", "-c", &script])
        .current_dir(directory.path());
    let shown = tool(zsh.env("TERM", "dumb").env("HOME", directory.path()));
    let (_, completed) = shown.rsplit_once("<<").unwrap();
    completed.split_once(">>").unwrap().0.to_owned()
}

/// An interface of this machine, and a beginning that only its name has.
fn interface() -> (String, String) {
    let entries = fs::read_dir("/sys/class/net").unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names: Vec<_> = names.chain(["any".to_owned()]).collect();
    let mut unique = names.iter().flat_map(|name| {
        let beginnings = (1..name.len()).map(|length| &name[..length]);
        beginnings.map(move |beginning| (name.clone(), beginning.to_owned()))
    });
    let unique = unique.find(|(name, beginning)| {
        let alike = names.iter().filter(|other| other.starts_with(beginning));
        name != "any" && alike.count() == 1
    });
    unique.expect("there is lo")
}

#[test]
fn bash_completes_options_and_their_values() {
    assert_eq!(bash(&["--interf"]), ["--interface"]);
    assert_eq!(bash(&["--log-format", "j"]), ["json"]);
    assert_eq!(bash(&["ana"]), ["analyze"]);
    assert_eq!(bash(&["analyze", "--format", "op"]), ["openmetrics"]);
    assert_eq!(bash(&["healthcheck", "--u"]), ["--url"]);
    let (name, beginning) = interface();
    assert_eq!(bash(&["--interface", &beginning]), [name]);
    assert_eq!(bash(&["--interface", "an"]), ["any"]);
    assert_eq!(bash(&["--names", "h"]), ["hosts="]);
    assert_eq!(bash(&["--names", "r"]), ["resolve"]);
    let [beginning, file] = FILE;
    assert_eq!(bash(&["--web.config.file", beginning]), [file]);
    // No file, although one begins like this.
    assert_eq!(bash(&["--snaplen", beginning]), [beginning]);
    for option in ["--names hosts=", "--geo-database ", "analyze "] {
        let [beginning, file] = FILE.map(|path| format!("{option}{path}"));
        assert_eq!(bash_typed(&beginning), file);
    }
}

#[test]
fn fish_completes_options_and_their_values() {
    assert_eq!(fish("--interf"), ["--interface"]);
    assert_eq!(fish("--log-format j"), ["json"]);
    assert_eq!(fish("ana"), ["analyze"]);
    assert_eq!(fish("analyze --format op"), ["openmetrics"]);
    assert_eq!(fish("healthcheck --u"), ["--url"]);
    let (name, beginning) = interface();
    assert_eq!(fish(&format!("--interface {beginning}")), [name]);
    assert_eq!(fish("--interface an"), ["any"]);
    assert_eq!(fish("--names dh"), ["dhcp"]);
    let [beginning, file] = FILE;
    let names = format!("--names hosts={beginning}");
    assert_eq!(fish(&names), [format!("hosts={file}")]);
    assert_eq!(fish(&format!("--web.config.file {beginning}")), [file]);
    // Options with a dot do not hide those behind them.
    assert_eq!(fish("--web.config.file x --interf"), ["--interface"]);
    assert!(fish(&format!("--snaplen {beginning}")).is_empty());
    assert_eq!(fish(&format!("analyze {beginning}")), [file]);
}

#[test]
fn zsh_completes_options_and_their_values() {
    assert_eq!(zsh("--interf"), "--interface");
    assert_eq!(zsh("--log-format j"), "--log-format json");
    assert_eq!(zsh("ana"), "analyze");
    assert_eq!(zsh("analyze --format op"), "analyze --format openmetrics");
    assert_eq!(zsh("healthcheck --u"), "healthcheck --url");
    let (name, beginning) = interface();
    assert_eq!(
        zsh(&format!("--interface {beginning}")),
        format!("--interface {name}")
    );
    assert_eq!(zsh("--interface an"), "--interface any");
    assert_eq!(zsh("--names dh"), "--names dhcp");
    for option in ["--names hosts=", "--web.config.file ", "analyze "] {
        let [beginning, file] = FILE.map(|path| format!("{option}{path}"));
        assert_eq!(zsh(&beginning), file);
    }
    let [beginning, _] = FILE.map(|path| format!("--snaplen {path}"));
    assert_eq!(zsh(&beginning), beginning);
}
