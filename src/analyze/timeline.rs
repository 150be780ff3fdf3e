//! What the metrics were, step by step of the capture's time.
//!
//! Frames may come in any order: each counts in the step of its own time. What changed is logged by
//! series and step, and comes back sorted, so neither the flows nor the steps have to fit into
//! memory.

mod log;
mod periods;
mod series;

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;
use std::{env, fmt};

use thiserror::Error;

use super::Failure;
use crate::flow::{Counters, Names, Shape};
use crate::metrics::catalog::{
    FRAMES_RECEIVED, FRAMES_SKIPPED, FRAMES_TRUNCATED, Family, OBSERVED_BYTES, OBSERVED_PACKETS,
    TRAFFIC_BYTES, TRAFFIC_PACKETS,
};
use crate::metrics::samples::SampleWriter;
use crate::report::time;
use crate::wire::{Observation, Skipped, Truncated};
use log::{Change, Log, Sorted};
use periods::{Course, Periods};
use series::Series;

/// About 15 GB of text.
const MOST_SAMPLES: u64 = 100_000_000;
/// Where nothing comes for longer, there are no samples. So long Prometheus takes the last value
/// of a series for its present one.
const LONGEST_BRIDGE: Duration = Duration::from_mins(5);
/// The last second of the year 9999; what is later counts there.
const LAST: u64 = 253_402_300_799;

/// Why there are no samples.
#[derive(Debug, Error)]
pub enum TimelineError {
    #[error(
        "cannot keep what is counted in a temporary file in {directory}, which TMPDIR chooses: {0}",
        directory = env::temp_dir().display()
    )]
    Storage(io::Error),
    #[error(
        "this takes more than {MOST_SAMPLES} samples: choose a longer --every, fewer --labels, or \
         a --flow-idle-timeout, which ends the series of idle flows"
    )]
    TooManySamples,
}

/// Times without samples, because nothing was captured.
#[derive(Debug)]
pub struct Silence {
    number: usize,
    longest: (Duration, Duration),
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (begin, end) = self.longest;
        let [begin, end] = [begin, end].map(time::seconds);
        write!(
            f,
            "there are no samples between {begin} and {end}, where no frame was captured"
        )?;
        match self.number {
            1 => Ok(()),
            2 => write!(f, "; nor in another such time"),
            number => write!(f, "; nor in {} other such times", number - 1),
        }
    }
}

#[derive(Debug)]
pub(super) struct Timeline {
    step: Duration,
    /// A series ends after so long without a change.
    idle_timeout: Duration,
    names: Names,
    log: Log,
    /// The first step.
    oldest: Option<u64>,
    failure: Option<io::Error>,
}

impl Timeline {
    /// Steps are whole seconds.
    pub(super) fn new(step: Duration, idle_timeout: Duration, shape: &Arc<Shape>) -> Self {
        Self {
            step,
            idle_timeout,
            names: Names::new(Arc::clone(shape)),
            log: Log::default(),
            oldest: None,
            failure: None,
        }
    }

    /// Whether there is no use in going on.
    pub(super) fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// Counts what became of a frame of this time, since the Unix epoch.
    pub(super) fn note(
        &mut self,
        at: Duration,
        outcome: &Result<Observation, Skipped>,
        has_place: bool,
    ) {
        if self.has_failed() {
            return;
        }
        if let Err(error) = self.log(at, outcome, has_place) {
            self.failure = Some(error);
        }
    }

