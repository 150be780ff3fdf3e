//! Receives TZSP on UDP sockets, with one thread for each socket.

use std::env::consts::OS;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{mpsc, watch};
use tracing::warn;

use super::exporter::Exporter;
use super::holder::{Transport, holder};
use super::{Error, service};
use crate::capture::DropCounter;
use crate::capture::udp::{Listener, Receiver};

/// How long the sockets may be drained at the end. Without a limit, a stream that is faster than
/// this program would keep it from ending.
const DRAIN: Duration = Duration::from_secs(1);

/// Binds a socket to each port.
pub(super) fn bind(ports: &[u16], buffer_mib: u32) -> Result<Vec<Listener>, Error> {
    let listeners = ports.iter().map(|&port| {
        let listener = Listener::bind(port).map_err(|error| Error::Listen {
            port,
            holder: holder(&error, Transport::Udp, None, port),
            error,
        })?;
        raise_buffer(&listener, buffer_mib);
        Ok(listener)
    });
    listeners.collect()
}

fn raise_buffer(listener: &Listener, buffer_mib: u32) {
    const MIB: usize = 1024 * 1024;

    let port = listener.port();
    let wanted = buffer_mib as usize * MIB;
    match listener.raise_buffer(wanted) {
        Ok(granted) if granted < wanted => warn!(
            "the receive buffer of UDP port {port} has {} KiB instead of {buffer_mib} MiB: {}",
            granted / 1024,
            buffer_advice(OS, wanted)
        ),
        Ok(_) => {}
        Err(error) => warn!("cannot raise the receive buffer of UDP port {port}: {error}"),
    }
}

/// Returns why a receive buffer is smaller than wanted, and what to do about it. `system` is one of
/// `std::env::consts::OS`.
fn buffer_advice(system: &str, wanted: usize) -> String {
    if system == "linux" {
        format!("the kernel grants no more. Raise its limit: sysctl -w net.core.rmem_max={wanted}")
    } else {
        "the system grants no more. --receive-buffer asks for less".to_owned()
    }
}

/// Counts datagrams until `stop` is true.
pub(super) async fn receive(
    listeners: Vec<Listener>,
    exporter: Arc<Exporter>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), Error> {
    let drops = listeners.iter().map(Listener::drops);
    let drops = drops.map(|drops| Some(Box::new(drops?) as Box<dyn DropCounter>));
    exporter.watch_drops(drops.collect());
    let run = {
        let history = &mut exporter.lock().history;
        let now = Instant::now();
        let run = history.new_run(now);
        history.started(run, now);
        run
    };

    let stopping = Arc::new(AtomicBool::new(false));
    let (failed, mut failure) = mpsc::channel(listeners.len());
    let mut result = Ok(());
    for listener in listeners {
        let exporter = Arc::clone(&exporter);
        let stopping = Arc::clone(&stopping);
        let failed = failed.clone();
        let spawned = thread::Builder::new().spawn(move || {
            let port = listener.port();
            if let Err(error) = count(listener, &exporter, &stopping) {
                let _ = failed.blocking_send(Error::Receive { port, error });
            }
        });
        result = result.and(spawned.map(drop).map_err(Error::Threads));
    }
    drop(failed);
    if result.is_ok() {
        service::ready();
        result = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => Ok(()),
            Some(error) = failure.recv() => Err(error),
        };
    }
    stopping.store(true, Ordering::Relaxed);
    // The channel closes when the last thread has ended.
    while failure.recv().await.is_some() {}
    exporter.lock().history.ended(run, Instant::now());
    result
}

fn count(listener: Listener, exporter: &Exporter, stop: &AtomicBool) -> io::Result<()> {
    let port = listener.port();
    let mut receiver = Receiver::new(listener);
    let mut batch = exporter.lock().aggregator.batch();
    let outcome = receive_until(stop, &mut receiver, |receiver| {
        let at = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let now = exporter.now();
        for (sensor, payload) in receiver.datagrams() {
            batch.datagram(now, at, sensor, port, payload);
        }
        let mut state = exporter.lock();
        state.aggregator.record_batch(&mut batch);
        state.history.set_last_frame(at);
    });
    // Read now: the drop counter disappears with the socket.
    exporter.read_drops();
    outcome
}

/// Counts batches until `stop` is set, then drains the socket.
fn receive_until(
    stop: &AtomicBool,
    receiver: &mut Receiver,
    mut count_batch: impl FnMut(&Receiver),
) -> io::Result<()> {
    while !stop.load(Ordering::Relaxed) {
        if receiver.fill()? {
            count_batch(receiver);
            // Pause only after counting, so that a scrape never misses datagrams because of it.
            receiver.pause();
        }
    }
    let begin = Instant::now();
    while begin.elapsed() < DRAIN && receiver.fill_at_once()? {
        count_batch(receiver);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_about_the_receive_buffer_fits_the_system() {
        assert_eq!(
            buffer_advice("linux", 1_048_576),
            "the kernel grants no more. Raise its limit: sysctl -w net.core.rmem_max=1048576"
        );
        assert_eq!(
            buffer_advice("windows", 1_048_576),
            "the system grants no more. --receive-buffer asks for less"
        );
    }
}
