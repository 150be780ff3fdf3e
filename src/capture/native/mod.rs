//! Packet capture without a capture program: packet sockets of Linux, packet(7).
//!
//! A filter in the kernel ([`filter`]) passes the stream and nothing else, so the sockets see what
//! tshark's capture filter passes, and streams under stacks of VLAN tags, PPPoE and fragments of
//! IPv6 as well. CAP_NET_RAW is all that is needed.
//!
//! Elsewhere there are no such sockets, and opening them is an error.

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

/// What stands for all interfaces.
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
    #[error("{0} listen ports are more than a filter holds, which is {1}")]
    TooManyPorts(usize, usize),
    #[error("cannot open a packet socket: {0}")]
    System(#[from] io::Error),
}

/// Why nothing can be received any more.
#[derive(Debug, Error)]
pub enum ReceiveError {
    #[error("the interface {interface} is gone")]
    Gone {
        interface: String,
        /// Until when it was surely there.
        seen: Instant,
    },
    #[error("cannot read from a packet socket: {0}")]
    System(#[from] io::Error),
}

impl OpenError {
    /// What to do about it, where the error itself does not say so.
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