    fn log(
        &mut self,
        at: Duration,
        outcome: &Result<Observation, Skipped>,
        has_place: bool,
    ) -> io::Result<()> {
        let step = at.as_secs().min(LAST) / self.step.as_secs();
        self.oldest = Some(self.oldest.map_or(step, |oldest| oldest.min(step)));
        self.add(Series::Received, step, 0)?;
        match outcome {
            Err(reason) => self.add(Series::Skipped(*reason), step, 0),
            Ok(seen) => {
                let traffic = self.names.traffic(seen);
                self.add(Series::Traffic(traffic), step, seen.bytes)?;
                let series = if has_place {
                    Series::Flow(self.names.flow(seen))
                } else {
                    Series::Overflow(self.names.overflow(seen))
                };
                self.add(series, step, seen.bytes)?;
                match seen.truncated {
                    Some(cause) => self.add(Series::Truncated(cause), step, 0),
                    None => Ok(()),
                }
            }
        }
    }

    fn add(&mut self, series: Series, step: u64, bytes: u64) -> io::Result<()> {
        self.log.add(Change {
            series: series.to_bytes(),
            step,
            counters: Counters { bytes, packets: 1 },
        })
    }

    /// Every reason and every cause is there from the start.
    fn start_account(&mut self) {
        let Some(step) = self.oldest else {
            return;
        };
        let reasons = Skipped::ALL.map(Series::Skipped);
        let causes = Truncated::ALL.map(Series::Truncated);
        for series in reasons.into_iter().chain(causes) {
            let nothing = Change {
                series: series.to_bytes(),
                step,
                counters: Counters::default(),
            };
            if let Err(error) = self.log.add(nothing) {
                self.failure = Some(error);
            }
        }
    }

    /// Writes all samples, unless there are too many.
    pub(super) fn write(mut self, out: &mut impl Write) -> Result<Option<Silence>, Failure> {
        self.start_account();
        if let Some(error) = self.failure {
            return Err(TimelineError::Storage(error).into());
        }
        let step = self.step.as_secs();
        let in_steps = |time: Duration| time.as_secs().div_ceil(step).max(1);
        let mut story = Story {
            changes: self.log.finish(),
            periods: Periods::new(in_steps(LONGEST_BRIDGE)),
            idle: (!self.idle_timeout.is_zero()).then(|| in_steps(self.idle_timeout)),
            step,
            names: &self.names,
        };
        story.find_periods()?;
        story.check_size()?;
        let mut samples = SampleWriter::new(out);
        story.write(&mut samples, FRAMES_RECEIVED, is_received, packets)?;
        story.write(&mut samples, FRAMES_SKIPPED, is_skipped, packets)?;
        story.write(&mut samples, FRAMES_TRUNCATED, is_truncated, packets)?;
        story.write(&mut samples, OBSERVED_BYTES, is_flow, bytes)?;
        story.write(&mut samples, OBSERVED_PACKETS, is_flow, packets)?;
        story.write(&mut samples, TRAFFIC_BYTES, is_traffic, bytes)?;
        story.write(&mut samples, TRAFFIC_PACKETS, is_traffic, packets)?;
        samples.finish()?;
        Ok(story.silence())
    }
}

fn is_received(series: Series) -> bool {
    series == Series::Received
}

fn is_skipped(series: Series) -> bool {
    matches!(series, Series::Skipped(_))
}

fn is_truncated(series: Series) -> bool {
    matches!(series, Series::Truncated(_))
}

fn is_flow(series: Series) -> bool {
    matches!(series, Series::Flow(_) | Series::Overflow(_))
}

fn is_traffic(series: Series) -> bool {
    matches!(series, Series::Traffic(_))
}

fn bytes(counters: Counters) -> u64 {
    counters.bytes
}

fn packets(counters: Counters) -> u64 {
    counters.packets
}

/// All that was counted, to be told one family behind the other.
struct Story<'a> {
    changes: Sorted,
    periods: Periods,
    idle: Option<u64>,
    /// In seconds.
    step: u64,
    names: &'a Names,
}

/// The samples of one series from a change to the next, all of which have the same value.
struct Stretch {
    series: Series,
    /// In steps.
    samples: std::ops::RangeInclusive<u64>,
    value: Counters,
}

