//! Damaged captures: no panic, no endless loop, and every frame accounted for.

use std::time::Duration;

use tzsp_packetstream_exporter::aggregator::Aggregator;
use tzsp_packetstream_exporter::capture::{CaptureError, CaptureReader};
use tzsp_packetstream_exporter::wire::Skipped;

use crate::support::{aggregator, captures};

#[test]
fn captures_cut_at_every_byte_count_what_is_whole() {
    for capture in captures() {
        let bytes = std::fs::read(&capture).unwrap();
        let mut received = 0;
        for length in 0..=bytes.len() {
            let (core, result) = read(&bytes[..length]);
            let now = core.frames().received;
            assert!(now >= received, "{} at {length}", capture.display());
            received = now;
            match result {
                Ok(()) | Err(CaptureError::CutShort { .. }) => {}
                Err(CaptureError::Empty) => assert_eq!(length, 0),
                Err(CaptureError::NotACapture) => assert!(length < 24, "{length}"),
                Err(error) => panic!("{} at {length}: {error}", capture.display()),
            }
        }
    }
}

#[test]
fn captures_with_any_byte_changed_keep_their_accounts() {
    for capture in captures() {
        let mut bytes = std::fs::read(&capture).unwrap();
        for index in 0..bytes.len() {
            for mask in [0xff, 0x01, 0x80] {
                bytes[index] ^= mask;
                let _ = read(&bytes);
                bytes[index] ^= mask;
            }
        }
    }
}

/// Reads to the end or to the damage, and checks the accounts.
#[track_caller]
fn read(bytes: &[u8]) -> (Aggregator, Result<(), CaptureError>) {
    let mut core = aggregator();
    let mut reader = CaptureReader::new(bytes);
    let mut frames = 0;
    let result = (|| {
        while reader.fill()? {
            while let Some(frame) = reader.next_frame()? {
                core.frame(frame.at, &frame);
                frames += 1;
            }
        }
        Ok(())
    })();
    let snapshot = core.scrape(Duration::ZERO);
    let traffic = snapshot.traffic.iter().map(|sum| sum.counters.packets);
    let narrow = snapshot.narrow.iter().map(|flow| flow.counters.packets);
    let wide = snapshot.wide.iter().map(|flow| flow.counters.packets);
    let counted: u64 = traffic.sum();
    assert_eq!(narrow.chain(wide).sum::<u64>(), counted);
    let skipped: u64 = Skipped::ALL
        .map(|reason| core.frames().skipped(reason))
        .iter()
        .sum();
    assert_eq!(core.frames().received, frames);
    assert_eq!(frames, counted + skipped);
    (core, result)
}
