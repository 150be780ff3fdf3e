//! The one-shot run: reads captures, writes the metrics of what is in them.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use crate::aggregator::{Aggregator, Settings};
use crate::capture::{self, CaptureError, CaptureReader, Damage};
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
    pub error: Trouble,
}

/// What was wrong with an input.
#[derive(Debug, Error)]
pub enum Trouble {
    #[error(transparent)]
    Capture(#[from] CaptureError),
    #[error("{0}")]
    Damage(Damage),
}

impl Problem {
    /// A capture whose writer was stopped ends in the middle of a record: that is normal.
    #[must_use]
    pub fn is_warning(&self) -> bool {
        match self.error {
            Trouble::Capture(CaptureError::CutShort { .. }) => true,
            // Unless there is nothing before the cut.
            Trouble::Capture(CaptureError::CompressedCutShort { offset }) => offset > 0,
            Trouble::Capture(_) | Trouble::Damage(_) => false,
        }
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
        let (is_capture, troubles) = read(&file, &mut core);
        captures += usize::from(is_capture);
        problems.extend(troubles.into_iter().map(|error| Problem {
            file: file.clone(),
            error,
        }));
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

/// Reads one input to its end. Also tells whether it was a capture.
fn read(file: &Path, core: &mut Aggregator) -> (bool, Vec<Trouble>) {
    let mut reader = match open(file).and_then(capture::unpack) {
        Ok(stream) => CaptureReader::recovering(stream),
        Err(error) => return (false, vec![CaptureError::Read(error).into()]),
    };
    let result = read_frames(&mut reader, core);
    let damage = reader.damage().cloned().map(Trouble::Damage);
    let error = result.err().map(Trouble::Capture);
    (
        reader.has_header(),
        damage.into_iter().chain(error).collect(),
    )
}

fn open(file: &Path) -> io::Result<Box<dyn Read>> {
    Ok(if file == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(file)?)
    })
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
