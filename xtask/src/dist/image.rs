//! Container images with one static program and nothing else, made of plain files. The same program
//! always gives the same bytes.
//!
//! The archive has two indexes of the same blobs: that of an OCI image layout
//! (<https://github.com/opencontainers/image-spec/blob/main/image-layout.md>), and `manifest.json`,
//! which `docker load` reads in all versions, and RouterOS. RouterOS also requires a single layer
//! without compression.

mod check;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::pack::normalized_tar;
use super::{NAME, create, stdout_of};
use crate::project::succeed;

pub(super) use check::check;

/// The path of the program in the image.
const PROGRAM: &str = "/usr/bin/tzsp_packetstream_exporter";
/// The user and the group of images without accounts, as in Google's distroless images.
const USER: &str = "65532:65532";
const TAG: &str = "tzsp-packetstream-exporter";

/// What an image is made of.
pub(super) struct Image<'a> {
    /// A static program, stripped.
    pub(super) program: &'a Path,
    pub(super) version: &'a str,
    /// In seconds since the Unix epoch.
    pub(super) time: &'a str,
}

/// A platform in the words of the OCI image specification.
struct Platform {
    architecture: &'static str,
    variant: Option<&'static str>,
}

impl Image<'_> {
    /// Writes the archive to the directory `out`, and returns its path. `stage` is an empty
    /// directory for intermediate files.
    pub(super) fn write(&self, out: &Path, stage: &Path) -> anyhow::Result<PathBuf> {
        let platform = platform(self.program)?;
        let layer = self.layer(stage)?;
        let layout = stage.join("layout");
        let mut blobs = Blobs::new(&layout)?;

        let layer = blobs.add(&fs::read(layer)?, "application/vnd.oci.image.layer.v1.tar")?;
        let created = stdout_of(
            Command::new("date")
                .args(["--utc", "+%Y-%m-%dT%H:%M:%SZ", "--date"])
                .arg(format!("@{}", self.time)),
        )?;
        let config = self.config(&platform, created.trim(), &layer.digest);
        let config = blobs.add(&text(&config)?, "application/vnd.oci.image.config.v1+json")?;
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": config.descriptor(),
            "layers": [layer.descriptor()],
        });
        let manifest = blobs.add(&text(&manifest)?, media_type)?;

        let write = |name: &str, content: &Value| -> anyhow::Result<()> {
            let path = layout.join(name);
            fs::write(&path, text(content)?).with_context(|| format!("writing {}", path.display()))
        };
        let tag = format!("{TAG}:{}", self.version);
        let mut entry = manifest.descriptor();
        entry["platform"] = json!({"os": "linux", "architecture": platform.architecture});
        if let Some(variant) = platform.variant {
            entry["platform"]["variant"] = json!(variant);
        }
        entry["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
        write("oci-layout", &json!({"imageLayoutVersion": "1.0.0"}))?;
        write(
            "index.json",
            &json!({
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.index.v1+json",
                "manifests": [entry],
            }),
        )?;
        write(
            "manifest.json",
            &json!([{
                "Config": config.path(),
                "RepoTags": [tag],
                "Layers": [layer.path()],
            }]),
        )?;

        let Platform {
            architecture,
            variant,
        } = platform;
        let variant = variant.unwrap_or_default();
        let name = format!(
            "{NAME}-{}-linux-{architecture}{variant}.oci.tar",
            self.version
        );
        let archive = out.join(name);
        let entries = ["oci-layout", "index.json", "manifest.json", "blobs"];
        let mut tar = normalized_tar(&archive, self.time);
        succeed(tar.arg("--directory").arg(&layout).args(entries))?;
        Ok(archive)
    }

    /// Writes the only layer: the program.
    fn layer(&self, stage: &Path) -> anyhow::Result<PathBuf> {
        let root = stage.join("root");
        let program = root.join(PROGRAM.trim_start_matches('/'));
        create(program.parent().context("the program is in a directory")?)?;
        fs::copy(self.program, &program)
            .with_context(|| format!("copying {}", self.program.display()))?;
        let layer = stage.join("layer.tar");
        let mut tar = normalized_tar(&layer, self.time);
        succeed(tar.arg("--directory").arg(&root).arg("usr"))?;
        Ok(layer)
    }

    fn config(&self, platform: &Platform, created: &str, layer: &str) -> Value {
        let mut config = json!({
            "created": created,
            "architecture": platform.architecture,
            "os": "linux",
            "config": {
                "User": USER,
                "ExposedPorts": {"9184/tcp": {}, "37008/udp": {}},
                "Entrypoint": [PROGRAM],
                // Docker's extension of the OCI configuration; times are in nanoseconds.
                "Healthcheck": {
                    "Test": ["CMD", PROGRAM, "healthcheck"],
                    "StartPeriod": 10_000_000_000_u64,
                },
                "Labels": {
                    "org.opencontainers.image.title": NAME,
                    "org.opencontainers.image.description":
                        "Prometheus exporter for TZSP packet streams: bytes and packets per flow",
                    "org.opencontainers.image.version": self.version,
                    "org.opencontainers.image.licenses": "MIT",
                },
            },
            "rootfs": {"type": "layers", "diff_ids": [layer]},
            "history": [{"created": created, "created_by": "cargo xtask dist --image"}],
        });
        if let Some(variant) = platform.variant {
            config["variant"] = json!(variant);
        }
        config
    }
}

