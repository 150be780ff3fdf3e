//! Keeps a capture running, whatever happens to it.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};
use std::{fmt, io};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tracing::{info, warn};

use super::exporter::Exporter;
use super::{Error, packets, service};
use crate::aggregator::Intake;
use crate::capture::tshark::{self, Ending, Output, Tshark};
use crate::capture::{CaptureError, CaptureReader, PacketCapture};

/// A capture that ran for so long is healthy: after it, the waiting starts from the beginning.
const HEALTHY: Duration = Duration::from_mins(1);

/// What captures packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Backend {
    Tshark,
    Native,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tshark => "tshark",
            Self::Native => "packet sockets",
        })
    }
}

/// Captures until `stop` says so. After a start that worked, an end of the capture is no reason to
/// give up: it is started again, for ever.
pub(super) async fn capture(
    backend: Backend,
    options: PacketCapture,
    exporter: Arc<Exporter>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), Error> {
    let supervisor = Supervisor {
        backend,
        options,
        exporter,
    };
    let mut waits = waits();
    let mut down: Option<Down> = None;
    loop {
        let begin = Instant::now();
        let outcome = supervisor.run(&mut down, &mut stop).await;
        let reason = match outcome {
            Outcome::Stopped => return Ok(()),
            Outcome::NeverStarted(failure) if down.is_none() => return Err(Error::Start(failure)),
            Outcome::NeverStarted(failure) => failure,
            Outcome::Ended(reason) => reason,
        };
        if begin.elapsed() >= HEALTHY {
            waits = self::waits();
        }
        down = Some(Down::after(down, reason));
        let wait = waits.next().unwrap_or(HEALTHY);
        tokio::select! {
            () = sleep(wait) => {}
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        }
    }
}

/// Half a second to half a minute: the jitter adds up to as much again.
fn waits() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(500))
        .with_max_delay(Duration::from_secs(15))
        .with_factor(2.0)
        .without_max_times()
        .with_jitter()
        .build()
}

/// A time without a capture.
struct Down {
    since: Instant,
    /// What was logged last, so that it is not logged for every attempt.
    reason: String,
}

impl Down {
    fn after(earlier: Option<Self>, reason: String) -> Self {
        match earlier {
            Some(earlier) if earlier.reason == reason => earlier,
            Some(earlier) => {
                warn!("the capture cannot start again: {reason}");
                Self { reason, ..earlier }
            }
            None => {
                warn!("the capture ended and is started again: {reason}");
                let since = Instant::now();
                Self { since, reason }
            }
        }
    }
}

struct Supervisor {
    backend: Backend,
    options: PacketCapture,
    exporter: Arc<Exporter>,
}

/// How one run of a capture went.
pub(super) enum Outcome {
    Stopped,
    /// It ended before its stream began.
    NeverStarted(String),
    Ended(String),
}

impl Supervisor {
    /// Runs a capture once, from its start to its end.
    async fn run(&self, down: &mut Option<Down>, stop: &mut watch::Receiver<bool>) -> Outcome {
        match self.backend {
            Backend::Tshark => self.run_tshark(down, stop).await,
            Backend::Native => {
                let is_first = down.is_none();
                let log_start = || self.log_start(down.take());
                packets::run(&self.options, &self.exporter, stop, is_first, log_start).await
            }
        }
    }

    async fn run_tshark(
        &self,
        down: &mut Option<Down>,
        stop: &mut watch::Receiver<bool>,
    ) -> Outcome {
        let (mut tshark, output) = match Tshark::start(&self.options) {
            Ok(started) => started,
            Err(error) => return Outcome::NeverStarted(format!("cannot start tshark: {error}")),
        };
        let mut stream = match Stream::take_in(output, Arc::clone(&self.exporter)) {
            Ok(stream) => stream,
            Err(error) => {
                tshark.end(async {}).await;
                return Outcome::NeverStarted(format!("cannot start a thread: {error}"));
            }
        };
        let mut stopped = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => true,
            () = stream.begun() => false,
            () = tshark.exited() => false,
        };
        let began_in_time = stream.has_begun;
        if began_in_time && !stopped {
            self.log_start(down.take());
            stopped = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => true,
                () = stream.ended() => false,
                () = tshark.exited() => false,
            };
        }
        let ending = tshark.end(stream.ended()).await;
        if stream.has_begun && !began_in_time {
            // It was over before we could look.
            self.log_start(down.take());
        }
        let end = stream.end.take().unwrap_or_default();
        // The end of the stream tells it, unless that is missing; then tshark's words do.
        let dropped = end.dropped.max(ending.dropped());
        self.exporter.lock().history.dropped(dropped);
        if stopped {
            Outcome::Stopped
        } else if stream.has_begun {
            Outcome::Ended(match end.error {
                Some(error) => format!("{error}; {ending}"),
                None => ending.to_string(),
            })
        } else {
            // Once a capture ran, the operator knows how to start one.
            let is_first = down.is_none();
            Outcome::NeverStarted(explain(&ending, end.error, is_first).await)
        }
    }

    fn log_start(&self, down: Option<Down>) {
        let interfaces = self.options.interfaces.join(", ");
        match down {
            None => info!("capturing on {interfaces}"),
            Some(down) => info!(
                "capturing on {interfaces} again, after {:.1} s without",
                down.since.elapsed().as_secs_f64()
            ),
        }
        service::ready();
    }
}

