//! The values of the metrics after each step of the capture's time: `--every`.
//!
//! Frames may come in any order, and each counts in the step of its own time. Changes are logged by
//! series and step, sorted on disk, and read back, so neither flows nor steps have to fit into
//! memory.

mod change_log;
mod periods;
mod series;

use std::io::{self, Write};
use std::mem;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use std::{env, fmt};

use thiserror::Error;

use super::Failure;
use crate::aggregator::{Aggregator, FrameBatch, FrameCounts};
use crate::flow::{Changes, Counters, FlowLimits, Series, Shape};
use crate::metrics::catalog::{
    FRAMES_RECEIVED, FRAMES_SKIPPED, FRAMES_TRUNCATED, Family, HOST_BYTES, HOST_PACKETS,
    OBSERVED_BYTES, OBSERVED_PACKETS, TRAFFIC_BYTES, TRAFFIC_PACKETS,
};
use crate::metrics::samples::SampleWriter;
use crate::names::NameTable;
use crate::report::time;
use crate::wire::{Skipped, Truncated};
use change_log::{ChangeLog, Sorted};
use periods::{Periods, SampleTimes};
use series::{SeriesBytes, TimelineSeries};

/// The most samples that are written: about 15 GB of text.
const MAX_SAMPLES: u64 = 100_000_000;
/// A longer time without frames has no samples. Prometheus uses the last value of a series for the
/// same time, its lookback delta.
const MAX_BRIDGE: Duration = Duration::from_mins(5);
/// The last second of the year 9999. Later frames count there.
const LAST_SECOND: u64 = 253_402_300_799;

/// Why a timeline was not written.
#[derive(Debug, Error)]
pub enum TimelineError {
    #[error(
        "cannot use a temporary file in {directory}, which TMPDIR chooses: {0}",
        directory = env::temp_dir().display()
    )]
    Storage(io::Error),
    #[error(
        "this takes more than {MAX_SAMPLES} samples: choose a longer --every, fewer --labels, or \
         a --flow-idle-timeout, which ends the series of idle flows"
    )]
    TooManySamples,
}

/// Gaps in a timeline: times without samples, because no frames were captured.
#[derive(Debug)]
pub struct Silence {
    /// How many gaps there are.
    gaps: usize,
    /// When the longest gap begins and ends, since the Unix epoch.
    longest: (Duration, Duration),
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (begin, end) = self.longest;
        let [begin, end] = [begin, end].map(time::seconds);
        write!(
            f,
            "there are no samples between {begin} and {end}: no frames were captured"
        )?;
        match self.gaps {
            1 => Ok(()),
            2 => write!(f, "; there is another such gap"),
            gaps => write!(f, "; there are {} other such gaps", gaps - 1),
        }
    }
}

/// Logs what changes in each step, and writes the samples when all frames were counted.
#[derive(Debug)]
pub(super) struct Timeline {
    step: Duration,
    /// A series of a flow or a host ends after this time without a change; zero for never.
    idle_timeout: Duration,
    /// Whether hosts are counted.
    has_hosts: bool,
    log: ChangeLog,
    /// The current step, in seconds since the Unix epoch. Empty before the first frame.
    current: Range<u64>,
    /// What the frames counted so far in the current step have changed, as far as it is not logged.
    changes: Changes,
    frames: FrameCounts,
    shape: Arc<Shape>,
    /// The first step with a frame.
    oldest: Option<u64>,
    /// The first error of the temporary file. Nothing is logged after it.
    failure: Option<io::Error>,
}

impl Timeline {
    /// Creates a timeline whose `step` is in whole seconds, one or more.
    pub(super) fn new(step: Duration, limits: &FlowLimits, shape: &Arc<Shape>) -> Self {
        Self {
            step,
            idle_timeout: limits.idle_timeout,
            has_hosts: limits.hosts > 0,
            log: ChangeLog::default(),
            current: 0..0,
            changes: Changes::default(),
            frames: FrameCounts::default(),
            shape: Arc::clone(shape),
            oldest: None,
            failure: None,
        }
    }

    /// Returns whether logging failed, so that nothing will be written.
    pub(super) fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// Returns whether a frame that arrived at `at`, since the Unix epoch, counts in the current
    /// step.
    #[inline]
    pub(super) fn is_in_step(&self, at: Duration) -> bool {
        self.current.contains(&at.as_secs().min(LAST_SECOND))
    }

    /// Begins the step of a frame that arrived at `at`: the next one, or any other if frames are not
    /// in order. The frames before it were counted in `core`.
    pub(super) fn begin_step(&mut self, core: &mut Aggregator, at: Duration) {
        self.end_step(core);
        let seconds = self.step.as_secs();
        let step = at.as_secs().min(LAST_SECOND) / seconds;
        self.current = step * seconds..(step + 1) * seconds;
        self.oldest = Some(self.oldest.map_or(step, |oldest| oldest.min(step)));
    }

