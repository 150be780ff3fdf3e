//! Why the daemon ends, and what to do about it.

use std::io;

use thiserror::Error;

use crate::flow::NoDatabase;
use crate::http::{self, ListenAddress};
use crate::{geo, memory, names};

/// Why the daemon cannot start or had to stop.
#[derive(Debug, Error)]
pub enum Error {
    #[error("cannot start: {0}")]
    System(io::Error),
    #[error("cannot start a thread: {0}; allow more with TasksMax= in systemd, or with ulimit -u")]
    Threads(io::Error),
    #[error(transparent)]
    Memory(#[from] memory::TooLarge),
    #[error(transparent)]
    Names(#[from] names::Error),
    #[error(transparent)]
    Geo(#[from] geo::Error),
    #[error(transparent)]
    NoDatabase(#[from] NoDatabase),
    #[error(transparent)]
    Configuration(#[from] http::ConfigurationError),
    #[error(
        "cannot publish metrics on {}: {error}{}; {}",
        published(*.address),
        used_by(.holder.as_deref()),
        publish_advice(.error)
    )]
    Publish {
        address: ListenAddress,
        holder: Option<String>,
        error: io::Error,
    },
    #[error(
        "cannot listen on UDP port {port}: {error}{}; {}",
        used_by(.holder.as_deref()),
        listen_advice(.error)
    )]
    Listen {
        port: u16,
        holder: Option<String>,
        error: io::Error,
    },
    #[error("cannot receive on UDP port {port} any more: {error}")]
    Receive { port: u16, error: io::Error },
    #[error("cannot capture: {0}")]
    Start(String),
}

fn published(ListenAddress { address, port }: ListenAddress) -> String {
    match address {
        None => format!("TCP port {port}"),
        Some(address) => format!("TCP port {port} of {address}"),
    }
}

/// Returns advice about an address and TCP port that cannot be bound.
fn publish_advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrNotAvailable => {
            "give --publish-address or --web.listen-address an address of this host, as \
             `ip address` lists them"
        }
        io::ErrorKind::PermissionDenied => {
            "choose a port of at least 1024 with --publish-port or --web.listen-address, or give \
             the program CAP_NET_BIND_SERVICE"
        }
        _ => {
            "stop that program, or choose another port with --publish-port or --web.listen-address"
        }
    }
}

/// Returns advice about a UDP port that cannot be bound.
fn listen_advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "choose a port of at least 1024 with --listen-port, or give the program \
             CAP_NET_BIND_SERVICE"
        }
        _ => "stop that program, or choose another port with --listen-port",
    }
}

pub(super) fn used_by(holder: Option<&str>) -> String {
    holder.map_or(String::new(), |holder| format!(", used by {holder}"))
}
