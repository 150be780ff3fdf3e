//! The captures that the cases read. They are generated on first use, and kept.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::project::{succeed, target};
use crate::release;

/// How to create a capture.
#[derive(Clone, Copy)]
pub(super) enum Input {
    Generated {
        name: &'static str,
        packets: u64,
        flows: u64,
        snap_length: u32,
        seed: u64,
        format: &'static str,
    },
    /// `A`, compressed by this program, with this file name extension.
    Compressed(&'static str, &'static str),
    /// `A` with a snap length of 0, and with a captured length over the original one in each record.
    OddLengths,
}

/// A capture with a snap length of 128 bytes.
const fn cut(name: &'static str, packets: u64, flows: u64) -> Input {
    Input::Generated {
        name,
        packets,
        flows,
        snap_length: 128,
        seed: 1,
        format: "pcap",
    }
}

pub(super) const A: Input = cut("a", A_PACKETS, 20_000);
pub(super) const A_PACKETS: u64 = 2_000_000;
/// A quarter of `A`, for slow peers.
pub(super) const A_SHORT: Input = cut("a-short", A_PACKETS / 4, 20_000);
/// Like `A`, with other contents.
pub(super) const A_SECOND: Input = Input::Generated {
    name: "a-second",
    packets: A_PACKETS,
    flows: 20_000,
    snap_length: 128,
    seed: 2,
    format: "pcap",
};
pub(super) const B: Input = Input::Generated {
    name: "b",
    packets: 1_000_000,
    flows: 20_000,
    snap_length: 262_144,
    seed: 1,
    format: "pcap",
};
pub(super) const C: Input = cut("c", A_PACKETS, 1_000_000);
pub(super) const D: Input = Input::Generated {
    name: "d",
    packets: A_PACKETS,
    flows: 20_000,
    snap_length: 128,
    seed: 1,
    format: "pcapng",
};
pub(super) const E_GZIP: Input = Input::Compressed("gzip", "gz");
pub(super) const E_ZSTD: Input = Input::Compressed("zstd", "zst");
pub(super) const ODD_LENGTHS: Input = Input::OddLengths;
pub(super) const THOUSAND_FLOWS: Input = cut("thousand", A_PACKETS, 1_000);
pub(super) const HUNDRED_THOUSAND_FLOWS: Input = cut("hundred-thousand", A_PACKETS, 100_000);
/// For streams at a fixed rate.
pub(super) const RATES: Input = cut("rates", RATES_PACKETS, 1_000);
pub(super) const RATES_PACKETS: u64 = 10_000;
/// Each packet belongs to another flow.
pub(super) const SCRAPE: Input = cut("scrape", 100_000, 100_000);

/// The directory of the captures.
pub(super) struct Inputs {
    directory: PathBuf,
    /// All sizes are divided by this.
    pub(super) shrink: u64,
}

impl Inputs {
    pub(super) fn new(shrink: u64) -> anyhow::Result<Self> {
        let directory = target()?.join("bench").join(shrink.to_string());
        fs::create_dir_all(&directory)
            .with_context(|| format!("creating {}", directory.display()))?;
        Ok(Self { directory, shrink })
    }

    pub(super) fn shrunk(&self, size: u64) -> u64 {
        (size / self.shrink).max(1)
    }

    /// Returns the path of an input, which is created if it does not exist. The file is read once,
    /// so that it is in the page cache for all programs.
    pub(super) fn path(&self, input: Input) -> anyhow::Result<PathBuf> {
        let name = match input {
            Input::Generated { name, format, .. } => format!("{name}.{format}"),
            Input::Compressed(_, extension) => format!("a.pcap.{extension}"),
            Input::OddLengths => "a-odd-lengths.pcap".to_owned(),
        };
        let path = self.directory.join(name);
        if !path.exists() {
            // Written under another name, so that the next run does not use an incomplete file.
            let unfinished = path.with_added_extension("unfinished");
            self.create(input, &unfinished)?;
            fs::rename(&unfinished, &path)
                .with_context(|| format!("renaming {}", unfinished.display()))?;
        }
        File::open(&path)
            .and_then(|mut file| io::copy(&mut file, &mut io::sink()))
            .with_context(|| format!("reading {}", path.display()))?;
        Ok(path)
    }

    fn create(&self, input: Input, path: &Path) -> anyhow::Result<()> {
        match input {
            Input::Generated {
                packets,
                flows,
                snap_length,
                seed,
                format,
                ..
            } => succeed(
                Command::new(release::programs()?.xtask)
                    .arg("generate")
                    .arg(path)
                    .args(["--packets", &self.shrunk(packets).to_string()])
                    .args(["--flows", &self.shrunk(flows).to_string()])
                    .args(["--snaplen", &snap_length.to_string()])
                    .args(["--seed", &seed.to_string()])
                    .args(["--format", format]),
            ),
            Input::Compressed(program, _) => {
                let out =
                    File::create(path).with_context(|| format!("creating {}", path.display()))?;
                let whole = self.path(A)?;
                succeed(Command::new(program).arg("-c").arg(whole).stdout(out))
            }
            Input::OddLengths => {
                let whole = self.path(A)?;
                let mut bytes =
                    fs::read(&whole).with_context(|| format!("reading {}", whole.display()))?;
                make_lengths_odd(&mut bytes);
                fs::write(path, bytes).with_context(|| format!("writing {}", path.display()))
            }
        }
    }
}

/// Sets the snap length of a generated capture to 0, and the original length of each record to one
/// less than the captured one.
fn make_lengths_odd(capture: &mut [u8]) {
    let Some((header, mut rest)) = capture.split_at_mut_checked(24) else {
        return;
    };
    header[16..20].fill(0);
    while let Some((header, behind)) = rest.split_first_chunk_mut::<16>() {
        let [.., c0, c1, c2, c3, _, _, _, _] = *header;
        let captured = u32::from_le_bytes([c0, c1, c2, c3]);
        header[12..].copy_from_slice(&captured.saturating_sub(1).to_le_bytes());
        rest = behind.split_at_mut(captured as usize).1;
    }
}
