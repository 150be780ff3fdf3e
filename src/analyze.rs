//! The one-shot run: reads captures, writes the metrics of what is in them.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use crate::aggregator::{Aggregator, Settings};
use crate::capture::{CaptureError, CaptureReader};
use crate::flow::Occupancy;
use crate::metrics;

/// What is to be analysed.
#[derive(Debug)]
pub struct Options {
    /// `-` is standard input.
    pub files: Vec<PathBuf>,
}

/// Something that was wrong with one input. What was read before it counts.
#[derive(Debug, Error)]
#[error("{}: {error}", name(.file))]
pub struct Problem {
    pub file: PathBuf,
    pub error: CaptureError,
}

impl Problem {
    /// A capture whose writer was stopped ends in the middle of a record: that is normal.
    #[must_use]
    pub fn is_warning(&self) -> bool {
        matches!(self.error, CaptureError::CutShort { .. })
    }
}

/// What is to be said about a run, besides its output.
#[derive(Debug)]
pub struct Report {
    pub problems: Vec<Problem>,
    pub limit_reached: Option<LimitReached>,
}

/// Packets whose flow found no place.
#[derive(Debug, Error)]
#[error(
    "the limit of {} flows was reached: {} packets were counted as `other`; about {} flows asked \
     for a place, so raise --max-flows, or choose fewer --labels",
    .0.limit, .0.overflow_packets, .0.demand
)]
pub struct LimitReached(Occupancy);

/// Reads every input and writes the metrics to `out`, unless no input was a capture.
///
/// # Errors
/// Those of `out`. Problems with the inputs are returned as values: the others still count.
pub fn run(options: Options, settings: Settings, out: &mut impl Write) -> io::Result<Report> {
    let mut core = Aggregator::new(settings);
    let mut problems = Vec::new();
    let mut captures = 0;
    for file in options.files {
        let (is_capture, result) = read(&file, &mut core);
        captures += usize::from(is_capture);
        if let Err(error) = result {
            problems.push(Problem { file, error });
        }
    }
    let occupancy = core.flows().occupancy();
    if captures > 0 {
        // At the time of the newest frame, or of what the table takes for it.
        let snapshot = core.scrape(Duration::ZERO);
        metrics::write_analysis(out, snapshot, core.frames())?;
    }
    Ok(Report {
        problems,
        limit_reached: (occupancy.overflow_packets > 0).then_some(LimitReached(occupancy)),
    })
}

/// Reads one input to its end, or to where it is damaged. Also tells whether it was a capture.
fn read(file: &Path, core: &mut Aggregator) -> (bool, Result<(), CaptureError>) {
    let stream: Box<dyn Read> = if file == Path::new("-") {
        Box::new(io::stdin())
    } else {
        match File::open(file) {
            Ok(file) => Box::new(file),
            Err(error) => return (false, Err(CaptureError::Read(error))),
        }
    };
    let mut reader = CaptureReader::new(stream);
    let result = read_frames(&mut reader, core);
    (reader.has_header(), result)
}

fn read_frames(
    reader: &mut CaptureReader<impl Read>,
    core: &mut Aggregator,
) -> Result<(), CaptureError> {
    while reader.fill()? {
        while let Some(frame) = reader.next_frame()? {
            core.frame(frame.at, &frame);
        }
    }
    Ok(())
}

fn name(file: &Path) -> std::borrow::Cow<'_, str> {
    if file == Path::new("-") {
        "standard input".into()
    } else {
        file.to_string_lossy()
    }
}
