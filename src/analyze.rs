//! The one-shot run: reads captures, writes the metrics of what is in them.

mod counting;
mod inner_frames;
mod input;
mod look;
mod output;
mod progress;
mod stop;
mod survey;
mod timeline;

use std::io::{self, Read, Write};
use std::iter;
use std::num::NonZero;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Duration;

use indicatif::ProgressBar;
use thiserror::Error;

use crate::aggregator::{Aggregator, FrameBatch, Settings};
use crate::capture::{self, CaptureError, CaptureReader, Content, Damage};
use crate::flow::Occupancy;
use crate::wire::DecodeOptions;
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
    /// How many files are read at a time; without a number, as many as there are processors. It
    /// makes no difference to what is written.
    pub jobs: Option<usize>,
    /// Shows no progress.
    pub quiet: bool,
    /// Where the mirrored frames are written to as well; `-` is standard output. Files are read one
    /// at a time then.
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
    /// Why the output is not there whole. What is known about the inputs stands beside it.
    pub failure: Option<Failure>,
}

/// Why nothing, or not everything, was written.
#[derive(Debug, Error)]
pub enum Failure {
    #[error("cannot write to standard output")]
    Output(#[from] io::Error),
    #[error(transparent)]
    Timeline(#[from] TimelineError),
}

impl Failure {
    /// Whether whoever reads the output has seen enough.
    #[must_use]
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
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
    NotACapture(Content),
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
            Trouble::Capture(_) | Trouble::NotACapture(_) | Trouble::Damage(_) => false,
        }
    }
}