/// Why a capture never began, in tshark's own words where it has some, and what to do about it if
/// that is asked for.
async fn explain(ending: &Ending, error: Option<CaptureError>, with_advice: bool) -> String {
    let mut parts = Vec::new();
    if !(with_advice && ending.is_not_installed()) {
        parts.push(ending.to_string());
        // An empty stream is no news when tshark has ended.
        parts.extend(
            error
                .filter(|error| !matches!(error, CaptureError::Empty))
                .map(|error| {
                    format!("instead of a capture stream it sent something else: {error}")
                }),
        );
    }
    if with_advice {
        parts.extend(tshark::advice(ending).await);
    }
    parts.join("; ")
}

/// A thread that takes in what tshark captures.
struct Stream {
    events: mpsc::UnboundedReceiver<Event>,
    /// The header has arrived: from here on, the capture counts as running.
    has_begun: bool,
    end: Option<End>,
}

enum Event {
    Begun,
    Ended(End),
}

#[derive(Default)]
struct End {
    error: Option<CaptureError>,
    /// Frames that the stream itself says were dropped.
    dropped: u64,
}

impl Stream {
    fn take_in(output: Output, exporter: Arc<Exporter>) -> io::Result<Self> {
        let (sender, events) = mpsc::unbounded_channel();
        thread::Builder::new().spawn(move || {
            let mut reader = CaptureReader::new(output);
            let mut newest = Duration::ZERO;
            let error = take_in(&mut reader, &exporter, &sender, &mut newest).err();
            let clock = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
            let now = Instant::now();
            let since = now.checked_sub(lost_for(newest, clock)).unwrap_or(now);
            exporter.lock().history.ended(since);
            let dropped = reader.dropped();
            let _ = sender.send(Event::Ended(End { error, dropped }));
        })?;
        Ok(Self {
            events,
            has_begun: false,
            end: None,
        })
    }

    /// Waits until the header has arrived, or cannot arrive any more.
    async fn begun(&mut self) {
        while !self.has_begun && self.end.is_none() {
            self.next().await;
        }
    }

    async fn ended(&mut self) {
        while self.end.is_none() {
            self.next().await;
        }
    }

    async fn next(&mut self) {
        match self.events.recv().await {
            Some(Event::Begun) => self.has_begun = true,
            Some(Event::Ended(end)) => self.end = Some(end),
            None => self.end = Some(End::default()),
        }
    }
}

/// For how long frames may be missing at the end of a stream whose newest frame was captured then,
/// since the Unix epoch: what came later and within the delay may never have got here.
///
/// A frame from the future means that the clock was set back: then it may be the whole delay.
fn lost_for(newest: Duration, clock: Duration) -> Duration {
    let ago = clock.checked_sub(newest);
    ago.map_or(tshark::DELAY, |ago| ago.min(tshark::DELAY))
}

fn take_in(
    reader: &mut CaptureReader<Output>,
    exporter: &Exporter,
    events: &mpsc::UnboundedSender<Event>,
    newest: &mut Duration,
) -> Result<(), CaptureError> {
    let mut has_begun = false;
    let mut intake = exporter.lock().aggregator.intake();
    while reader.fill()? {
        let result = take_in_frames(reader, exporter, &mut intake, newest);
        let mut state = exporter.lock();
        state.aggregator.take_in(&mut intake);
        if !newest.is_zero() {
            state.history.frames_until(*newest);
        }
        if reader.has_header() && !has_begun {
            has_begun = true;
            state.history.started(Instant::now());
            let _ = events.send(Event::Begun);
        }
        drop(state);
        result?;
    }
    Ok(())
}

fn take_in_frames(
    reader: &mut CaptureReader<Output>,
    exporter: &Exporter,
    intake: &mut Intake,
    newest: &mut Duration,
) -> Result<(), CaptureError> {
    let now = exporter.now();
    reader.each_frame(|frame| {
        *newest = frame.at;
        intake.frame(now, frame);
        if intake.is_full() {
            exporter.lock().aggregator.take_in(intake);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_clock_says_no_more_than_the_delay_is_lost() {
        let check = |newest, clock, expected| {
            let lost = lost_for(Duration::from_millis(newest), Duration::from_millis(clock));
            assert_eq!(lost, Duration::from_millis(expected));
        };
        let newest = 1_700_000_000_000;
        check(newest, newest, 0);
        check(newest, newest + 100, 100);
        check(newest, newest + 60_000, 300);
        // Set back by a day, before 1970 as the clock has it, and forward by a year.
        check(newest, newest - 86_400_000, 300);
        check(newest, 0, 300);
        check(newest, newest + 31_536_000_000, 300);
        // No frame has come.
        check(0, newest, 300);
    }
}
