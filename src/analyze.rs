//! The one-shot run: reads captures, writes the metrics of what is in them.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::aggregator::Aggregator;
use crate::capture::{CaptureError, CaptureReader};
use crate::metrics;
use crate::wire::ListenPorts;

/// What is to be analysed.
#[derive(Debug)]
pub struct Options {
    /// `-` is standard input.
    pub files: Vec<PathBuf>,
    pub listen_ports: ListenPorts,
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

/// Reads every input and writes the metrics to `out`, unless no input was a capture.
///
/// # Errors
/// Those of `out`. Problems with the inputs are returned as values: the others still count.
pub fn run(options: Options, out: &mut impl Write) -> io::Result<Vec<Problem>> {
    let mut core = Aggregator::new(options.listen_ports);
    let mut problems = Vec::new();
    let mut captures = 0;
    for file in options.files {
        let (is_capture, result) = read(&file, &mut core);
        captures += usize::from(is_capture);
        if let Err(error) = result {
            problems.push(Problem { file, error });
        }
    }
    if captures > 0 {
        metrics::write_analysis(out, core.flows().flows(), core.frames())?;
    }
    Ok(problems)
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
            core.frame(&frame);
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
