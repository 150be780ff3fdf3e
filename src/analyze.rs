//! The one-shot run: reads captures, writes the metrics of what is in them.

mod counting;
mod inner_frames;
mod input;
mod output;
mod progress;
mod stop;
mod survey;
mod table;
mod timeline;

use std::io::{self, Read, Write};
use std::iter;
use std::num::NonZero;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread;

use indicatif::ProgressBar;
use thiserror::Error;

use crate::aggregator::{Aggregator, Intake, Settings};
use crate::capture::{self, CaptureError, CaptureReader, Damage};
use crate::flow::Occupancy;
use counting::{Counting, Elsewhere, Noted};
use inner_frames::InnerFrames;
pub use inner_frames::{CannotWrite, NotWritten};
use input::Input;
pub use output::Output;
pub use stop::Stop;
use survey::Holdings;
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
    /// Where the mirrored frames are written to as well. Files are read one at a time then.
    pub write_inner: Option<PathBuf>,
    pub output: Output,
}

/// What is to be said about a run, besides its output.
#[derive(Debug, Default)]
pub struct Report {
    pub problems: Vec<Problem>,
    pub not_written: Option<NotWritten>,
    pub cannot_write: Option<CannotWrite>,
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
            Trouble::Capture(CaptureError::CutShort { .. } | CaptureError::ZerosAtEnd { .. })
            | Trouble::Again(_) => true,
            // Unless there is nothing before the cut.
            Trouble::Capture(CaptureError::CompressedCutShort { offset }) => offset > 0,
            Trouble::Capture(_) | Trouble::Damage(_) => false,
        }
    }
}

/// Reads every input and writes what is asked for to `out`, unless no input was a capture.
///
/// # Errors
/// Those of `out`, and those of a timeline. Problems with the inputs are returned as values: the
/// others still count.
pub fn run(
    options: Options,
    settings: Settings,
    stop: &Stop,
    out: &mut impl Write,
) -> Result<Report, Failure> {
    let reading = settings.reading.clone();
    let ports = &reading.listen_ports;
    let create = |file| InnerFrames::create(file, &options.files, ports.clone());
    let mut inner = match options.write_inner.map(create).transpose() {
        Ok(inner) => inner,
        Err(error) => {
            return Ok(Report {
                cannot_write: Some(error),
                ..Report::default()
            });
        }
    };
    let (files, again) = input::distinct(options.files);
    let progress = if options.quiet {
        ProgressBar::hidden()
    } else {
        progress::bar(input::total_size(&files))
    };

    let idle_timeout = settings.limits.idle_timeout;
    let mut core = Aggregator::new(settings);
    let mut timeline = options
        .output
        .step()
        .map(|step| Timeline::new(step, idle_timeout, core.flows().shape()));
    let job = Job {
        files: &files,
        next: &AtomicUsize::new(0),
        stop,
        progress: &progress,
    };
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let jobs = options.jobs.unwrap_or(processors);
    let intake = core.intake();
    let mut whole = if inner.is_some() || timeline.is_some() {
        let mut noted = Noted {
            core: &mut core,
            inner: inner.as_mut(),
            timeline: timeline.as_mut(),
        };
        job.run(intake, &mut noted)
    } else if jobs == 1 {
        job.run(intake, &mut core)
    } else {
        run_side_by_side(&job, jobs.min(files.len()), &mut core)
    };
    progress.finish_and_clear();

    for (position, file, before) in again {
        let error = Trouble::Again(before);
        whole.problems.push((position, Problem { file, error }));
    }
    whole.problems.sort_by_key(|(position, _)| *position);
    let (not_written, cannot_write) = inner.map_or((None, None), InnerFrames::finish);
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
        not_written,
        cannot_write,
        nothing_counted: (whole.captures > 0 && !has_counted).then(|| Survey {
            holdings: whole.holdings,
            frames: core.frames().clone(),
            reading,
        }),
        limit_reached: (occupancy.overflow_packets > 0).then_some(LimitReached(occupancy)),
        silence,
    })
}

