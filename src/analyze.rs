//! The one-shot run: reads captures and writes the metrics of the packets in them.

mod frame_sink;
mod inner_frames;
mod input;
mod look;
mod output;
mod pipeline;
mod progress;
mod queue;
mod stop;
mod survey;
mod timeline;

use std::io::{self, Read, Write};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use indicatif::ProgressBar;
use thiserror::Error;

use crate::aggregator::{Aggregator, FrameBatch, Settings};
use crate::capture::{self, CaptureError, CaptureReader, Content, Damage};
use crate::flow::{Labels, NoDatabase, Occupancy};
use crate::geo;
use crate::names::{self, NameTable, Names, Source};
use crate::wire::DecodeOptions;
use frame_sink::{FrameSink, InOrder};
use inner_frames::InnerFrames;
pub use inner_frames::{CannotWrite, NotWritten};
pub use output::Output;
use pipeline::Reading;
use queue::{FrameClock, Queue, RunSummary};
pub use stop::Stop;
use survey::SkippedContents;
pub use survey::Survey;
use timeline::Timeline;
pub use timeline::{Silence, TimelineError};

/// What to analyse, and what to write.
#[derive(Debug)]
pub struct Options {
    /// The captures; `-` is standard input.
    pub files: Vec<PathBuf>,
    /// How many threads read, decode and count; `None` for the number of processors. The output does
    /// not depend on it.
    pub jobs: Option<usize>,
    /// Whether to hide the progress bar.
    pub quiet: bool,
    /// The capture to write the mirrored frames to; `-` is standard output. With one, files are read
    /// one after the other.
    pub write_inner: Option<PathBuf>,
    /// Sources of names. With those that learn from the traffic, files are read one after the other.
    pub names: Vec<Source>,
    /// Databases of countries and network operators.
    pub geo_databases: Vec<PathBuf>,
    pub output: Output,
}

/// The warnings and errors of a run.
#[derive(Debug, Default)]
pub struct Report {
    /// What was wrong with the inputs, in their order.
    pub problems: Vec<Problem>,
    /// Mirrored frames that the capture of `write_inner` lacks.
    pub not_written: Option<NotWritten>,
    /// Why the capture of `write_inner` is missing or incomplete.
    pub cannot_write: Option<CannotWrite>,
    /// Why a source of names or a database cannot be used. Nothing was read then.
    pub cannot_look_up: Option<CannotLookUp>,
    /// What the captures hold instead, if nothing in them counts in a flow.
    pub nothing_counted: Option<Survey>,
    /// Set if packets were counted as `other`.
    pub limit_reached: Option<LimitReached>,
    /// Set if hosts were counted as `other`.
    pub host_limit_reached: Option<HostLimitReached>,
    /// Set if a timeline has gaps.
    pub silence: Option<Silence>,
    /// Why the output is missing or incomplete.
    pub failure: Option<Failure>,
}