/// Reads every input and writes what is asked for to `out`, unless no input was a capture. All
/// that goes wrong is in the report: it keeps nothing else from being read or written.
pub fn run(options: Options, settings: Settings, stop: &Stop, out: &mut impl Write) -> Report {
    let decode = settings.decode.clone();
    let ports = &decode.listen_ports;
    let output = options.output;
    let create = |file| InnerFrames::create(file, output, &options.files, ports.clone());
    let mut inner = match options.write_inner.map(create).transpose() {
        Ok(inner) => inner,
        Err(error) => {
            return Report {
                cannot_write: Some(error),
                ..Report::default()
            };
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
    let mut timeline = output
        .step()
        .map(|step| Timeline::new(step, idle_timeout, core.flows().shape()));
    let job = Job {
        files: &files,
        decode: &decode,
        next: &AtomicUsize::new(0),
        stop,
        progress: &progress,
    };
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let jobs = options.jobs.unwrap_or(processors);
    let batch = core.batch();
    let mut whole = if inner.is_some() || timeline.is_some() {
        let mut noted = Noted {
            core: &mut core,
            inner: inner.as_mut(),
            timeline: timeline.as_mut(),
        };
        job.run(batch, &mut noted)
    } else if jobs == 1 {
        job.run(batch, &mut core)
    } else {
        run_in_any_order(&job, jobs.min(files.len()), &mut core)
    };
    progress.finish_and_clear();

    for (position, file, before) in again {
        let error = Trouble::Again(before);
        whole.problems.push((position, Problem { file, error }));
    }
    whole.problems.sort_by_key(|(position, _)| *position);
    // Then nothing is known of what was not read.
    let has_given_up = inner.as_ref().is_some_and(InnerFrames::is_all_and_failed)
        || timeline.as_ref().is_some_and(Timeline::has_failed);
    let (not_written, cannot_write) = inner.map_or((None, None), InnerFrames::finish);
    let occupancy = core.flows().occupancy();
    let mut silence = None;
    let mut failure = None;
    if whole.captures > 0 {
        match write(output, timeline, &mut core, out) {
            Ok(found) => silence = found,
            Err(error) => failure = Some(error),
        }
    }
    let has_counted = core.frames().counted() > 0;
    // Without metrics, no flow is missing anywhere.
    let is_limit_reached = occupancy.overflow_packets > 0 && output != Output::Nothing;
    Report {
        problems: whole
            .problems
            .into_iter()
            .map(|(_, problem)| problem)
            .collect(),
        not_written,
        cannot_write,
        nothing_counted: (whole.captures > 0 && !has_counted && !has_given_up).then(|| Survey {
            holdings: whole.holdings,
            frames: core.frames().clone(),
            decode: decode.clone(),
        }),
        limit_reached: is_limit_reached.then_some(LimitReached(occupancy)),
        silence,
        failure,
    }
}

/// Writes the output to its end.
fn write(
    output: Output,
    timeline: Option<Timeline>,
    core: &mut Aggregator,
    out: &mut impl Write,
) -> Result<Option<Silence>, Failure> {
    let silence = if let Some(timeline) = timeline {
        timeline.write(out)?
    } else {
        output.write(out, core)?;
        None
    };
    out.flush()?;
    Ok(silence)
}

/// Reads several files at a time while the order of their frames makes no difference. Once it does,
/// because slots for flows run out, starts over and reads one file after the other.
///
/// What can be read only once, such as a pipe, is counted in the order of arrival.
fn run_in_any_order(job: &Job<'_>, threads: usize, core: &mut Aggregator) -> Part {
    let may_start_over = threads > 1 && input::can_be_read_again(job.files);
    if let Some(whole) = run_side_by_side(job, threads, core, may_start_over) {
        return whole;
    }
    core.start_over();
    job.next.store(0, Ordering::Relaxed);
    job.progress.reset();
    run_side_by_side(job, 1, core, false).unwrap_or_default()
}

/// Some threads read and look into the frames of a file each, and this one counts. `None` if
/// this has to be repeated in order.
fn run_side_by_side(
    job: &Job<'_>,
    threads: usize,
    core: &mut Aggregator,
    may_start_over: bool,
) -> Option<Part> {
    /// For each thread: one that it fills, and others that wait to be counted. There are no more,
    /// so that a thread waits for the counting, not memory.
    const BATCHES: usize = 4;
    /// Large enough that waking each other is rare.
    const PACKETS: usize = 8192;

    let (filled, counting) = mpsc::channel();
    let (emptied, empty) = mpsc::channel();
    for _ in 0..threads * BATCHES {
        let _ = emptied.send(core.batch_of(PACKETS));
    }
    let empty = Mutex::new(empty);
    let is_cancelled = AtomicBool::new(false);
    let whole = thread::scope(|scope| {
        // Those that the system allows do the work of all.
        let threads: Vec<_> = iter::repeat_n(filled, threads)
            .map_while(|filled| {
                let mut elsewhere = Elsewhere {
                    filled,
                    empty: &empty,
                    is_cancelled: &is_cancelled,
                };
                let run = move || job.run(elsewhere.empty(), &mut elsewhere);
                thread::Builder::new().spawn_scoped(scope, run).ok()
            })
            .collect();
        if threads.is_empty() {
            return job.run(core.batch(), core);
        }
        for mut batch in counting {
            core.record_batch(&mut batch);
            let _ = emptied.send(batch);
            if may_start_over && core.flows().depends_on_order() {
                is_cancelled.store(true, Ordering::Relaxed);
            }
        }
        let mut whole = Part::default();
        for thread in threads {
            whole.merge(thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        whole
    });
    // After a signal nothing is read any more.
    let is_final = !is_cancelled.into_inner() || job.stop.is_asked_for();
    is_final.then_some(whole)
}

/// The reading of files, one after the other, until there are no more.
#[derive(Clone, Copy)]
struct Job<'a> {
    /// With their positions.
    files: &'a [(usize, PathBuf)],
    decode: &'a DecodeOptions,
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
    fn run(&self, mut batch: FrameBatch, counting: &mut impl Counting) -> Part {
        let mut part = Part::default();
        while let Some((position, file)) = self.files.get(self.next.fetch_add(1, Ordering::Relaxed))
        {
            for error in self.read(file, &mut part, &mut batch, counting) {
                let file = file.clone();
                part.problems.push((*position, Problem { file, error }));
            }
        }
        counting.record_batch(&mut batch);
        part
    }

    /// Reads one file to its end, and returns what was wrong with it.
    fn read(
        &self,
        file: &Path,
        part: &mut Part,
        batch: &mut FrameBatch,
        counting: &mut impl Counting,
    ) -> Vec<Trouble> {
        let opened = Input::open(file, self.stop, self.progress).and_then(capture::unpack);
        let mut reader = match opened {
            Ok(stream) => CaptureReader::recovering(stream),
            Err(error) => return vec![CaptureError::Read(error).into()],
        };
        let result = read_frames(
            &mut reader,
            self.decode,
            &mut part.holdings,
            batch,
            counting,
        );
        part.captures += usize::from(reader.has_header());
        let damage = reader.damage().cloned().map(Trouble::Damage);
        // What a signal cut short is no news.
        let error = result.err().filter(|_| !self.stop.is_asked_for());
        let error = error.map(|error| match error {
            CaptureError::NotACapture => Trouble::NotACapture(reader.content()),
            error => error.into(),
        });
        damage.into_iter().chain(error).collect()
    }
}

fn read_frames(
    reader: &mut CaptureReader<impl Read>,
    decode: &DecodeOptions,
    holdings: &mut Holdings,
    batch: &mut FrameBatch,
    counting: &mut impl Counting,
) -> Result<(), CaptureError> {
    let mut has_counted = false;
    let mut newest = Duration::ZERO;
    while reader.fill()? {
        reader.each_frame(|frame| {
            // Simple packet blocks of pcapng have no time: that of the frames before.
            let at = if frame.at.is_zero() { newest } else { frame.at };
            newest = newest.max(at);
            let counts = counting.frame(batch, at, frame);
            if !has_counted {
                has_counted = counts;
                holdings.add(frame, decode);
            }
        })?;
        counting.pause();
        // What is no capture says so, also where its frames are of no use any more.
        if counting.has_failed() && reader.has_header() {
            break;
        }
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
