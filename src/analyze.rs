//! The one-shot run: reads captures, writes the metrics of what is in them.

mod input;
mod output;
mod progress;
mod stop;
mod survey;
mod table;
mod timeline;

use std::io::{self, Read, Write};
use std::num::NonZero;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use indicatif::ProgressBar;
use thiserror::Error;

use crate::aggregator::{Aggregator, Settings};
use crate::capture::{self, CaptureError, CaptureReader, Damage};
use crate::flow::Occupancy;
use input::Input;
pub use output::Output;
pub use stop::Stop;
use survey::Ports;
pub use survey::Survey;
use timeline::Timeline;
pub use timeline::{Silence, TimelineError};

/// What is to be analysed.
#[derive(Debug)]
pub struct Options {
    /// `-` is standard input.
    pub files: Vec<PathBuf>,
    /// How many files are read at a time; without a number, as many as there are processors.
    pub jobs: Option<usize>,
    /// Shows no progress.
    pub quiet: bool,
    pub output: Output,
}

/// What is to be said about a run, besides its output.
#[derive(Debug)]
pub struct Report {
    pub problems: Vec<Problem>,
    /// There were captures, and nothing in them counts in a flow.
    pub nothing_counted: Option<Survey>,
    pub limit_reached: Option<LimitReached>,
    pub silence: Option<Silence>,
}

/// Why nothing, or not everything, was written.
#[derive(Debug, Error)]
pub enum Failure {
    #[error("cannot write to standard output")]
    Output(#[from] io::Error),
    #[error(transparent)]
    Timeline(#[from] TimelineError),
}

/// Packets whose flow found no place.
#[derive(Debug, Error)]
#[error(
    "the limit of {} flows was reached: {} packets were counted as `other`; about {} flows asked \
     for a place, so raise --max-flows, or choose fewer --labels",
    .0.limit, .0.overflow_packets, .0.demand
)]
pub struct LimitReached(Occupancy);

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

/// Reads every input and writes what is asked for to `out`, unless no input was a capture.
///
/// # Errors
/// Those of `out`, and those of a timeline. Problems with the inputs are returned as values: the others still count.
pub fn run(
    options: Options,
    settings: Settings,
    stop: &Stop,
    out: &mut impl Write,
) -> Result<Report, Failure> {
    let (files, again) = input::distinct(options.files);
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let jobs = options.jobs.unwrap_or(processors).min(files.len());
    let progress = if options.quiet {
        ProgressBar::hidden()
    } else {
        progress::bar(input::total_size(&files))
    };

    let listen_ports = settings.reading.listen_ports.clone();
    let idle_timeout = settings.limits.idle_timeout;
    let core = Aggregator::new(settings);
    let tally = Mutex::new(Tally {
        timeline: options
            .output
            .step()
            .map(|step| Timeline::new(step, idle_timeout, core.flows().shape())),
        core,
        ports: Ports::default(),
    });
    let next = AtomicUsize::new(0);
    let job = || {
        let mut part = Part::default();
        while let Some((position, file)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            part.read(*position, file, &tally, stop, &progress);
        }
        part
    };
    let mut whole = Part::default();
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
    let Tally {
        mut core,
        ports,
        timeline,
    } = tally.into_inner().expect(NO_PANIC);
    let occupancy = core.flows().occupancy();
    let mut silence = None;
    if whole.captures > 0 {
        match timeline {
            Some(timeline) => silence = timeline.write(out)?,
            None => options.output.write(out, &mut core)?,
        }
    }
    let has_counted = core.frames().counted() > 0;
    Ok(Report {
        problems: whole
            .problems
            .into_iter()
            .map(|(_, problem)| problem)
            .collect(),
        nothing_counted: (whole.captures > 0 && !has_counted).then(|| Survey {
            ports,
            frames: core.frames().clone(),
            listen_ports,
        }),
        limit_reached: (occupancy.overflow_packets > 0).then_some(LimitReached(occupancy)),
        silence,
    })
}

const NO_PANIC: &str = "no job panics while it holds the lock";

/// What all jobs count in: one table, so that the limits hold for all files together.
struct Tally {
    core: Aggregator,
    /// Of frames before the first that counts in a flow.
    ports: Ports,
    timeline: Option<Timeline>,
}

/// What one job has to say of its files, or all of them together.
#[derive(Default)]
struct Part {
    captures: usize,
    /// With the position of the file.
    problems: Vec<(usize, Problem)>,
}

impl Part {
    fn merge(&mut self, other: Self) {
        self.captures += other.captures;
        self.problems.extend(other.problems);
    }

    /// Reads one file to its end.
    fn read(
        &mut self,
        position: usize,
        file: &Path,
        tally: &Mutex<Tally>,
        stop: &Stop,
        progress: &ProgressBar,
    ) {
        let mut trouble = |error| {
            let file = file.to_owned();
            self.problems.push((position, Problem { file, error }));
        };
        let opened = Input::open(file, stop, progress).and_then(capture::unpack);
        let mut reader = match opened {
            Ok(stream) => CaptureReader::recovering(stream),
            Err(error) => return trouble(CaptureError::Read(error).into()),
        };
        let result = read_frames(&mut reader, tally);
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

/// The lock is held for what one read brought: reading and unpacking go on side by side.
fn read_frames(
    reader: &mut CaptureReader<impl Read>,
    tally: &Mutex<Tally>,
) -> Result<(), CaptureError> {
    let mut newest = Duration::ZERO;
    while reader.fill()? {
        let mut tally = tally.lock().expect(NO_PANIC);
        let Tally {
            core,
            ports,
            timeline,
        } = &mut *tally;
        if timeline.as_ref().is_some_and(Timeline::has_failed) {
            return Ok(());
        }
        let mut has_counted = core.frames().counted() > 0;
        while let Some(frame) = reader.next_frame()? {
            match timeline {
                None => core.frame(frame.at, &frame),
                Some(timeline) => {
                    // Simple packet blocks of pcapng have no time: that of the frames before.
                    let at = if frame.at.is_zero() { newest } else { frame.at };
                    newest = newest.max(at);
                    core.frame_noted(frame.at, &frame, |outcome, has_place| {
                        timeline.note(at, outcome, has_place);
                    });
                }
            }
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
