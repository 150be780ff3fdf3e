//! Keeps a capture running, whatever happens to it.
//!
//! One run of a capture has one identity ([`Run`]). Its thread may outlive it, so everything that
//! the thread does goes under the lock and asks first whether its run still counts.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};
use std::{fmt, io};

use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tracing::{info, warn};

use super::backoff::Backoff;
use super::exporter::Exporter;
use super::history::Run;
use super::outcome::Outcome;
use super::{Error, packets, service};
use crate::aggregator::FrameBatch;
use crate::capture::tshark::{self, Ending, Output, Tshark};
use crate::capture::{CaptureError, CaptureReader, PacketCapture};

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

/// Captures until `stop` says so. Once a capture has run, its end is no reason to give up: it is
/// started again, for ever.
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
    let mut backoff = Backoff::new();
    let mut down: Option<Down> = None;
    loop {
        let outcome = supervisor.run(&mut down, &mut stop).await;
        let (reason, ran) = match outcome {
            Outcome::Stopped => return Ok(()),
            Outcome::NeverStarted(failure) if down.is_none() => return Err(Error::Start(failure)),
            Outcome::NeverStarted(failure) => (failure, Duration::ZERO),
            Outcome::Ended { reason, ran } => (reason, ran),
        };
        down = Some(Down::after(down, reason));
        tokio::select! {
            () = sleep(backoff.wait_after(ran)) => {}
            () = stopped(&mut stop) => return Ok(()),
        }
    }
}

/// Waits until the daemon is asked to stop.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
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
        let run = self.exporter.lock().history.new_run(Instant::now());
        let mut stream = match Stream::read(output, run, Arc::clone(&self.exporter)) {
            Ok(stream) => stream,
            Err(error) => {
                tshark.end(async {}).await;
                return Outcome::NeverStarted(format!("cannot start a thread: {error}"));
            }
        };
        let mut is_stopped = tokio::select! {
            () = stopped(stop) => true,
            () = stream.begun() => false,
            () = tshark.exited() => false,
        };
        let began_in_time = stream.began.is_some();
        if began_in_time && !is_stopped {
            self.log_start(down.take());
            is_stopped = tokio::select! {
                () = stopped(stop) => true,
                () = stream.ended() => false,
                () = tshark.exited() => false,
            };
        }
        let ending = tshark.end(stream.ended()).await;
        // If the stream did not end, something keeps the pipe open: the run is over all the same.
        self.exporter.lock().history.ended(run, Instant::now());
        if stream.began.is_some() && !began_in_time {
            // It was over before we could look.
            self.log_start(down.take());
        }
        let end = stream.end.take().unwrap_or_default();
        // The stream's last block has the number; if the block is missing, tshark's words have it.
        let dropped = end.dropped.max(ending.dropped());
        self.exporter.lock().history.dropped(dropped);
        if is_stopped {
            return Outcome::Stopped;
        }
        if let Some(began) = stream.began {
            return Outcome::Ended {
                reason: match end.error {
                    Some(error) => format!("{error}; {ending}"),
                    None => ending.to_string(),
                },
                ran: began.elapsed(),
            };
        }
        let reason = reason_never_started(&ending, end.error, down.is_none());
        // Once a capture ran, the operator knows how to start one.
        if down.is_some() {
            return Outcome::NeverStarted(reason);
        }
        tokio::select! {
            advice = tshark::advice(&ending) => Outcome::NeverStarted(with_advice(reason, advice)),
            () = stopped(stop) => {
                warn!("cannot capture: {reason}");
                Outcome::Stopped
            }
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

/// Says why a capture never began: with `advise`, what to do about it first, if that is known; then
/// tshark's own words.
fn reason_never_started(ending: &Ending, error: Option<CaptureError>, advise: bool) -> String {
    let remedy = if advise { tshark::remedy(ending) } else { None };
    if let Some(remedy) = remedy
        && ending.is_not_installed()
    {
        return remedy.to_owned();
    }
    // An empty stream says nothing new when tshark has ended.
    let words = match error.filter(|error| !matches!(error, CaptureError::Empty)) {
        Some(error) => {
            format!("{ending}; instead of a capture stream it sent something else: {error}")
        }
        None => ending.to_string(),
    };
    match remedy {
        Some(remedy) => format!("{remedy}; {words}"),
        None => words,
    }
}

fn with_advice(reason: String, advice: Option<String>) -> String {
    match advice {
        Some(advice) => format!("{reason}; {advice}"),
        None => reason,
    }
}

/// A thread that reads what tshark captures.
struct Stream {
    events: mpsc::UnboundedReceiver<Event>,
    /// When the header arrived: from then on, the capture counts as running.
    began: Option<Instant>,
    end: Option<End>,
}

enum Event {
    Begun(Instant),
    Ended(End),
}

#[derive(Default)]
struct End {
    error: Option<CaptureError>,
    /// Frames that the stream itself says were dropped.
    dropped: u64,
}

impl Stream {
    fn read(output: Output, run: Run, exporter: Arc<Exporter>) -> io::Result<Self> {
        let (sender, events) = mpsc::unbounded_channel();
        thread::Builder::new().spawn(move || {
            let mut reader = CaptureReader::new(output);
            let mut newest = Duration::ZERO;
            let error = record_batch(&mut reader, &exporter, run, &sender, &mut newest).err();
            let clock = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
            let now = Instant::now();
            let since = now.checked_sub(lost_for(newest, clock)).unwrap_or(now);
            exporter.lock().history.ended(run, since);
            let dropped = reader.dropped();
            let _ = sender.send(Event::Ended(End { error, dropped }));
        })?;
        Ok(Self {
            events,
            began: None,
            end: None,
        })
    }

    /// Waits until the header has arrived, or cannot arrive any more.
    async fn begun(&mut self) {
        while self.began.is_none() && self.end.is_none() {
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
            Some(Event::Begun(at)) => self.began = Some(at),
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

/// Counts all frames of a stream, to its end or until the run was given up. What a given-up run
/// still delivers must not count: its successor may have captured the same frames.
fn record_batch(
    reader: &mut CaptureReader<Output>,
    exporter: &Exporter,
    run: Run,
    events: &mpsc::UnboundedSender<Event>,
    newest: &mut Duration,
) -> Result<(), CaptureError> {
    let mut has_begun = false;
    let mut batch = exporter.lock().aggregator.batch();
    while reader.fill()? {
        let result = take_in_frames(reader, exporter, run, &mut batch, newest);
        let mut state = exporter.lock();
        if !state.history.is_current(run) {
            return Ok(());
        }
        state.aggregator.record_batch(&mut batch);
        if !newest.is_zero() {
            state.history.frames_until(*newest);
        }
        if reader.has_header() && !has_begun {
            has_begun = true;
            let now = Instant::now();
            state.history.started(run, now);
            let _ = events.send(Event::Begun(now));
        }
        drop(state);
        result?;
    }
    Ok(())
}

fn take_in_frames(
    reader: &mut CaptureReader<Output>,
    exporter: &Exporter,
    run: Run,
    batch: &mut FrameBatch,
    newest: &mut Duration,
) -> Result<(), CaptureError> {
    let now = exporter.now();
    reader.each_frame(|frame| {
        *newest = frame.at;
        batch.frame(now, frame);
        if batch.is_full() {
            let mut state = exporter.lock();
            if state.history.is_current(run) {
                state.aggregator.record_batch(batch);
            }
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
