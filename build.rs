//! Passes the git revision and the version of rustc to the program, as environment variables for
//! `env!`.

use std::path::Path;
use std::process::Command;

fn main() {
    let rustc = std::env::var("RUSTC").expect("cargo sets RUSTC");
    let rust_version = output(&rustc, &["--version"])
        .and_then(|text| Some(text.split_whitespace().nth(1)?.to_owned()));
    let revision = output("git", &["rev-parse", "--short=12", "HEAD"]);
    set("BUILD_RUST_VERSION", rust_version);
    set("BUILD_REVISION", revision);

    println!("cargo::rerun-if-changed=build.rs");
    // Every commit and checkout changes this file. It does not exist in a source archive.
    if let Some(log) = output("git", &["rev-parse", "--git-path", "logs/HEAD"])
        && Path::new(&log).exists()
    {
        println!("cargo::rerun-if-changed={log}");
    }
}

fn set(name: &str, value: Option<String>) {
    let value = value.unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env={name}={value}");
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
