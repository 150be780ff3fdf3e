//! The sources of frames, with their sockets bound.

use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::watch;
use tracing::{info, warn};

use super::error::{Error, used_by};
use super::exporter::Exporter;
use super::holder::{Transport, holder};
use super::supervisor::{self, Backend};
use super::{Method, Source, sockets};
use crate::capture::udp::{self, DiscardSocket};
use crate::capture::{PacketCapture, tshark};

pub(super) type Capture = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// A source of frames whose sockets are bound.
pub(super) enum Bound {
    Packets {
        backend: Backend,
        options: PacketCapture,
        discard: Vec<DiscardSocket>,
    },
    Sockets(Vec<udp::Listener>),
}

impl Bound {
    pub(super) fn new(source: Source, listen_ports: &[u16]) -> Result<Self, Error> {
        Ok(match source {
            Source::Packets(options, method) => Self::Packets {
                backend: choose(method),
                discard: discard(&options.listen_ports),
                options,
            },
            Source::Sockets { receive_buffer } => {
                Self::Sockets(sockets::bind(listen_ports, receive_buffer)?)
            }
        })
    }

    /// Returns the UDP ports that receive TZSP. None of them is 0.
    pub(super) fn ports(&self) -> Vec<u16> {
        match self {
            Self::Packets { options, .. } => options.listen_ports.clone(),
            Self::Sockets(listeners) => listeners.iter().map(udp::Listener::port).collect(),
        }
    }

    /// Describes the source in words, for the log and the landing page.
    pub(super) fn describe(&self) -> String {
        let ports = ports(&self.ports());
        match self {
            Self::Packets {
                backend, options, ..
            } => format!(
                "capturing TZSP to UDP {ports} on {} through {backend}",
                options.interfaces.join(", ")
            ),
            Self::Sockets(_) => format!("receiving TZSP on UDP {ports}"),
        }
    }

    pub(super) fn capture(self, exporter: Arc<Exporter>, stop: watch::Receiver<bool>) -> Capture {
        match self {
            Self::Packets {
                backend,
                options,
                discard,
            } => Box::pin(async move {
                let _discard = discard;
                supervisor::capture(backend, options, exporter, stop).await
            }),
            Self::Sockets(listeners) => Box::pin(sockets::receive(listeners, exporter, stop)),
        }
    }
}

/// Chooses how to capture. Automatically, it prefers tshark, which earlier versions always used.
fn choose(method: Method) -> Backend {
    let (backend, why) = match (method, tshark::installed()) {
        (Method::Tshark, _) => return Backend::Tshark,
        (Method::Native, _) => return Backend::Native,
        (Method::Auto, Some(path)) => (Backend::Tshark, format!("{} is installed", path.display())),
        (Method::Auto, None) if cfg!(target_os = "linux") => {
            (Backend::Native, "tshark is not installed".to_owned())
        }
        (Method::Auto, None) => (
            Backend::Tshark,
            "this system has no packet sockets".to_owned(),
        ),
    };
    info!("capturing through {backend}, because {why}; use --capture to choose");
    backend
}

/// Binds sockets that keep the host from answering the stream with ICMP errors.
///
/// If another program uses a port, the host sends none for it anyway, so a failure is only a
/// warning.
fn discard(ports: &[u16]) -> Vec<DiscardSocket> {
    let sockets = ports.iter().filter_map(|&port| {
        DiscardSocket::bind(port)
            .inspect_err(|error| {
                warn!(
                    "cannot keep the host from answering on UDP port {port}: {error}{}; the \
                     capture goes on",
                    used_by(holder(error, Transport::Udp, None, port).as_deref())
                );
            })
            .ok()
    });
    sockets.collect()
}

/// Formats a list of ports: `port 1` or `ports 1, 2`.
fn ports(ports: &[u16]) -> String {
    let list: Vec<_> = ports.iter().map(u16::to_string).collect();
    let noun = if ports.len() == 1 { "port" } else { "ports" };
    format!("{noun} {}", list.join(", "))
}
