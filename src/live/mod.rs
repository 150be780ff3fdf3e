//! The daemon: bind, capture, serve, wind down.

mod history;

use std::fs::File;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tracing::level_filters::LevelFilter;
use tracing::{info, warn};

use crate::aggregator::{Aggregator, Settings};
use crate::capture::tshark::{self, Tshark};
use crate::capture::udp::Receiver;
use crate::capture::{CaptureError, CaptureReader};
use crate::http::{self, Pages};
use crate::metrics;
use history::History;

/// How long tshark may take to end once it was asked to.
const TSHARK_PATIENCE: Duration = Duration::from_secs(1);

/// What the daemon is to do.
#[derive(Debug)]
pub struct Options {
    /// Capture through tshark on this interface; without one, receive on UDP sockets.
    pub interface: Option<String>,
    pub listen_ports: Vec<u16>,
    pub publish_port: u16,
    pub verbose: bool,
}

/// Why the daemon cannot go on.
#[derive(Debug, Error)]
pub enum Error {
    #[error("cannot start: {0}")]
    System(#[source] io::Error),
    #[error(
        "cannot publish metrics on TCP port {port}: {error}; choose another with --publish-port"
    )]
    Publish { port: u16, error: io::Error },
    #[error("cannot listen on UDP port {port}: {error}; is another receiver running?")]
    Listen { port: u16, error: io::Error },
    #[error(transparent)]
    Tshark(#[from] tshark::StartError),
    #[error("the capture ended: {0}")]
    CaptureEnded(String),
}

/// Runs until SIGINT or SIGTERM.
///
/// # Errors
/// It cannot start, or the capture ended.
pub fn run(options: Options, settings: Settings) -> Result<(), Error> {
    start_log(options.verbose);
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::System)?
        .block_on(daemon(options, settings))
}

