//! The systems that static programs are built for, and what that needs.

use anyhow::Context;

use super::NAME;
use crate::project::host;
use crate::tools::Tool;

/// A system that a static program is built for.
pub(super) struct Target {
    pub(super) triple: &'static str,
    pub(super) system: System,
    /// The architecture in the name of the Debian package. Empty for Windows.
    pub(super) debian: &'static str,
    /// The platform in the name of the container image. Empty for Windows.
    pub(super) image: &'static str,
    /// `None` if it is built on such a machine alone.
    pub(super) cross: Option<Cross>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum System {
    Linux,
    Windows,
}

/// What a build for another processor or system needs.
pub(super) struct Cross {
    /// The names of the C compiler and of the other tools begin with this.
    pub(super) prefix: &'static str,
    pub(super) tools: &'static [Tool],
    pub(super) emulator: Emulator,
    /// What a check needs besides.
    pub(super) check_tools: &'static [Tool],
}

/// A program that runs programs for another processor or system.
#[derive(Clone, Copy)]
pub(super) enum Emulator {
    /// The user mode emulation of this name.
    Qemu(&'static str),
    Wine,
}

pub(super) static ALL: [Target; 4] = [
    Target {
        triple: "x86_64-unknown-linux-gnu",
        system: System::Linux,
        debian: "amd64",
        image: "linux-amd64",
        cross: None,
    },
    Target {
        triple: "aarch64-unknown-linux-gnu",
        system: System::Linux,
        debian: "arm64",
        image: "linux-arm64",
        cross: Some(Cross {
            prefix: "aarch64-linux-gnu-",
            tools: &[
                CARGO,
                STANDARD_LIBRARY,
                LINKER,
                Tool::new(
                    "aarch64-linux-gnu-gcc",
                    "--version",
                    "gcc-aarch64-linux-gnu",
                ),
                Tool::new(
                    "ls",
                    "/usr/aarch64-linux-gnu/lib/libc.a",
                    "libc6-dev-arm64-cross",
                ),
            ],
            emulator: Emulator::Qemu("qemu-aarch64-static"),
            check_tools: &[
                Tool::new("qemu-aarch64-static", "--version", "qemu-user-static"),
                CURL,
            ],
        }),
    },
    Target {
        triple: "armv7-unknown-linux-gnueabihf",
        system: System::Linux,
        debian: "armhf",
        image: "linux-armv7",
        cross: Some(Cross {
            prefix: "arm-linux-gnueabihf-",
            tools: &[
                CARGO,
                STANDARD_LIBRARY,
                LINKER,
                Tool::new(
                    "arm-linux-gnueabihf-gcc",
                    "--version",
                    "gcc-arm-linux-gnueabihf",
                ),
                Tool::new(
                    "ls",
                    "/usr/arm-linux-gnueabihf/lib/libc.a",
                    "libc6-dev-armhf-cross",
                ),
            ],
            emulator: Emulator::Qemu("qemu-arm-static"),
            check_tools: &[
                Tool::new("qemu-arm-static", "--version", "qemu-user-static"),
                CURL,
            ],
        }),
    },
    Target {
        triple: "x86_64-pc-windows-gnu",
        system: System::Windows,
        debian: "",
        image: "",
        cross: Some(Cross {
            prefix: "x86_64-w64-mingw32-",
            tools: &[
                CARGO,
                STANDARD_LIBRARY,
                Tool::new(
                    "x86_64-w64-mingw32-gcc",
                    "--version",
                    "gcc-mingw-w64-x86-64",
                ),
                Tool::new("zip", "--version", "zip"),
            ],
            emulator: Emulator::Wine,
            check_tools: &[
                Tool::new(WINE, "--version", "wine64"),
                Tool::new("unzip", "-v", "unzip"),
            ],
        }),
    },
];

/// The names of the targets.
pub(super) const TRIPLES: [&str; 4] = [ALL[0].triple, ALL[1].triple, ALL[2].triple, ALL[3].triple];

/// Debian's cargo, which is newer in this package than in `cargo`.
const CARGO: Tool = Tool::new("/usr/bin/cargo", "--version", "cargo-web");
/// The source of the standard library for that cargo.
const STANDARD_LIBRARY: Tool = Tool::new("ls", "/usr/lib/rustlib/src/rust/library", "rust-web-src");

/// LLVM's linker. In static programs for ARM, that of Debian's binutils 2.40 forgets that the function
/// which chooses memcpy is in Thumb code, so they crash at their start.
const LINKER: Tool = Tool::new("ld.lld", "--version", "lld");

/// The container image is scraped with it.
const CURL: Tool = Tool::new("curl", "--version", "curl");

/// Debian's Wine for programs with 64 bits. The package `wine`, whose command is in the path, may
/// need packages for 32 bits.
pub(super) const WINE: &str = "/usr/lib/wine/wine64";

impl Target {
    /// Returns the target of this name, if programs are built for it.
    pub(super) fn named(triple: &str) -> Option<&'static Self> {
        ALL.iter().find(|target| target.triple == triple)
    }

    /// Returns the target of this machine.
    ///
    /// # Errors
    /// No static programs are built for it.
    pub(super) fn of_this_machine() -> anyhow::Result<&'static Self> {
        let host = host()?;
        Self::named(&host).with_context(|| {
            format!(
                "no static programs are built for {host}: use one of {}",
                TRIPLES.join(", ")
            )
        })
    }

    /// Returns the name of a tool for programs of this target, such as `strip`.
    pub(super) fn tool(&self, name: &str) -> String {
        let prefix = self.cross.as_ref().map_or("", |cross| cross.prefix);
        format!("{prefix}{name}")
    }

    pub(super) fn is_32_bit(&self) -> bool {
        self.triple.starts_with("armv7")
    }

    /// Returns the names of the packages of a version, sorted.
    pub(super) fn packages(&self, version: &str) -> Vec<String> {
        let archive = match self.system {
            System::Linux => "tar.gz",
            System::Windows => "zip",
        };
        let mut names = vec![format!("{NAME}-{version}-{}.{archive}", self.triple)];
        if !self.debian.is_empty() {
            let name = NAME.replace('_', "-");
            names.push(format!("{name}_{version}-1_{}.deb", self.debian));
        }
        if !self.image.is_empty() {
            names.push(format!("{NAME}-{version}-{}.oci.tar", self.image));
        }
        names.sort();
        names
    }
}

impl System {
    /// Returns the file name of the program.
    pub(super) fn program(self) -> &'static str {
        match self {
            Self::Linux => "tzsp_packetstream_exporter",
            Self::Windows => "tzsp_packetstream_exporter.exe",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(triple: &str, packages: &[&str]) {
        let target = Target::named(triple).expect("there is such a target");
        assert_eq!(target.packages("1.2.3"), packages);
    }

    #[test]
    fn a_system_has_its_packages() {
        check(
            "armv7-unknown-linux-gnueabihf",
            &[
                "tzsp-packetstream-exporter_1.2.3-1_armhf.deb",
                "tzsp_packetstream_exporter-1.2.3-armv7-unknown-linux-gnueabihf.tar.gz",
                "tzsp_packetstream_exporter-1.2.3-linux-armv7.oci.tar",
            ],
        );
        check(
            "x86_64-pc-windows-gnu",
            &["tzsp_packetstream_exporter-1.2.3-x86_64-pc-windows-gnu.zip"],
        );
    }
}
