//! Checks an image as a container engine would use it: every digest, the configuration, and the
//! program in its root directory.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};

use super::{Image, PROGRAM, USER, sha256};
use crate::dist::pack::version;
use crate::dist::{Program, create};
use crate::project::{root, succeed};

/// Writes the image of a static program twice, compares both, unpacks one and runs the program as
/// its configuration says: see run.sh. Needs root. `emulator` is the name of the program that runs
/// it, if it is for another processor.
pub(in crate::dist) fn check(
    program: &Program,
    emulator: Option<&str>,
    directory: &Path,
) -> anyhow::Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory)?;
    }
    create(directory)?;
    let stripped = program.stripped(directory)?;
    let image = Image {
        program: &stripped,
        version: &version()?,
        time: "1700000000",
    };
    let mut archives = Vec::new();
    for name in ["first", "again"] {
        let out = directory.join(name);
        let stage = out.join("stage");
        create(&stage)?;
        archives.push(image.write(&out, &stage)?);
    }
    let [first, again] = &archives[..] else {
        bail!("two archives were written");
    };
    ensure!(
        fs::read(first)? == fs::read(again)?,
        "{} and {} differ",
        first.display(),
        again.display()
    );

    let layout = directory.join("layout");
    unpack(first, &layout)?;
    let config = check_layout(&layout)?;
    ensure!(config["created"] == "2023-11-14T22:13:20Z", "{config}");
    let layer = config["rootfs"]["diff_ids"][0].as_str();
    let layer = layer.context("the image has a layer")?.replace(':', "/");
    let inside = directory.join("root");
    unpack(&layout.join("blobs").join(layer), &inside)?;
    ensure!(files(&inside)? == [PROGRAM], "{:?}", files(&inside)?);
    succeed(
        Command::new("unshare")
            .args([
                "--net",
                "--pid",
                "--mount-proc",
                "--fork",
                "--kill-child",
                "sh",
            ])
            .arg(root().join("xtask/src/dist/image/run.sh"))
            .arg(&inside)
            .arg(USER.replace(':', " "))
            .args(emulator),
    )
}

/// Checks that both indexes lead to the same files, which have the sizes and digests that are
/// stated. Returns the configuration.
fn check_layout(layout: &Path) -> anyhow::Result<Value> {
    let read = |name: &str| -> anyhow::Result<Value> {
        let text = fs::read(layout.join(name)).with_context(|| format!("reading {name}"))?;
        Ok(serde_json::from_slice(&text)?)
    };
    let blob = |descriptor: &Value| -> anyhow::Result<String> {
        let digest = descriptor["digest"].as_str().context("a digest")?;
        let path = format!("blobs/{}", digest.replace(':', "/"));
        let sum = sha256(&layout.join(&path))?;
        ensure!(digest == format!("sha256:{sum}"), "{path}");
        let size = fs::metadata(layout.join(&path))?.len();
        ensure!(descriptor["size"] == size, "{path} has {size} bytes");
        Ok(path)
    };
    let version = read("oci-layout")?;
    ensure!(version == json!({"imageLayoutVersion": "1.0.0"}));
    let manifest = read(&blob(&read("index.json")?["manifests"][0])?)?;
    let config = blob(&manifest["config"])?;
    let layer = blob(&manifest["layers"][0])?;
    let docker = &read("manifest.json")?[0];
    ensure!(docker["Config"] == config.as_str(), "{docker}");
    ensure!(docker["Layers"] == json!([layer]), "{docker}");
    let entries = fs::read_dir(layout.join("blobs/sha256"))?.count();
    ensure!(entries == 3, "{entries} blobs");

    let config = read(&config)?;
    let run = &config["config"];
    ensure!(run["User"] == USER && run["Entrypoint"] == json!([PROGRAM]));
    ensure!(run["Healthcheck"]["Test"] == json!(["CMD", PROGRAM, "healthcheck"]));
    ensure!(run["ExposedPorts"] == json!({"9184/tcp": {}, "37008/udp": {}}));
    Ok(config)
}

fn unpack(archive: &Path, directory: &Path) -> anyhow::Result<()> {
    create(directory)?;
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--same-permissions", "--file"]);
    succeed(tar.arg(archive).arg("--directory").arg(directory))
}

/// Returns the paths of all files in a directory, as seen from inside.
fn files(directory: &Path) -> anyhow::Result<Vec<String>> {
    let mut find = Command::new("find");
    let found = find.arg(directory).args(["-type", "f", "-printf", "/%P\n"]);
    let found = super::stdout_of(found)?;
    Ok(found.lines().map(str::to_owned).collect())
}
