//! The one-shot run: reads captures, writes the metrics of what is in them.

mod input;
mod progress;
mod stop;
mod survey;

use std::io::{self, Read, Write};
use std::num::NonZero;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use indicatif::ProgressBar;
use thiserror::Error;

use crate::aggregator::Aggregator;
use crate::capture::{self, CaptureError, CaptureReader, Damage};
use crate::metrics;
use crate::wire::ListenPorts;
use input::Input;
pub use stop::Stop;
use survey::Ports;
pub use survey::Survey;

/// What is to be analysed.
#[derive(Debug)]
pub struct Options {
    /// `-` is standard input.
    pub files: Vec<PathBuf>,
    pub listen_ports: ListenPorts,
    /// How many files are read at a time; without a number, as many as there are processors.
    pub jobs: Option<usize>,
    /// Shows no progress.
    pub quiet: bool,
}

/// What is to be said about a run, besides its output.
#[derive(Debug)]
pub struct Report {
    pub problems: Vec<Problem>,
    /// There were captures, and nothing in them counts in a flow.
    pub nothing_counted: Option<Survey>,
}

/// Something that was wrong with one input. What else it holds counts.
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
    #[error("this is {} again, which counts once", name(.0))]
    Again(PathBuf),
}

impl Problem {
    /// A capture whose writer was stopped ends in the middle of a record: that is normal.
    #[must_use]
    pub fn is_warning(&self) -> bool {
        match self.error {
            Trouble::Capture(CaptureError::CutShort { .. }) | Trouble::Again(_) => true,
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
pub fn run(options: Options, stop: &Stop, out: &mut impl Write) -> io::Result<Report> {
    let (files, again) = input::distinct(options.files);
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let jobs = options.jobs.unwrap_or(processors).min(files.len());
    let progress = if options.quiet {
        ProgressBar::hidden()
    } else {
        progress::bar(input::total_size(&files))
    };

    let next = AtomicUsize::new(0);
    let job = || {
        let mut part = Part::new(options.listen_ports.clone());
        while let Some((position, file)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            part.read(*position, file, stop, &progress);
        }
        part
    };
    let mut whole = Part::new(options.listen_ports.clone());
    thread::scope(|scope| {
        let jobs: Vec<_> = (0..jobs).map(|_| scope.spawn(job)).collect();
        for job in jobs {
            whole.merge(job.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
    });
    progress.finish_and_clear();

    for (position, file, before) in again {
        let error = Trouble::Again(before);
        whole.problems.push((position, Problem { file, error }));
    }
    whole.problems.sort_by_key(|(position, _)| *position);
    let core = whole.core;
    if whole.captures > 0 {
        metrics::write_analysis(out, core.flows().flows(), core.frames())?;
    }
    let has_counted = core.frames().counted() > 0;
    Ok(Report {
        problems: whole
            .problems
            .into_iter()
            .map(|(_, problem)| problem)
            .collect(),
        nothing_counted: (whole.captures > 0 && !has_counted).then(|| Survey {
            ports: whole.ports,
            frames: core.frames().clone(),
            listen_ports: options.listen_ports,
        }),
    })
}

/// What one job has read, or all of them together.
struct Part {
    core: Aggregator,
    captures: usize,
    /// With the position of the file.
    problems: Vec<(usize, Problem)>,
    /// Of frames before the first that counts in a flow.
    ports: Ports,
}

impl Part {
    fn new(listen_ports: ListenPorts) -> Self {
        Self {
            core: Aggregator::new(listen_ports),
            captures: 0,
            problems: Vec::new(),
            ports: Ports::default(),
        }
    }

    fn merge(&mut self, other: Self) {
        self.core.merge(other.core);
        self.captures += other.captures;
        self.problems.extend(other.problems);
        self.ports.merge(other.ports);
    }

    /// Reads one file to its end.
    fn read(&mut self, position: usize, file: &Path, stop: &Stop, progress: &ProgressBar) {
        let mut trouble = |error| {
            let file = file.to_owned();
            self.problems.push((position, Problem { file, error }));
        };
        let opened = Input::open(file, stop, progress).and_then(capture::unpack);
        let mut reader = match opened {
            Ok(stream) => CaptureReader::recovering(stream),
            Err(error) => return trouble(CaptureError::Read(error).into()),
        };
        let result = read_frames(&mut reader, &mut self.core, &mut self.ports);
        self.captures += usize::from(reader.has_header());
        if let Some(damage) = reader.damage() {
            trouble(Trouble::Damage(damage.clone()));
        }
        // What a signal cut short is no news.
        if let Err(error) = result
            && !stop.is_asked_for()
        {
            trouble(error.into());
        }
    }
}

fn read_frames(
    reader: &mut CaptureReader<impl Read>,
    core: &mut Aggregator,
    ports: &mut Ports,
) -> Result<(), CaptureError> {
    let mut has_counted = core.frames().counted() > 0;
    while reader.fill()? {
        while let Some(frame) = reader.next_frame()? {
            core.frame(&frame);
            if !has_counted {
                has_counted = core.frames().counted() > 0;
                ports.add(&frame);
            }
        }
    }
    Ok(())
}

fn name(file: &Path) -> std::borrow::Cow<'_, str> {
    if input::is_standard_input(file) {
        "standard input".into()
    } else {
        file.to_string_lossy()
    }
}