    /// Counts a batch of frames of the current step in `core`, and empties it.
    pub(super) fn record(&mut self, core: &mut Aggregator, batch: &mut FrameBatch) {
        let frames = core.record_batch_with(batch, &mut self.changes);
        self.frames.add(&frames);
        if self.changes.is_full() {
            self.end_step(core);
        }
    }

    /// Logs what has changed in the current step. May be called several times in a step.
    fn end_step(&mut self, core: &mut Aggregator) {
        let step = self.current.start / self.step.as_secs();
        let frames = mem::take(&mut self.frames);
        let mut log = |series: TimelineSeries, counters: Counters| {
            if self.failure.is_none() && counters.packets > 0 {
                let series = series.to_bytes();
                self.failure = self.log.add(series, step, counters).err();
            }
        };
        log(TimelineSeries::Received, frames_only(frames.received));
        for reason in Skipped::ALL {
            let frames = frames_only(frames.skipped(reason));
            log(TimelineSeries::Skipped(reason), frames);
        }
        for cause in Truncated::ALL {
            let frames = frames_only(frames.truncated(cause));
            log(TimelineSeries::Truncated(cause), frames);
        }
        core.take_changes(&mut self.changes, |series, counters| {
            log(TimelineSeries::Counted(series), counters);
        });
    }

    /// Gives every reason and every cause a sample from the first step on, as in a live capture.
    fn add_zeros(&mut self) {
        let Some(step) = self.oldest else {
            return;
        };
        let reasons = Skipped::ALL.map(TimelineSeries::Skipped);
        let causes = Truncated::ALL.map(TimelineSeries::Truncated);
        for series in reasons.into_iter().chain(causes) {
            let zero = Counters::default();
            if let Err(error) = self.log.add(series.to_bytes(), step, zero) {
                self.failure = Some(error);
            }
        }
    }

    /// Writes all samples, unless there are too many. All frames were counted in `core`; `names` are
    /// those of addresses in labels.
    pub(super) fn write(
        mut self,
        core: &mut Aggregator,
        out: &mut impl Write,
        names: &NameTable,
    ) -> Result<Option<Silence>, Failure> {
        self.end_step(core);
        self.add_zeros();
        if let Some(error) = self.failure {
            return Err(TimelineError::Storage(error).into());
        }
        let step = self.step.as_secs();
        let in_steps = |time: Duration| time.as_secs().div_ceil(step).max(1);
        let mut source = SampleSource {
            changes: self.log.finish(),
            periods: Periods::new(in_steps(MAX_BRIDGE)),
            idle: (!self.idle_timeout.is_zero()).then(|| in_steps(self.idle_timeout)),
            step,
            shape: &self.shape,
            names,
        };
        source.find_periods()?;
        source.check_size()?;
        let mut samples = SampleWriter::new(out);
        source.write(&mut samples, FRAMES_RECEIVED, is_received, packets)?;
        source.write(&mut samples, FRAMES_SKIPPED, is_skipped, packets)?;
        source.write(&mut samples, FRAMES_TRUNCATED, is_truncated, packets)?;
        if self.has_hosts {
            source.write(&mut samples, HOST_BYTES, is_host, bytes)?;
            source.write(&mut samples, HOST_PACKETS, is_host, packets)?;
        }
        source.write(&mut samples, OBSERVED_BYTES, is_flow, bytes)?;
        source.write(&mut samples, OBSERVED_PACKETS, is_flow, packets)?;
        source.write(&mut samples, TRAFFIC_BYTES, is_traffic, bytes)?;
        source.write(&mut samples, TRAFFIC_PACKETS, is_traffic, packets)?;
        samples.finish()?;
        Ok(source.silence())
    }
}

/// Returns counters of frames, which count no bytes.
fn frames_only(frames: u64) -> Counters {
    Counters {
        bytes: 0,
        packets: frames,
    }
}

fn is_received(series: TimelineSeries) -> bool {
    series == TimelineSeries::Received
}

fn is_skipped(series: TimelineSeries) -> bool {
    matches!(series, TimelineSeries::Skipped(_))
}

fn is_truncated(series: TimelineSeries) -> bool {
    matches!(series, TimelineSeries::Truncated(_))
}

fn is_flow(series: TimelineSeries) -> bool {
    matches!(
        series,
        TimelineSeries::Counted(Series::Flow(_) | Series::Overflow(_))
    )
}

fn is_host(series: TimelineSeries) -> bool {
    matches!(series, TimelineSeries::Counted(Series::Host(_)))
}

fn is_traffic(series: TimelineSeries) -> bool {
    matches!(series, TimelineSeries::Counted(Series::Traffic(_)))
}

fn bytes(counters: Counters) -> u64 {
    counters.bytes
}

fn packets(counters: Counters) -> u64 {
    counters.packets
}

/// All changes, from which the samples of each family are made.
struct SampleSource<'a> {
    changes: Sorted,
    periods: Periods,
    /// After how many steps without a change the series of a flow or a host ends.
    idle: Option<u64>,
    /// In seconds.
    step: u64,
    shape: &'a Shape,
    names: &'a NameTable,
}

