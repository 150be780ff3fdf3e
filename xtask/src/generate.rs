//! Generates synthetic TZSP captures of any size. The same options always give the same bytes.

mod frames;
mod hostile;
mod profile;
mod traffic;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, ValueEnum};

use self::frames::FrameWriter;
use self::profile::Profile;
use self::traffic::Traffic;
use crate::capture_file::SNAP_LENGTH;

#[derive(Args)]
pub(crate) struct Options {
    /// Where to write the capture; `-` is standard output
    out: PathBuf,

    /// Number of inner packets; one that exceeds the MTU of 1500 in TZSP takes two frames
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    packets: u64,

    /// Number of distinct flows, each with at least one packet if --packets allows it
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..))]
    flows: u64,

    /// Seed of the random numbers; equal options give equal captures
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Truncate every frame to N bytes; 81 are enough for all headers of most frames
    #[arg(long, value_name = "N", default_value_t = SNAP_LENGTH, value_parser = clap::value_parser!(u32).range(1..))]
    snaplen: u32,

    /// UDP ports that the sensors stream to
    #[arg(
        long,
        value_name = "P,P",
        value_delimiter = ',',
        default_value = "37008"
    )]
    ports: Vec<u16>,

    /// Use addresses, ports and services as a network of this size has them
    #[arg(long, value_enum)]
    profile: Option<Profile>,

    #[arg(long, value_enum, default_value_t = CaptureFormat::Pcap)]
    format: CaptureFormat,

    /// Write frames of every encapsulation and link type instead, some truncated or malformed, as
    /// pcapng; --packets is the number of frames
    #[arg(long, conflicts_with_all = ["flows", "snaplen", "ports", "profile", "format"])]
    hostile: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CaptureFormat {
    Pcap,
    Pcapng,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let name = options.out.display();
    let out: Box<dyn Write> = if options.out == Path::new("-") {
        Box::new(io::stdout())
    } else {
        Box::new(File::create(&options.out).with_context(|| format!("creating {name}"))?)
    };
    let mut out = BufWriter::with_capacity(1 << 20, out);
    if options.hostile {
        return hostile::write(&mut out, options.seed, options.packets)
            .with_context(|| format!("writing {name}"));
    }
    let totals = generate(options, out).with_context(|| format!("writing {name}"))?;
    let Totals {
        packets,
        frames,
        flows,
        bytes,
    } = totals;
    eprintln!("{packets} packets in {frames} frames, {flows} flows, {bytes} bytes of inner IPv4");
    Ok(())
}

/// What an exporter must count in the capture. `frames` exceeds `packets` by the number of later
/// fragments.
#[derive(Debug, Default, PartialEq, Eq)]
struct Totals {
    packets: u64,
    frames: u64,
    flows: u64,
    bytes: u64,
}

fn generate(options: &Options, out: impl Write) -> io::Result<Totals> {
    let flows = options.flows.min(options.packets);
    let mut traffic = Traffic::new(options.seed, flows, &options.ports, options.profile);
    let mut writer = FrameWriter::start(out, options.format, options.snaplen)?;
    let mut totals = Totals::default();
    for remaining in (1..=options.packets).rev() {
        let (at, packet) = traffic.next(remaining);
        totals.packets += 1;
        totals.frames += writer.mirror(at, &packet)?;
        totals.bytes += u64::from(packet.total_length);
    }
    totals.flows = traffic.flows_seen();
    writer.finish()?;
    Ok(totals)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn options(packets: u64, flows: u64) -> Options {
        Options {
            out: PathBuf::from("-"),
            packets,
            flows,
            seed: 7,
            snaplen: SNAP_LENGTH,
            ports: vec![37008, 1234],
            profile: None,
            format: CaptureFormat::Pcap,
            hostile: false,
        }
    }

    fn capture(options: &Options) -> (Vec<u8>, Totals) {
        let mut bytes = Vec::new();
        let totals = generate(options, &mut bytes).expect("a Vec takes everything");
        (bytes, totals)
    }

    /// Counts again from the bytes of a pcap file. All its frames have the headers at the same
    /// offsets.
    fn recount(mut records: &[u8]) -> Totals {
        let mut flows = HashSet::new();
        let mut totals = Totals::default();
        records = &records[24..];
        let mut before = (0, 0);
        while let Some((header, rest)) = records.split_first_chunk::<16>() {
            let word = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("4"));
            let (frame, rest) = rest.split_at(word(8) as usize);
            assert!((word(0), word(4)) >= before, "time goes forward");
            before = (word(0), word(4));
            totals.frames += 1;
            // The shift drops the flags, which come before the fragment offset.
            if u16::from_be_bytes([frame[20], frame[21]]) << 3 == 0 {
                totals.packets += 1;
                totals.bytes += u64::from(frame[63]) * 256 + u64::from(frame[64]);
                flows.insert((frame[73..81].to_vec(), frame[70], frame[36..38].to_vec()));
            }
            records = rest;
        }
        totals.flows = flows.len() as u64;
        totals
    }

    #[test]
    fn the_totals_match_the_capture() {
        for (packets, flows) in [(5000, 300), (300, 300), (10, 300), (1, 1), (0, 1)] {
            let (bytes, totals) = capture(&options(packets, flows));
            assert_eq!(recount(&bytes), totals);
            assert_eq!(
                (totals.packets, totals.flows),
                (packets, flows.min(packets))
            );
        }
    }

    #[test]
    fn the_totals_of_each_profile_match_the_capture() {
        for profile in [Profile::Home, Profile::Office, Profile::Provider] {
            let (bytes, totals) = capture(&Options {
                profile: Some(profile),
                ..options(3000, 1000)
            });
            assert_eq!(recount(&bytes), totals);
            assert_eq!((totals.packets, totals.flows), (3000, 1000));
        }
    }

    #[test]
    fn datagrams_above_the_mtu_are_fragmented() {
        let (_, totals) = capture(&options(5000, 300));
        assert!(totals.frames > totals.packets + 500, "{totals:?}");
    }

    #[test]
    fn equal_options_give_equal_captures() {
        let (bytes, _) = capture(&options(1000, 100));
        assert_eq!(bytes, capture(&options(1000, 100)).0);
        assert_ne!(
            bytes,
            capture(&Options {
                seed: 8,
                ..options(1000, 100)
            })
            .0
        );
    }

    #[test]
    fn a_snap_length_truncates_frames_without_changing_totals() {
        let whole = capture(&options(1000, 100));
        let (bytes, totals) = capture(&Options {
            snaplen: 96,
            ..options(1000, 100)
        });
        assert_eq!(totals, whole.1);
        assert_eq!(recount(&bytes), totals);
        assert!(bytes.len() < whole.0.len() / 2);
    }
}
