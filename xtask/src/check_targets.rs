//! Checks that the library and the program compile for systems on which nothing is tested. Nothing is
//! linked or run.
//!
//! Debian's Rust checks the standard library from its source, because there are no packages of it for
//! these systems. The C code of dependencies is not compiled: that needs the headers of each system,
//! and its results are only linked.

use std::process::Command;

use crate::project::{root, succeed};
use crate::tools::{self, Tool};

const TRIPLES: [&str; 2] = ["x86_64-unknown-freebsd", "aarch64-apple-darwin"];

const TOOLS: [Tool; 2] = [
    Tool::new("/usr/bin/cargo", "--version", "cargo-web"),
    Tool::new("ls", "/usr/lib/rustlib/src/rust/library", "rust-web-src"),
];

/// # Errors
/// Tools are missing and cannot be installed, or the sources do not compile, or with warnings.
pub(crate) fn run() -> anyhow::Result<()> {
    tools::ensure(&TOOLS)?;
    let mut cargo = Command::new("/usr/bin/cargo");
    cargo
        .current_dir(root())
        .env("RUSTC", "/usr/bin/rustc")
        // Allows -Z.
        .env("RUSTC_BOOTSTRAP", "1")
        .env_remove("RUSTUP_TOOLCHAIN")
        .env("CARGO_BUILD_WARNINGS", "deny")
        .env("CARGO_INCREMENTAL", "0")
        // Only macros and build scripts are built, and they need no debug information.
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        // Build scripts look for Apple's SDK otherwise.
        .env("SDKROOT", "/")
        .args(["check", "-Z", "build-std=std,panic_abort", "-Z", "warnings"])
        .args(["--locked", "--lib", "--bins", "--target-dir"])
        .arg(root().join("target/check-targets"));
    for triple in TRIPLES {
        let name = triple.replace('-', "_");
        cargo
            .args(["--target", triple])
            // true(1) stands for the C compiler and its archiver.
            .env(format!("CC_{name}"), "true")
            .env(format!("AR_{name}"), "true");
    }
    succeed(&mut cargo)
}
