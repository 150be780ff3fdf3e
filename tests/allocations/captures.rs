//! Frames of captures.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;
use std::time::Duration;

use tempfile::NamedTempFile;
use tzsp_packetstream_exporter::analyze::{self, Stop};
use tzsp_packetstream_exporter::capture::{CaptureReader, Frame};
use tzsp_packetstream_exporter::cli::{self, Task};
use tzsp_packetstream_exporter::wire::{LinkType, ListenPorts};

use crate::{FRAMES, aggregator, allocations, assert_no_allocation, testdata};

/// A frame that does not borrow the buffer of its reader.
struct OwnedFrame {
    at: Duration,
    link: LinkType,
    bytes: Vec<u8>,
    length: usize,
}

impl OwnedFrame {
    fn of(frame: &Frame<'_>) -> Self {
        Self {
            at: frame.at,
            link: frame.link,
            bytes: frame.bytes.to_vec(),
            length: frame.length,
        }
    }

    fn frame(&self) -> Frame<'_> {
        Frame {
            at: self.at,
            link: self.link,
            bytes: &self.bytes,
            length: self.length,
        }
    }
}

/// Returns the frames of all test captures. They have every encapsulation, and every reason to skip
/// a frame.
fn all_frames() -> Vec<OwnedFrame> {
    let mut frames = Vec::new();
    for entry in fs::read_dir(testdata()).unwrap() {
        let path = entry.unwrap().path();
        if !path
            .extension()
            .is_some_and(|extension| extension.to_str().unwrap().starts_with("pcap"))
        {
            continue;
        }
        let mut reader = CaptureReader::new(File::open(path).unwrap());
        // Some are cut short, which is an error behind the last frame.
        while let Ok(true) = reader.fill() {
            reader
                .each_frame(|frame| frames.push(OwnedFrame::of(frame)))
                .unwrap();
        }
    }
    frames
}

/// Covers decoding by the fast and by the full path, the batch, and the tables of flows and sensors.
pub(crate) fn every_encapsulation_is_counted() {
    let frames = all_frames();
    for listen_ports in [ListenPorts::Any, ListenPorts::Plain] {
        let mut aggregator = aggregator(listen_ports);
        let mut batch = aggregator.batch();
        let mut count = |number: usize| {
            for frame in frames.iter().cycle().take(number) {
                batch.frame(frame.at, &frame.frame());
                if batch.is_full() {
                    aggregator.record_batch(&mut batch);
                }
            }
            aggregator.record_batch(&mut batch);
        };
        count(FRAMES / 10);
        assert_no_allocation(|| count(FRAMES));
    }
}

/// A capture whose part after the header repeats without end.
struct Endless {
    capture: Vec<u8>,
    header: usize,
    at: usize,
}

impl Endless {
    fn new(capture: &str, header: usize) -> Self {
        Self {
            capture: fs::read(testdata().join(capture)).unwrap(),
            header,
            at: 0,
        }
    }
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut rest = &self.capture[self.at..];
        let read = rest.read(buffer)?;
        self.at += read;
        if self.at == self.capture.len() {
            self.at = self.header;
        }
        Ok(read)
    }
}

/// The header of a pcap capture, in bytes. A pcapng capture repeats as a whole: it may have many
/// sections.
const PCAP_HEADER: usize = 24;

/// Covers the reader, with resynchronisation as in `analyze` and without it as for tshark.
pub(crate) fn pcap_and_pcapng_are_read() {
    for (capture, header) in [
        ("five_minutes_of_an_office.pcap", PCAP_HEADER),
        ("pcap_modified_little_endian.pcap", PCAP_HEADER),
        ("pcapng_enhanced_simple_obsolete.pcapng", 0),
        ("pcapng_options_everywhere.pcapng", 0),
    ] {
        for reader in [CaptureReader::recovering, CaptureReader::new] {
            let mut reader = reader(Endless::new(capture, header));
            let mut aggregator = aggregator(ListenPorts::Any);
            let mut batch = aggregator.batch();
            let mut read = |frames: usize| {
                let mut left = frames;
                while left > 0 {
                    assert!(reader.fill().unwrap());
                    reader
                        .each_frame(|frame| {
                            batch.frame_without_sensor(frame.at, frame);
                            if batch.is_full() {
                                aggregator.record_batch(&mut batch);
                            }
                            left = left.saturating_sub(1);
                        })
                        .unwrap();
                }
            };
            read(FRAMES / 10);
            assert_no_allocation(|| read(FRAMES));
        }
    }
}

/// By how much two runs with the same flows may differ. The random seed of the hash decides how often
/// the parts of the index grow, and the speed of the threads how many batches they hand to each other.
/// A capture with a million frames is read in over 500 pieces, so one allocation for each would show.
const TOLERANCE: u64 = 100;

/// Covers all of `analyze`: a capture with a million frames more costs no allocation more.
pub(crate) fn whole_captures_are_analyzed() {
    let short = office(FRAMES / 10);
    let long = office(FRAMES / 10 + FRAMES);
    let stop = Stop::on_signals().unwrap();
    for jobs in ["1", "2"] {
        // What a process allocates once.
        analyze(jobs, short.path(), &stop);
        let for_short = allocations(|| analyze(jobs, short.path(), &stop));
        let for_long = allocations(|| analyze(jobs, long.path(), &stop));
        dhat::assert!(
            for_long <= for_short + TOLERANCE,
            "--jobs {jobs}: {for_long} instead of {for_short}"
        );
    }
}

/// Writes a capture with at least this many frames, which are the same again and again.
fn office(frames: usize) -> NamedTempFile {
    const FRAMES_OF_THE_OFFICE: usize = 150;

    let office = fs::read(testdata().join("five_minutes_of_an_office.pcap")).unwrap();
    let (header, records) = office.split_at(PCAP_HEADER);
    let file = NamedTempFile::new().unwrap();
    let mut out = BufWriter::new(&file);
    out.write_all(header).unwrap();
    for _ in 0..frames.div_ceil(FRAMES_OF_THE_OFFICE) {
        out.write_all(records).unwrap();
    }
    out.flush().unwrap();
    drop(out);
    file
}

fn analyze(jobs: &str, capture: &Path, stop: &Stop) {
    let arguments = ["tzsp_packetstream_exporter", "analyze", "--jobs", jobs];
    let arguments = arguments.map(OsString::from);
    let task = cli::task(arguments.into_iter().chain([capture.into()])).unwrap();
    let Task::Analyze(options, settings) = task else {
        unreachable!("that is what the arguments say");
    };
    let report = analyze::run(options, settings, stop, &mut io::sink());
    assert!(report.problems.is_empty() && report.failure.is_none());
}
