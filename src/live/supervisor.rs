//! Keeps a capture running, and restarts it whenever it ends.
//!
//! Each run of a capture has an identity ([`Run`]). A run's thread may outlive the run, so the
//! thread takes the lock for every change and first checks that its run is still current.

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

/// The mechanism that captures packets.
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

/// Captures until `stop` is true. Once a capture has run, it is restarted whenever it ends; only a
/// first capture that cannot start is an error.
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

/// A period without a capture.
struct Down {
    since: Instant,
    /// The reason logged last, so that the same one is not logged again for each attempt.
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
    /// Runs one capture, from its start to its end.
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
            Err(error) => return Outcome::NeverStarted(tshark::cannot_start(&error)),
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
        // If the stream did not end, some process keeps the pipe open. The run is over
        // nevertheless.
        self.exporter.lock().history.ended(run, Instant::now());
        if stream.began.is_some() && !began_in_time {
            // The capture began and ended before this task noticed.
            self.log_start(down.take());
        }
        let end = stream.end.take().unwrap_or_default();
        // The last block of the stream has the number; if it is missing, tshark's messages have it.
        let dropped = end.dropped.max(ending.dropped());
        self.exporter.lock().history.add_dropped(dropped);
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
        // Advice is for the first start only: an operator whose capture ran knows how to start one.
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
                "capturing on {interfaces} again, after {:.1} s without a capture",
                down.since.elapsed().as_secs_f64()
            ),
        }
        service::ready();
    }
}

/// Returns why a capture never began: with `advise`, first what to do about it, if that is known;
/// then tshark's own messages.
fn reason_never_started(ending: &Ending, error: Option<CaptureError>, advise: bool) -> String {
    let remedy = if advise { tshark::remedy(ending) } else { None };
    if let Some(remedy) = remedy
        && ending.is_not_installed()
    {
        return remedy.to_owned();
    }
    // That the stream was empty adds nothing to the fact that tshark ended.
    let words = match error.filter(|error| !matches!(error, CaptureError::Empty)) {
        Some(error) => {
            format!("{ending}; its output is not a capture stream: {error}")
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

/// A thread that reads and counts tshark's output.
struct Stream {
    events: mpsc::UnboundedReceiver<Event>,
    /// When the stream's header arrived: from then on, the capture is up.
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
    /// The frames that the stream reports as dropped.
    dropped: u64,
}

impl Stream {
    fn read(output: Output, run: Run, exporter: Arc<Exporter>) -> io::Result<Self> {
        let (sender, events) = mpsc::unbounded_channel();
        thread::Builder::new().spawn(move || {
            let mut reader = CaptureReader::new(output);
            let mut newest = Duration::ZERO;
            let error = count(&mut reader, &exporter, run, &sender, &mut newest).err();
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

    /// Waits for the stream's header, or for the end of the stream.
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

/// Returns for how long frames may be missing at the end of a stream. `newest` is when its newest
/// frame was captured and `clock` the current time, both since the Unix epoch.
///
/// Packets take up to [`tshark::DELAY`] to arrive here, so those of that time may be lost. A newest
/// frame in the future means that the clock was set back, and then the whole delay is assumed.
fn lost_for(newest: Duration, clock: Duration) -> Duration {
    let ago = clock.checked_sub(newest);
    ago.map_or(tshark::DELAY, |ago| ago.min(tshark::DELAY))
}

/// Counts all frames of a stream, until it ends or the run is abandoned. Frames of an abandoned run
/// must not be counted, because its successor may have captured the same ones.
fn count(
    reader: &mut CaptureReader<Output>,
    exporter: &Exporter,
    run: Run,
    events: &mpsc::UnboundedSender<Event>,
    newest: &mut Duration,
) -> Result<(), CaptureError> {
    let mut has_begun = false;
    let mut batch = exporter.lock().aggregator.batch();
    while reader.fill()? {
        let result = add_frames(reader, exporter, run, &mut batch, newest);
        let mut state = exporter.lock();
        if !state.history.is_current(run) {
            return Ok(());
        }
        state.aggregator.record_batch(&mut batch);
        if !newest.is_zero() {
            state.history.set_last_frame(*newest);
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

/// Decodes the frames that the reader has buffered, and records the batch whenever it is full.
fn add_frames(
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
    fn at_most_the_delay_is_lost_whatever_the_clock_shows() {
        let check = |newest, clock, expected| {
            let lost = lost_for(Duration::from_millis(newest), Duration::from_millis(clock));
            assert_eq!(lost, Duration::from_millis(expected));
        };
        let newest = 1_700_000_000_000;
        check(newest, newest, 0);
        check(newest, newest + 100, 100);
        check(newest, newest + 60_000, 300);
        // The clock is set back by a day, back to 1970, and forward by a year.
        check(newest, newest - 86_400_000, 300);
        check(newest, 0, 300);
        check(newest, newest + 31_536_000_000, 300);
        // No frame has come.
        check(0, newest, 300);
    }
}