/// The samples of one series between two changes, which all have the same value.
struct SampleRange {
    series: TimelineSeries,
    /// In steps.
    samples: std::ops::RangeInclusive<u64>,
    value: Counters,
}

impl SampleSource<'_> {
    /// Finds the periods with frames from the changes of the first series, that of received frames.
    fn find_periods(&mut self) -> Result<(), Failure> {
        let received = TimelineSeries::Received.to_bytes();
        for change in self.changes.changes().map_err(TimelineError::Storage)? {
            let change = change.map_err(TimelineError::Storage)?;
            if change.series != received {
                break;
            }
            self.periods.add(change.step);
            if self.periods.len() as u64 > MAX_SAMPLES / 100 {
                return Err(TimelineError::TooManySamples.into());
            }
        }
        Ok(())
    }

    /// Counts the samples before any is written, so that too many leave no output.
    fn check_size(&self) -> Result<(), Failure> {
        let mut samples = 0;
        self.visit_samples(
            |_| true,
            |range| {
                // Flows, traffic and hosts have a family in bytes and one in packets.
                let families = match range.series {
                    TimelineSeries::Counted(_) => 2,
                    TimelineSeries::Received
                    | TimelineSeries::Skipped(_)
                    | TimelineSeries::Truncated(_) => 1,
                };
                samples += families * (range.samples.end() - range.samples.start() + 1);
                if samples > MAX_SAMPLES {
                    return Err(TimelineError::TooManySamples.into());
                }
                Ok(())
            },
        )
    }

    /// Writes a family with all series that belong to it.
    fn write(
        &self,
        out: &mut SampleWriter<'_, impl Write>,
        family: Family,
        belongs: impl Fn(TimelineSeries) -> bool,
        value: impl Fn(Counters) -> u64,
    ) -> Result<(), Failure> {
        out.family(family);
        let mut current = None;
        self.visit_samples(belongs, |range| {
            if current != Some(range.series) {
                current = Some(range.series);
                out.series(family, |text| {
                    range.series.push_labels(text, self.shape, self.names);
                });
            }
            for sample in range.samples {
                out.sample(value(range.value), sample * self.step)?;
            }
            Ok(())
        })
    }

    /// Calls `visit` with the samples of all series that belong, in order.
    fn visit_samples(
        &self,
        belongs: impl Fn(TimelineSeries) -> bool,
        mut visit: impl FnMut(SampleRange) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut current: Option<SeriesCursor<'_>> = None;
        for change in self.changes.changes().map_err(TimelineError::Storage)? {
            let change = change.map_err(TimelineError::Storage)?;
            if current
                .as_ref()
                .is_none_or(|cursor| cursor.bytes != change.series)
            {
                let cursor = self.cursor(change.series);
                match (belongs(cursor.series), &current) {
                    (true, _) => {}
                    (false, None) => continue,
                    // All series that belong follow each other.
                    (false, Some(_)) => break,
                }
                let before = current.replace(cursor);
                before.map_or(Ok(()), |cursor| cursor.end(&mut visit))?;
            }
            if let Some(cursor) = &mut current {
                cursor.change(change.step, change.counters, &mut visit)?;
            }
        }
        current.map_or(Ok(()), |cursor| cursor.end(&mut visit))
    }

    fn cursor(&self, bytes: SeriesBytes) -> SeriesCursor<'_> {
        let series = TimelineSeries::from_bytes(&bytes);
        let idle = self.idle.filter(|_| is_flow(series) || is_host(series));
        SeriesCursor {
            bytes,
            series,
            times: SampleTimes::new(&self.periods, idle),
            value: Counters::default(),
        }
    }

    /// Returns the gaps between periods, if there are any.
    fn silence(&self) -> Option<Silence> {
        let (begin, end) = self.periods.longest_silence()?;
        let time = |step| Duration::from_secs(step * self.step);
        Some(Silence {
            gaps: self.periods.len() - 1,
            longest: (time(begin), time(end)),
        })
    }
}

/// Turns the changes of one series into samples.
struct SeriesCursor<'a> {
    bytes: SeriesBytes,
    series: TimelineSeries,
    times: SampleTimes<'a>,
    /// The sum of all changes so far.
    value: Counters,
}

impl SeriesCursor<'_> {
    /// Visits the samples before this change, which have the value so far.
    fn change(
        &mut self,
        step: u64,
        counters: Counters,
        visit: &mut impl FnMut(SampleRange) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let (series, value) = (self.series, self.value);
        self.value = value.plus(counters);
        self.times.until(step).try_for_each(|samples| {
            visit(SampleRange {
                series,
                samples,
                value,
            })
        })
    }

    /// Visits the samples after the last change.
    fn end(
        self,
        visit: &mut impl FnMut(SampleRange) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let (series, value) = (self.series, self.value);
        self.times.rest().try_for_each(|samples| {
            visit(SampleRange {
                series,
                samples,
                value,
            })
        })
    }
}