/// Why a source of names or a database cannot be used.
#[derive(Debug, Error)]
pub enum CannotLookUp {
    #[error(transparent)]
    Names(#[from] names::Error),
    #[error(transparent)]
    Geo(#[from] geo::Error),
    #[error(transparent)]
    NoDatabase(#[from] NoDatabase),
}

/// Why the output is missing or incomplete.
#[derive(Debug, Error)]
pub enum Failure {
    #[error("cannot write to standard output")]
    Output(#[from] io::Error),
    #[error(transparent)]
    Timeline(#[from] TimelineError),
}

impl Failure {
    /// Returns whether the reader of the output closed it, as `head` does. That is not an error.
    #[must_use]
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// Packets whose flow was beyond the limit.
#[derive(Debug, Error)]
#[error(
    "the limit of {} flows was reached: {} packets were counted as `other`; there were \
     about {} flows: raise --max-flows, or choose fewer --labels",
    .0.limit, .0.overflow_packets, .0.demand
)]
pub struct LimitReached(Occupancy);

/// Hosts beyond the limit.
#[derive(Debug, Error)]
#[error(
    "the limit of {} hosts was reached: further hosts were counted as `other`: raise --max-hosts",
    .0.host_limit
)]
pub struct HostLimitReached(Occupancy);

/// Something wrong with one input. All frames of it that could be read are counted.
#[derive(Debug, Error)]
#[error("{}: {error}", name(.file))]
pub struct Problem {
    pub file: PathBuf,
    pub error: InputError,
}

/// What was wrong with an input.
#[derive(Debug, Error)]
pub enum InputError {
    #[error(transparent)]
    Capture(#[from] CaptureError),
    #[error("{0}")]
    NotACapture(Content),
    #[error("{0}")]
    Damage(Damage),
    #[error("same file as {}; counted once", name(.0))]
    Duplicate(PathBuf),
}

impl Problem {
    /// Returns whether this is normal. A capture ends in the middle of a record if the program that
    /// wrote it was stopped.
    #[must_use]
    pub fn is_warning(&self) -> bool {
        match self.error {
            InputError::Capture(
                CaptureError::CutShort { .. } | CaptureError::ZerosAtEnd { .. },
            )
            | InputError::Duplicate(_) => true,
            // An error if there is nothing before the cut.
            InputError::Capture(CaptureError::CompressedCutShort { offset }) => offset > 0,
            InputError::Capture(_) | InputError::NotACapture(_) | InputError::Damage(_) => false,
        }
    }
}

/// Reads every input and writes the output to `out`, unless no input was a capture. An error with
/// one input or output does not stop the others; the report has all of them.
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
    let (names, databases) =
        match open_lookups(options.names, options.geo_databases, settings.shape.labels) {
            Ok(lookups) => lookups,
            Err(error) => {
                return Report {
                    cannot_look_up: Some(error),
                    ..Report::default()
                };
            }
        };
    let (files, duplicates) = input::distinct(options.files);
    let progress = if options.quiet {
        ProgressBar::hidden()
    } else {
        progress::bar(input::total_size(&files))
    };

    let limits = settings.limits;
    let mut core = Aggregator::new(settings);
    core.set_databases(Arc::new(databases.databases()));
    let learns = names.as_ref().is_some_and(|names| names.protocols().any());
    if let Some(names) = names.as_ref().filter(|_| learns) {
        core.learn_names(Arc::clone(names));
    }
    let mut timeline = output
        .step()
        .map(|step| Timeline::new(step, &limits, core.flows().shape()));
    let queue = Queue::new(&files, stop, &progress);
    let processors = || thread::available_parallelism().map_or(1, NonZero::get);
    let jobs = options.jobs.unwrap_or_else(processors);
    let threads = useful_threads(jobs, files.len());
    let mut summary = if inner.is_some() || timeline.is_some() {
        let batch = core.batch();
        let mut in_order = InOrder {
            core: &mut core,
            inner: inner.as_mut(),
            timeline: timeline.as_mut(),
        };
        run_in_this_thread(&queue, &decode, batch, &mut in_order)
    } else if threads == 1 {
        run_in_this_thread(&queue, &decode, core.batch(), &mut core)
    } else {
        run_in_threads(threads, &queue, &decode, &mut core, learns)
    };
    progress.finish_and_clear();

    for (position, file, original) in duplicates {
        let error = InputError::Duplicate(original);
        summary.problems.push((position, Problem { file, error }));
    }
    summary.problems.sort_by_key(|(position, _)| *position);
    // Then reading stopped early, and a survey would be of a part of the captures.
    let has_given_up = inner
        .as_ref()
        .is_some_and(InnerFrames::has_failed_as_only_output)
        || timeline.as_ref().is_some_and(Timeline::has_failed);
    let (not_written, cannot_write) = inner.map_or((None, None), InnerFrames::finish);
    let occupancy = core.flows().occupancy();
    let mut silence = None;
    let mut failure = None;
    if summary.captures > 0 {
        // No name has ended at this time: those of the whole run are shown.
        let names = names.map(|names| names.all(Duration::ZERO));
        let threads = useful_threads(jobs, 1);
        match write(output, timeline, &mut core, names.as_ref(), threads, out) {
            Ok(found) => silence = found,
            Err(error) => failure = Some(error),
        }
    }
    let has_counted = core.frames().counted() > 0;
    // Without metrics as output, limits change nothing.
    let is_limit_reached = occupancy.overflow_packets > 0 && output != Output::Nothing;
    let is_host_limit_reached = occupancy.other_host_packets > 0 && output != Output::Nothing;
    Report {
        problems: summary
            .problems
            .into_iter()
            .map(|(_, problem)| problem)
            .collect(),
        not_written,
        cannot_write,
        cannot_look_up: None,
        nothing_counted: (summary.captures > 0 && !has_counted && !has_given_up).then(|| Survey {
            contents: summary.contents,
            frames: core.frames().clone(),
            decode: decode.clone(),
        }),
        limit_reached: is_limit_reached.then_some(LimitReached(occupancy)),
        host_limit_reached: is_host_limit_reached.then_some(HostLimitReached(occupancy)),
        silence,
        failure,
    }
}

/// Opens the sources of names, if any were chosen, and the databases.
fn open_lookups(
    sources: Vec<Source>,
    databases: Vec<PathBuf>,
    labels: Labels,
) -> Result<(Option<Arc<Names>>, geo::Files), CannotLookUp> {
    let databases = geo::Files::open(databases)?;
    labels.check_databases(&databases.databases())?;
    if sources.is_empty() {
        return Ok((None, databases));
    }
    let names = Names::open(sources)?;
    Ok((Some(Arc::new(names)), databases))
}

/// Writes the output. Returns the gaps of a timeline.
fn write(
    output: Output,
    timeline: Option<Timeline>,
    core: &mut Aggregator,
    names: Option<&NameTable>,
    threads: usize,
    out: &mut impl Write,
) -> Result<Option<Silence>, Failure> {
    let silence = if let Some(timeline) = timeline {
        timeline.write(core, out, names.unwrap_or(&NameTable::default()))?
    } else {
        output.write(out, core, names, threads)?;
        None
    };
    out.flush()?;
    Ok(silence)
}

/// Returns how many threads to start: for one file at most four, because reading and counting happen
/// in one thread at a time, and are more than a fourth of the work.
fn useful_threads(jobs: usize, files: usize) -> usize {
    jobs.min(files.max(4))
}

/// Reads several files at the same time, as long as the order of their frames does not matter. It
/// matters once the slots for flows run out, because the first flows get them: then discards the
/// counts, and reads the files again one after the other, so that every run has the same result.
///
/// Inputs that can be read only once, such as pipes, are read one after the other.
fn run_in_threads(
    threads: usize,
    queue: &Queue<'_>,
    decode: &DecodeOptions,
    core: &mut Aggregator,
    learns_names: bool,
) -> RunSummary {
    // The last name of an address wins.
    if !learns_names && queue.files().len() > 1 && input::can_be_read_again(queue.files()) {
        if let Some(summary) = pipeline::run(Reading::InAnyOrder, threads, queue, decode, core) {
            return summary;
        }
        core.start_over();
        queue.start_over();
    }
    pipeline::run(Reading::InOrder, threads, queue, decode, core).unwrap_or_default()
}

/// Reads all files in this thread, one after the other.
fn run_in_this_thread(
    queue: &Queue<'_>,
    decode: &DecodeOptions,
    mut batch: FrameBatch,
    sink: &mut impl FrameSink,
) -> RunSummary {
    let mut summary = RunSummary::default();
    while let Some(opened) = queue.open_next(capture::unpack) {
        match opened {
            Ok((file, stream)) => {
                let mut reader = CaptureReader::recovering(stream);
                let contents = &mut summary.contents;
                let result = read_frames(&mut reader, decode, contents, &mut batch, sink);
                summary.add(file, &mut reader, result, queue.stop);
            }
            Err(problem) => summary.problems.push(problem),
        }
    }
    sink.record_batch(&mut batch);
    summary
}

/// Hands all frames of a capture to `sink`. Until one counts in a flow, `contents` gets them too.
fn read_frames(
    reader: &mut CaptureReader<impl Read>,
    decode: &DecodeOptions,
    contents: &mut SkippedContents,
    batch: &mut FrameBatch,
    sink: &mut impl FrameSink,
) -> Result<(), CaptureError> {
    let mut clock = FrameClock::default();
    let mut has_counted = false;
    while reader.fill()? {
        reader.each_group(|frames| {
            let counts = sink.add(batch, &mut clock, frames);
            if !has_counted {
                has_counted = counts;
                for frame in frames {
                    contents.add(frame, decode);
                }
            }
        })?;
        sink.pause();
        // Without a header, reads on: an input that is not a capture is always reported.
        if sink.has_failed() && reader.has_header() {
            break;
        }
    }
    Ok(())
}

/// Returns how messages name an input.
fn name(file: &Path) -> std::borrow::Cow<'_, str> {
    if input::is_standard_input(file) {
        "standard input".into()
    } else {
        file.to_string_lossy()
    }
}
