//! Packet capture without tshark: Linux packet sockets, packet(7).
//!
//! A filter in the kernel (`filter`) passes only the TZSP stream. It passes what tshark's capture
//! filter passes, and also streams behind stacks of VLAN tags, in PPPoE and in IPv6 fragments. The
//! program needs no privilege but CAP_NET_RAW.
//!
//! On other systems, opening the sockets is an error.

#[cfg(target_os = "linux")]
mod batch;
#[cfg(target_os = "linux")]
mod ether_type;
#[cfg(target_os = "linux")]
mod filter;
#[cfg(target_os = "linux")]
mod interface;
#[cfg(target_os = "linux")]
mod options;
#[cfg(target_os = "linux")]
mod receiver;
#[cfg(target_os = "linux")]
mod socket;
#[cfg(not(target_os = "linux"))]
#[path = "unsupported.rs"]
mod socket;

use std::io;
use std::time::Instant;

use thiserror::Error;

#[cfg(target_os = "linux")]
pub use receiver::Receiver;
#[cfg(not(target_os = "linux"))]
pub use socket::Receiver;
pub use socket::{Drops, PacketSocket, open};

/// The name that stands for all interfaces.
pub const ANY: &str = "any";

/// Why packet sockets cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    #[error(
        "run as root, or allow the program to capture: setcap cap_net_raw+ep \
         \"$(command -v tzsp_packetstream_exporter)\", or in systemd \
         AmbientCapabilities=CAP_NET_RAW: {0}"
    )]
    NotPermitted(io::Error),
    #[error("there is no interface \"{0}\"")]
    NoInterface(String),
    #[error("{0} and {1} are the same interface, so everything would count twice")]
    SameInterface(String, String),
    #[error("too many listen ports for a capture filter: {0}, of at most {1}")]
    TooManyPorts(usize, usize),
    #[error("cannot open a packet socket: {0}")]
    System(#[from] io::Error),
}

/// Why a packet socket cannot be read any more.
#[derive(Debug, Error)]
pub enum ReceiveError {
    #[error("the interface {interface} is gone")]
    Gone {
        interface: String,
        /// When it was last known to exist.
        seen: Instant,
    },
    #[error("cannot read from a packet socket: {0}")]
    System(#[from] io::Error),
}

impl OpenError {
    /// Returns advice that the error message itself does not contain.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        match self {
            Self::NoInterface(_) => socket::interfaces().map(|names| {
                let names = names.join(", ");
                format!("--interface takes one of these: {names}, {ANY}")
            }),
            _ => None,
        }
    }
}