impl Story<'_> {
    fn find_periods(&mut self) -> Result<(), Failure> {
        let received = Series::Received.to_bytes();
        for change in self.changes.changes().map_err(TimelineError::Storage)? {
            let change = change.map_err(TimelineError::Storage)?;
            if change.series != received {
                break;
            }
            self.periods.add(change.step);
            if self.periods.number() as u64 > MOST_SAMPLES / 100 {
                return Err(TimelineError::TooManySamples.into());
            }
        }
        Ok(())
    }

    fn check_size(&self) -> Result<(), Failure> {
        let mut samples = 0;
        self.tell(
            |_| true,
            |stretch| {
                // Flows and traffic are told in bytes and in packets.
                let families = match stretch.series {
                    Series::Flow(_) | Series::Overflow(_) | Series::Traffic(_) => 2,
                    Series::Received | Series::Skipped(_) | Series::Truncated(_) => 1,
                };
                samples += families * (stretch.samples.end() - stretch.samples.start() + 1);
                if samples > MOST_SAMPLES {
                    return Err(TimelineError::TooManySamples.into());
                }
                Ok(())
            },
        )
    }

    fn write(
        &self,
        out: &mut SampleWriter<'_, impl Write>,
        family: Family,
        belongs: impl Fn(Series) -> bool,
        value: impl Fn(Counters) -> u64,
    ) -> Result<(), Failure> {
        out.family(family);
        let mut current = None;
        self.tell(belongs, |stretch| {
            if current != Some(stretch.series) {
                current = Some(stretch.series);
                let shape = self.names.shape();
                out.series(family, |text| stretch.series.push_labels(text, shape));
            }
            for sample in stretch.samples {
                out.sample(value(stretch.value), sample * self.step)?;
            }
            Ok(())
        })
    }

    /// Tells the samples of all series that belong, in order.
    fn tell(
        &self,
        belongs: impl Fn(Series) -> bool,
        mut listen: impl FnMut(Stretch) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut current: Option<Teller<'_>> = None;
        for change in self.changes.changes().map_err(TimelineError::Storage)? {
            let change = change.map_err(TimelineError::Storage)?;
            let series = Series::from_bytes(&change.series);
            if !belongs(series) {
                continue;
            }
            if current
                .as_ref()
                .is_none_or(|teller| teller.series != series)
            {
                let before = current.replace(self.teller(series));
                before.map_or(Ok(()), |teller| teller.end(&mut listen))?;
            }
            if let Some(teller) = &mut current {
                teller.change(change.step, change.counters, &mut listen)?;
            }
        }
        current.map_or(Ok(()), |teller| teller.end(&mut listen))
    }

    fn teller(&self, series: Series) -> Teller<'_> {
        let idle = self.idle.filter(|_| is_flow(series));
        Teller {
            series,
            course: Course::new(&self.periods, idle),
            value: Counters::default(),
        }
    }

    fn silence(&self) -> Option<Silence> {
        let (begin, end) = self.periods.longest_silence()?;
        let time = |step| Duration::from_secs(step * self.step);
        Some(Silence {
            number: self.periods.number() - 1,
            longest: (time(begin), time(end)),
        })
    }
}

/// Tells one series.
struct Teller<'a> {
    series: Series,
    course: Course<'a>,
    value: Counters,
}

impl Teller<'_> {
    fn change(
        &mut self,
        step: u64,
        counters: Counters,
        listen: &mut impl FnMut(Stretch) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let (series, value) = (self.series, self.value);
        self.value = value.plus(counters);
        self.course.until(step).try_for_each(|samples| {
            listen(Stretch {
                series,
                samples,
                value,
            })
        })
    }

    fn end(self, listen: &mut impl FnMut(Stretch) -> Result<(), Failure>) -> Result<(), Failure> {
        let (series, value) = (self.series, self.value);
        self.course.rest().try_for_each(|samples| {
            listen(Stretch {
                series,
                samples,
                value,
            })
        })
    }
}