/// Some threads read and look into the frames of a file each, and this one counts.
fn run_side_by_side(job: &Job<'_>, threads: usize, core: &mut Aggregator) -> Part {
    /// For each thread: one that it fills, and others that wait to be counted. There are no more,
    /// so that a thread waits for the counting, not memory.
    const INTAKES: usize = 4;
    /// Large enough that waking each other is rare.
    const PACKETS: usize = 8192;

    let (filled, counting) = mpsc::channel();
    let (emptied, empty) = mpsc::channel();
    for _ in 0..threads * INTAKES {
        let _ = emptied.send(core.intake_of(PACKETS));
    }
    let empty = Mutex::new(empty);
    thread::scope(|scope| {
        // Those that the system allows do the work of all.
        let threads: Vec<_> = iter::repeat_n(filled, threads)
            .map_while(|filled| {
                let mut elsewhere = Elsewhere {
                    filled,
                    empty: &empty,
                };
                let run = move || job.run(elsewhere.empty(), &mut elsewhere);
                thread::Builder::new().spawn_scoped(scope, run).ok()
            })
            .collect();
        if threads.is_empty() {
            return job.run(core.intake(), core);
        }
        for mut intake in counting {
            core.take_in(&mut intake);
            let _ = emptied.send(intake);
        }
        let mut whole = Part::default();
        for thread in threads {
            whole.merge(thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        whole
    })
}

/// The reading of files, one after the other, until there are no more.
#[derive(Clone, Copy)]
struct Job<'a> {
    /// With their positions.
    files: &'a [(usize, PathBuf)],
    next: &'a AtomicUsize,
    stop: &'a Stop,
    progress: &'a ProgressBar,
}

/// What one thread has to say of its files, or all of them together.
#[derive(Default)]
struct Part {
    captures: usize,
    /// With the position of the file.
    problems: Vec<(usize, Problem)>,
    /// Of frames before the first that counts in a flow.
    holdings: Holdings,
}

impl Job<'_> {
    fn run(&self, mut intake: Intake, counting: &mut impl Counting) -> Part {
        let mut part = Part::default();
        while let Some((position, file)) = self.files.get(self.next.fetch_add(1, Ordering::Relaxed))
        {
            for error in self.read(file, &mut part, &mut intake, counting) {
                let file = file.clone();
                part.problems.push((*position, Problem { file, error }));
            }
        }
        counting.take_in(&mut intake);
        part
    }

    /// Reads one file to its end, and returns what was wrong with it.
    fn read(
        &self,
        file: &Path,
        part: &mut Part,
        intake: &mut Intake,
        counting: &mut impl Counting,
    ) -> Vec<Trouble> {
        let opened = Input::open(file, self.stop, self.progress).and_then(capture::unpack);
        let mut reader = match opened {
            Ok(stream) => CaptureReader::recovering(stream),
            Err(error) => return vec![CaptureError::Read(error).into()],
        };
        counting.begin_file();
        let result = read_frames(&mut reader, &mut part.holdings, intake, counting);
        part.captures += usize::from(reader.has_header());
        let damage = reader.damage().cloned().map(Trouble::Damage);
        // What a signal cut short is no news.
        let error = result.err().filter(|_| !self.stop.is_asked_for());
        damage.into_iter().chain(error.map(Trouble::from)).collect()
    }
}

fn read_frames(
    reader: &mut CaptureReader<impl Read>,
    holdings: &mut Holdings,
    intake: &mut Intake,
    counting: &mut impl Counting,
) -> Result<(), CaptureError> {
    let mut has_counted = false;
    while !counting.has_failed() && reader.fill()? {
        reader.each_frame(|frame| {
            let counts = counting.frame(intake, frame);
            if !has_counted {
                has_counted = counts;
                holdings.add(frame);
            }
        })?;
    }
    Ok(())
}

impl Part {
    fn merge(&mut self, other: Self) {
        self.captures += other.captures;
        self.problems.extend(other.problems);
        self.holdings.merge(other.holdings);
    }
}

fn name(file: &Path) -> std::borrow::Cow<'_, str> {
    if input::is_standard_input(file) {
        "standard input".into()
    } else {
        file.to_string_lossy()
    }
}
