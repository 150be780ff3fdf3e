//! The one-shot run: reads captures, writes the metrics of what is in them.

mod input;
mod progress;
mod stop;
mod survey;

use std::io::{self, Read, Write};
use std::mem;
use std::num::NonZero;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Duration;

use indicatif::ProgressBar;
use thiserror::Error;

use crate::aggregator::{Aggregator, Intake, Settings};
use crate::capture::{self, CaptureError, CaptureReader, Damage};
use crate::flow::Occupancy;
use crate::metrics;
use input::Input;
pub use stop::Stop;
use survey::Ports;
pub use survey::Survey;

/// What is to be analysed.
#[derive(Debug)]
pub struct Options {
    /// `-` is standard input.
    pub files: Vec<PathBuf>,
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
pub fn run(
    options: Options,
    settings: Settings,
    stop: &Stop,
    out: &mut impl Write,
) -> io::Result<Report> {
    let (files, again) = input::distinct(options.files);
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let jobs = options.jobs.unwrap_or(processors);
    let progress = if options.quiet {
        ProgressBar::hidden()
    } else {
        progress::bar(input::total_size(&files))
    };

    let listen_ports = settings.reading.listen_ports.clone();
    let mut core = Aggregator::new(settings);
    let job = Job {
        files: &files,
        next: &AtomicUsize::new(0),
        stop,
        progress: &progress,
    };
    let mut whole = if jobs == 1 {
        job.run(core.intake(), |intake| core.take_in(intake))
    } else {
        run_side_by_side(&job, jobs.min(files.len()), &mut core)
    };
    progress.finish_and_clear();

    for (position, file, before) in again {
        let error = Trouble::Again(before);
        whole.problems.push((position, Problem { file, error }));
    }
    whole.problems.sort_by_key(|(position, _)| *position);
    let occupancy = core.flows().occupancy();
    if whole.captures > 0 {
        // At the time of the newest frame, or of what the table takes for it.
        let snapshot = core.scrape(Duration::ZERO);
        metrics::write_analysis(out, snapshot, core.frames())?;
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
            listen_ports,
        }),
        limit_reached: (occupancy.overflow_packets > 0).then_some(LimitReached(occupancy)),
    })
}

/// Some threads read and look into the frames of a file each, and this one counts.
fn run_side_by_side(job: &Job<'_>, threads: usize, core: &mut Aggregator) -> Part {
    /// For each thread: one that it fills, and others that wait to be counted. There are no more,
    /// so that a thread waits for the counting, not memory.
    const INTAKES: usize = 4;

    let (fill, filled) = mpsc::channel();
    let (empty, emptied) = mpsc::channel();
    let emptied = Mutex::new(emptied);
    let next_empty = || {
        let emptied = emptied.lock().expect("no thread panics with the lock");
        emptied.recv().expect("the counting outlives the reading")
    };
    thread::scope(|scope| {
        for _ in 0..threads * INTAKES {
            let _ = empty.send(core.intake());
        }
        let threads: Vec<_> = (0..threads)
            .map(|_| {
                let fill = fill.clone();
                let run = || {
                    job.run(next_empty(), move |intake| {
                        let _ = fill.send(mem::replace(intake, next_empty()));
                    })
                };
                scope.spawn(run)
            })
            .collect();
        drop(fill);
        for mut intake in filled {
            core.take_in(&mut intake);
            let _ = empty.send(intake);
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
    ports: Ports,
}

impl Job<'_> {
    /// Hands over each intake when it is full, and at the end, and gets back an empty one.
    fn run(&self, mut intake: Intake, mut hand_over: impl FnMut(&mut Intake)) -> Part {
        let mut part = Part::default();
        while let Some((position, file)) = self.files.get(self.next.fetch_add(1, Ordering::Relaxed))
        {
            for error in self.read(file, &mut part, &mut intake, &mut hand_over) {
                let file = file.clone();
                part.problems.push((*position, Problem { file, error }));
            }
        }
        hand_over(&mut intake);
        part
    }

    /// Reads one file to its end, and returns what was wrong with it.
    fn read(
        &self,
        file: &Path,
        part: &mut Part,
        intake: &mut Intake,
        hand_over: impl FnMut(&mut Intake),
    ) -> Vec<Trouble> {
        let opened = Input::open(file, self.stop, self.progress).and_then(capture::unpack);
        let mut reader = match opened {
            Ok(stream) => CaptureReader::recovering(stream),
            Err(error) => return vec![CaptureError::Read(error).into()],
        };
        let result = read_frames(&mut reader, &mut part.ports, intake, hand_over);
        part.captures += usize::from(reader.has_header());
        let damage = reader.damage().cloned().map(Trouble::Damage);
        // What a signal cut short is no news.
        let error = result.err().filter(|_| !self.stop.is_asked_for());
        damage.into_iter().chain(error.map(Trouble::from)).collect()
    }
}

fn read_frames(
    reader: &mut CaptureReader<impl Read>,
    ports: &mut Ports,
    intake: &mut Intake,
    mut hand_over: impl FnMut(&mut Intake),
) -> Result<(), CaptureError> {
    let mut has_counted = false;
    while reader.fill()? {
        while let Some(frame) = reader.next_frame()? {
            intake.frame(frame.at, &frame);
            if !has_counted {
                has_counted = !intake.is_empty();
                ports.add(&frame);
            }
            if intake.is_full() {
                hand_over(intake);
            }
        }
    }
    Ok(())
}

impl Part {
    fn merge(&mut self, other: Self) {
        self.captures += other.captures;
        self.problems.extend(other.problems);
        self.ports.merge(other.ports);
    }
}

fn name(file: &Path) -> std::borrow::Cow<'_, str> {
    if input::is_standard_input(file) {
        "standard input".into()
    } else {
        file.to_string_lossy()
    }
}
