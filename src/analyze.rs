//! The one-shot run: reads captures, writes the metrics of what is in them.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::aggregator::Aggregator;
use crate::capture::{self, CaptureError, CaptureReader, Damage};
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

/// Reads every input and writes the metrics to `out`, unless no input was a capture.
///
/// # Errors
/// Those of `out`. Problems with the inputs are returned as values: the others still count.
pub fn run(options: Options, out: &mut impl Write) -> io::Result<Vec<Problem>> {
    let mut core = Aggregator::new(options.listen_ports);
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
    if captures > 0 {
        metrics::write_analysis(out, core.flows().flows(), core.frames())?;
    }
    Ok(problems)
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
