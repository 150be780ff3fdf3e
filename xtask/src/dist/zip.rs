//! Zip archives, for Windows. The same files always give the same bytes.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use crate::project::succeed;

/// Writes the directory `name` in `parent` to an archive. Names are sorted, and times and modes are
/// fixed, so that the bytes are the same on every machine. `time` is in seconds since the Unix epoch.
pub(super) fn write(parent: &Path, name: &str, archive: &Path, time: &str) -> anyhow::Result<()> {
    let names = entries(parent, name)?;
    succeed(
        Command::new("chmod")
            .current_dir(parent)
            .args(["--recursive", "u=rwX,go=rX", name]),
    )?;
    succeed(
        Command::new("touch")
            .current_dir(parent)
            .arg(format!("--date=@{time}"))
            .args(&names),
    )?;
    let mut zip = Command::new("zip");
    // Without extra fields (-X), which have user ids and the time of access. Names come from
    // standard input (-@).
    zip.args(["--quiet", "-9", "-X", "-@"])
        .arg(archive)
        .current_dir(parent)
        // Archives have local times.
        .env("TZ", "UTC")
        .env_remove("ZIPOPT")
        .stdin(Stdio::piped());
    let mut child = zip
        .spawn()
        .context("cannot run zip: install the package zip")?;
    let mut input = child.stdin.take().context("standard input is piped")?;
    for name in &names {
        writeln!(input, "{name}").context("naming files to zip")?;
    }
    drop(input);
    let status = child.wait()?;
    ensure!(status.success(), "{zip:?} ended with {status}");
    Ok(())
}

/// Returns the names of all files in the directory `name` of `parent`, sorted by their bytes. Each
/// begins with `name`.
fn entries(parent: &Path, name: &str) -> anyhow::Result<Vec<String>> {
    let mut directories = vec![name.to_owned()];
    let mut found = Vec::new();
    while let Some(directory) = directories.pop() {
        let path = parent.join(&directory);
        let entries = fs::read_dir(&path).with_context(|| format!("reading {}", path.display()))?;
        for entry in entries {
            let entry = entry?;
            let file = entry.file_name();
            let file = file.to_str().context("names of files are text")?;
            let name = format!("{directory}/{file}");
            if entry.file_type()?.is_dir() {
                directories.push(name);
            } else {
                found.push(name);
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_files_with_their_path_in_the_order_of_bytes() {
        let parent = tempfile::tempdir().expect("there is room");
        for name in ["p/docs/a.md", "p/docs/sub/b.md", "p/README.md", "p/p.exe"] {
            let path = parent.path().join(name);
            fs::create_dir_all(path.parent().expect("it has one")).expect("it is created");
            fs::write(path, "").expect("it is written");
        }
        fs::write(parent.path().join("other"), "").expect("it is written");
        let found = entries(parent.path(), "p").expect("all can be read");
        assert_eq!(
            found,
            ["p/README.md", "p/docs/a.md", "p/docs/sub/b.md", "p/p.exe"]
        );
    }
}