fn start_log(verbose: bool) {
    let level = if verbose {
        LevelFilter::DEBUG
    } else {
        LevelFilter::INFO
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_target(false)
        .with_ansi(false)
        .with_writer(io::stderr)
        .init();
}

async fn daemon(options: Options, settings: Settings) -> Result<(), Error> {
    let mut signals = Signals::new().map_err(Error::System)?;
    let port = options.publish_port;
    let listener = http::bind(port).map_err(|error| Error::Publish { port, error })?;
    let address = listener.local_addr().map_err(Error::System)?;
    let exporter = Arc::new(Exporter::new(settings));
    let mut capture = Capture::start(&options, &exporter)?;
    info!("metrics are at http://localhost:{}/metrics", address.port());

    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(http::serve(listener, Arc::clone(&exporter), async {
        let _ = stopped.await;
    }));
    let outcome = tokio::select! {
        name = signals.next() => {
            info!("stopping on {name}");
            Ok(())
        }
        reason = capture.ended() => Err(Error::CaptureEnded(reason)),
    };
    capture.stop().await;
    drop(stop);
    let _ = server.await;

    let received = exporter.lock().aggregator.frames().received;
    info!(frames = received, "stopped");
    outcome
}

/// The signals that ask for an end.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

/// What the capture threads write and the scrapes read.
struct Exporter {
    /// The time of the flow table counts from here.
    began: Instant,
    state: Mutex<State>,
}

struct State {
    aggregator: Aggregator,
    history: History,
    has_warned: bool,
}

impl Exporter {
    fn new(settings: Settings) -> Self {
        Self {
            began: Instant::now(),
            state: Mutex::new(State {
                aggregator: Aggregator::new(settings),
                history: History::default(),
                has_warned: false,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("no thread panics while it holds the lock")
    }
}

impl State {
    /// Says once that the limit of flows was reached.
    fn warn_of_limit(&mut self) {
        let flows = self.aggregator.flows();
        if self.has_warned || flows.overflow_packets() == 0 {
            return;
        }
        self.has_warned = true;
        warn!(
            "the limit of {} flows was reached: packets of more flows are counted as `other`; \
             tzsp_flows_demand tells what --max-flows would hold them",
            flows.occupancy().limit
        );
    }
}

impl Pages for Exporter {
    fn metrics(&self, out: &mut dyn Write) -> io::Result<()> {
        // Only the copying happens under the lock; sorting and text do not.
        let (flows, frames, capture) = {
            let mut state = self.lock();
            (
                state.aggregator.scrape(self.began.elapsed()),
                state.aggregator.frames().clone(),
                state.history.state(Instant::now()),
            )
        };
        metrics::write_scrape(&mut { out }, flows, &frames, &capture)
    }
}

/// The running capture: threads that take frames in, and the tshark behind them, if any.
struct Capture {
    tshark: Option<Tshark>,
    stop: Arc<AtomicBool>,
    /// Closed when the last thread has ended; until then each says why it did.
    reasons: mpsc::Receiver<String>,
}

impl Capture {
    fn start(options: &Options, exporter: &Arc<Exporter>) -> Result<Self, Error> {
        let stop = Arc::new(AtomicBool::new(false));
        let (sender, reasons) = mpsc::channel(options.listen_ports.len());
        let mut tshark = None;
        if let Some(interface) = &options.interface {
            let (process, stream) = Tshark::start(&tshark::Options {
                interface: interface.clone(),
                listen_ports: options.listen_ports.clone(),
            })?;
            tshark = Some(process);
            info!("capturing on {interface} through tshark");
            let exporter = Arc::clone(exporter);
            thread::spawn(move || {
                if let Err(error) = take_in_stream(stream, &exporter) {
                    let _ = sender.blocking_send(error.to_string());
                }
            });
        } else {
            let receivers = options
                .listen_ports
                .iter()
                .map(|&port| Receiver::bind(port).map_err(|error| Error::Listen { port, error }))
                .collect::<Result<Vec<_>, _>>()?;
            exporter.lock().history.started(Instant::now());
            for receiver in receivers {
                info!("receiving TZSP on UDP port {}", receiver.port());
                let exporter = Arc::clone(exporter);
                let stop = Arc::clone(&stop);
                let sender = sender.clone();
                thread::spawn(move || {
                    if let Err(error) = take_in_datagrams(receiver, &exporter, &stop) {
                        let _ = sender.blocking_send(error.to_string());
                    }
                });
            }
        }
        Ok(Self {
            tshark,
            stop,
            reasons,
        })
    }

    /// Waits until the capture ends by itself and says why it did.
    async fn ended(&mut self) -> String {
        let reason = self.reasons.recv().await;
        match self.tshark.take() {
            Some(tshark) => {
                tshark.stop();
                let ending = tshark.ended().await;
                ending.to_string()
            }
            None => reason.unwrap_or_default(),
        }
    }

    /// Ends the capture; what it has taken in by then is counted.
    async fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(tshark) = self.tshark.take() {
            tshark.stop();
            let _ = timeout(TSHARK_PATIENCE, tshark.ended()).await;
        }
        let _ = timeout(TSHARK_PATIENCE, async {
            while self.reasons.recv().await.is_some() {}
        })
        .await;
    }
}

fn take_in_stream(stream: File, exporter: &Exporter) -> Result<(), CaptureError> {
    let mut reader = CaptureReader::new(stream);
    let mut result = Ok(());
    while result.is_ok() && reader.fill()? {
        let now = exporter.began.elapsed();
        let mut state = exporter.lock();
        result = take_in_frames(&mut reader, &mut state, now);
        state.warn_of_limit();
    }
    exporter.lock().history.ended(Instant::now());
    result
}

fn take_in_frames(
    reader: &mut CaptureReader<File>,
    state: &mut State,
    now: Duration,
) -> Result<(), CaptureError> {
    let had_header = reader.has_header();
    while let Some(frame) = reader.next_frame()? {
        state.aggregator.frame(now, &frame);
    }
    if reader.has_header() && !had_header {
        state.history.started(Instant::now());
    }
    Ok(())
}

fn take_in_datagrams(
    mut receiver: Receiver,
    exporter: &Exporter,
    stop: &AtomicBool,
) -> io::Result<()> {
    let port = receiver.port();
    while !stop.load(Ordering::Relaxed) {
        if let Some((sensor, payload)) = receiver.receive()? {
            let at = SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default();
            let now = exporter.began.elapsed();
            let mut state = exporter.lock();
            state.aggregator.datagram(now, at, sensor, port, payload);
            state.warn_of_limit();
        }
    }
    Ok(())
}
