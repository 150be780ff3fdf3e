//! One run of a capture through packet sockets, with one thread for each socket.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{mpsc, watch};
use tracing::warn;

use super::exporter::Exporter;
use super::outcome::Outcome;
use crate::aggregator::FrameBatch;
use crate::capture::PacketCapture;
use crate::capture::native::{self, OpenError, PacketSocket, ReceiveError, Receiver};

/// How long the sockets may be drained at the end.
const DRAIN: Duration = Duration::from_secs(1);

/// Captures until `stop` is true or a socket fails. Calls `started` once the capture runs.
///
/// With `is_first`, no capture has run before, so errors include advice for the operator.
pub(super) async fn run(
    options: &PacketCapture,
    exporter: &Arc<Exporter>,
    stop: &mut watch::Receiver<bool>,
    is_first: bool,
    started: impl FnOnce(),
) -> Outcome {
    let sockets = match open(options, exporter, is_first) {
        Ok(sockets) => sockets,
        Err(error) => return Outcome::NeverStarted(explain(&error, is_first)),
    };
    let began = Instant::now();
    let run = {
        let history = &mut exporter.lock().history;
        let run = history.new_run(began);
        history.started(run, began);
        run
    };

    let stopping = Arc::new(AtomicBool::new(false));
    let (failed, mut failures) = mpsc::unbounded_channel();
    for socket in sockets {
        spawn(socket, exporter, &stopping, &failed);
    }
    drop(failed);
    started();
    let failure = tokio::select! {
        _ = stop.wait_for(|stop| *stop) => None,
        failure = failures.recv() => failure,
    };
    stopping.store(true, Ordering::Relaxed);
    // The channel closes when the last thread has ended.
    while failures.recv().await.is_some() {}
    let since = match &failure {
        // Packets may have been missed since the interface was last known to exist.
        Some(ReceiveError::Gone { seen, .. }) => *seen,
        _ => Instant::now(),
    };
    exporter.lock().history.ended(run, since);
    match failure {
        None => Outcome::Stopped,
        Some(error) => Outcome::Ended {
            reason: error.to_string(),
            ran: began.elapsed(),
        },
    }
}

/// Opens the sockets and starts them; packets then wait in the receive buffers.
fn open(
    options: &PacketCapture,
    exporter: &Exporter,
    is_first: bool,
) -> Result<Vec<PacketSocket>, OpenError> {
    let sockets = native::open(options)?;
    let drops = sockets.iter().map(PacketSocket::drops);
    exporter.watch_drops(drops.map(|drops| Some(Box::new(drops) as _)).collect());
    for socket in &sockets {
        raise_buffer(socket, options.buffer, is_first);
        socket.begin()?;
    }
    Ok(sockets)
}

fn explain(error: &OpenError, is_first: bool) -> String {
    match error.advice().filter(|_| is_first) {
        Some(advice) => format!("{error}; {advice}"),
        None => error.to_string(),
    }
}

/// Asks for a receive buffer of this size. A warning that it was not granted is logged for the
/// first run only, because later runs will not be granted it either.
fn raise_buffer(socket: &PacketSocket, buffer_mib: u32, is_first: bool) {
    const MIB: usize = 1024 * 1024;

    let name = socket.name();
    let wanted = buffer_mib as usize * MIB;
    match socket.raise_buffer(wanted) {
        Ok(granted) if granted < wanted && is_first => warn!(
            "the capture buffer of {name} has {} KiB instead of {buffer_mib} MiB: the kernel \
             grants no more. Raise its limit: sysctl -w net.core.rmem_max={wanted}; or give the program \
             CAP_NET_ADMIN",
            granted / 1024
        ),
        Ok(_) => {}
        Err(error) => warn!("cannot raise the capture buffer of {name}: {error}"),
    }
}

/// Starts a thread that counts the packets of a socket. It sends an error to `failed` if it has to
/// end before `stop` is set.
fn spawn(
    socket: PacketSocket,
    exporter: &Arc<Exporter>,
    stop: &Arc<AtomicBool>,
    failed: &mpsc::UnboundedSender<ReceiveError>,
) {
    let (exporter, stop) = (Arc::clone(exporter), Arc::clone(stop));
    let thread_failed = failed.clone();
    let spawned = thread::Builder::new().spawn(move || {
        if let Err(error) = count(socket, &exporter, &stop) {
            let _ = thread_failed.send(error);
        }
    });
    if let Err(error) = spawned {
        let _ = failed.send(io::Error::other(format!("cannot start a thread: {error}")).into());
    }
}

fn count(socket: PacketSocket, exporter: &Exporter, stop: &AtomicBool) -> Result<(), ReceiveError> {
    let mut receiver = Receiver::new(socket)?;
    let mut batch = exporter.lock().aggregator.batch();
    let outcome = count_until(stop, &mut receiver, exporter, &mut batch);
    // Drain the socket: packets that arrived before the end are counted.
    let closed = receiver.close();
    let begin = Instant::now();
    while begin.elapsed() < DRAIN && matches!(receiver.fill_at_once(), Ok(true)) {
        count_batch(&receiver, exporter, &mut batch);
    }
    // Read now: the drop counter disappears with the socket.
    exporter.read_drops();
    outcome.and(closed.map_err(ReceiveError::from))
}

fn count_until(
    stop: &AtomicBool,
    receiver: &mut Receiver,
    exporter: &Exporter,
    batch: &mut FrameBatch,
) -> Result<(), ReceiveError> {
    while !stop.load(Ordering::Relaxed) {
        if receiver.fill()? {
            count_batch(receiver, exporter, batch);
            // Pause only after counting, so that a scrape never misses packets because of it.
            receiver.pause();
        }
    }
    Ok(())
}

fn count_batch(receiver: &Receiver, exporter: &Exporter, batch: &mut FrameBatch) {
    let at = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let now = exporter.now();
    for frame in receiver.frames(at) {
        batch.frame(now, &frame);
    }
    let mut state = exporter.lock();
    state.aggregator.record_batch(batch);
    state.history.set_last_frame(at);
}