fn text(value: &Value) -> anyhow::Result<Vec<u8>> {
    Ok(serde_json::to_vec(value)?)
}

/// The directory of an image layout in which files are named by their SHA-256.
struct Blobs {
    directory: PathBuf,
}

struct Blob {
    media_type: &'static str,
    digest: String,
    size: usize,
}

impl Blobs {
    fn new(layout: &Path) -> anyhow::Result<Self> {
        let directory = layout.join("blobs/sha256");
        create(&directory)?;
        Ok(Self { directory })
    }

    fn add(&mut self, content: &[u8], media_type: &'static str) -> anyhow::Result<Blob> {
        let new = self.directory.join("new");
        fs::write(&new, content).with_context(|| format!("writing {}", new.display()))?;
        let sum = sha256(&new)?;
        fs::rename(&new, self.directory.join(&sum))?;
        Ok(Blob {
            media_type,
            digest: format!("sha256:{sum}"),
            size: content.len(),
        })
    }
}

impl Blob {
    fn descriptor(&self) -> Value {
        json!({"mediaType": self.media_type, "digest": self.digest, "size": self.size})
    }

    /// Returns the path in the layout.
    fn path(&self) -> String {
        format!("blobs/{}", self.digest.replace(':', "/"))
    }
}

/// Returns the SHA-256 of a file in hexadecimal.
fn sha256(path: &Path) -> anyhow::Result<String> {
    let output = stdout_of(Command::new("sha256sum").arg("--").arg(path))?;
    let sum = output.split_whitespace().next();
    Ok(sum.context("sha256sum prints a sum")?.to_owned())
}

/// Returns the platform that a program was built for.
///
/// # Errors
/// It is not a static program, or for an architecture without images.
fn platform(program: &Path) -> anyhow::Result<Platform> {
    let mut readelf = Command::new("readelf");
    readelf.args(["--wide", "--file-header", "--program-headers"]);
    let headers = stdout_of(readelf.arg(program).env("LC_ALL", "C"))?;
    platform_in(&headers).with_context(|| format!("cannot make an image of {}", program.display()))
}

/// Like [`platform`], from the output of `readelf`.
fn platform_in(headers: &str) -> anyhow::Result<Platform> {
    let lines = || headers.lines().map(str::trim_start);
    if lines().any(|line| line.starts_with("INTERP ")) {
        bail!("it needs shared libraries, which an image of the program alone lacks");
    }
    let machine = lines().find_map(|line| line.strip_prefix("Machine:"));
    let (architecture, variant) = match machine.map(str::trim) {
        Some("Advanced Micro Devices X86-64") => ("amd64", None),
        Some("AArch64") => ("arm64", None),
        Some("ARM") => ("arm", Some("v7")),
        machine => bail!("unknown architecture {machine:?}"),
    };
    Ok(Platform {
        architecture,
        variant,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of readelf 2.40 that matter.
    fn headers(machine: &str, segment: &str) -> String {
        format!(
            "ELF Header:\n  Class:                             ELF64\n  \
             Machine:                           {machine}\n  Version:                           \
             0x1\n\nProgram Headers:\n  Type           Offset   VirtAddr\n  {segment}         \
             0x000318 0x0000000000000318\n"
        )
    }

    #[test]
    fn the_platform_is_that_of_the_program() {
        for (machine, architecture, variant) in [
            ("Advanced Micro Devices X86-64", "amd64", None),
            ("AArch64", "arm64", None),
            ("ARM", "arm", Some("v7")),
        ] {
            let platform = platform_in(&headers(machine, "LOAD  ")).expect(machine);
            assert_eq!(platform.architecture, architecture);
            assert_eq!(platform.variant, variant);
        }
    }

    #[test]
    fn a_program_with_shared_libraries_or_for_another_machine_is_refused() {
        assert!(platform_in(&headers("AArch64", "INTERP")).is_err());
        assert!(platform_in(&headers("RISC-V", "LOAD  ")).is_err());
        assert!(platform_in("").is_err());
    }
}
