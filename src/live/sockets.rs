//! Receives on UDP sockets: one thread for each.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Instant, SystemTime};

use tokio::sync::{mpsc, watch};
use tracing::warn;

use super::exporter::Exporter;
use super::{Error, service};
use crate::capture::udp::{self, Listener, Receiver};

/// Binds a socket to each port.
pub(super) fn bind(ports: &[u16], buffer_mib: u32) -> Result<Vec<Listener>, Error> {
    let listeners = ports.iter().map(|&port| {
        let listener = Listener::bind(port).map_err(|error| Error::Listen {
            port,
            holder: udp::holder(port),
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
            "the receive buffer of UDP port {port} has {} KiB instead of {buffer_mib} MiB: the \
             kernel gives no more. Raise its limit: sysctl -w net.core.rmem_max={wanted}",
            granted / 1024
        ),
        Ok(_) => {}
        Err(error) => warn!("cannot raise the receive buffer of UDP port {port}: {error}"),
    }
}

/// Takes datagrams in until `stop` says so.
pub(super) async fn receive(
    listeners: Vec<Listener>,
    exporter: Arc<Exporter>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), Error> {
    let drops = listeners.iter().map(Listener::drops);
    exporter.watch_drops(drops.map(|drops| Box::new(drops) as _).collect());
    exporter.lock().history.started(Instant::now());

    let stopping = Arc::new(AtomicBool::new(false));
    let (failed, mut failure) = mpsc::channel(listeners.len());
    let mut result = Ok(());
    for listener in listeners {
        let exporter = Arc::clone(&exporter);
        let stopping = Arc::clone(&stopping);
        let failed = failed.clone();
        let spawned = thread::Builder::new().spawn(move || {
            let port = listener.port();
            if let Err(error) = take_in(listener, &exporter, &stopping) {
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
    exporter.lock().history.ended(Instant::now());
    result
}

fn take_in(listener: Listener, exporter: &Exporter, stop: &AtomicBool) -> io::Result<()> {
    let port = listener.port();
    let mut receiver = Receiver::new(listener);
    let mut intake = exporter.lock().aggregator.intake();
    while !stop.load(Ordering::Relaxed) {
        if !receiver.fill()? {
            continue;
        }
        let at = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let now = exporter.now();
        for (sensor, payload) in receiver.datagrams() {
            intake.datagram(now, at, sensor, port, payload);
        }
        let mut state = exporter.lock();
        state.aggregator.take_in(&mut intake);
        state.history.frames_until(at);
    }
    Ok(())
}
