//! Where frames come from.
//!
//! [`unpack`] takes off compression. [`CaptureReader`] takes pcap and pcapng apart, from files
//! and from streams alike.
//! [`tshark`] runs the capture program, whose output such a reader takes.
//! [`udp`] receives datagrams without any capture program.

mod file;
pub mod leash;
pub mod quiet;
pub mod tshark;
pub mod udp;

use std::time::Duration;

use crate::wire::{Captured, LinkType};

pub use file::{CaptureError, CaptureReader, Damage, unpack};

/// One record of a capture, link-layer header included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// When it was captured, since the Unix epoch.
    pub at: Duration,
    pub link: LinkType,
    /// What the capture kept of it.
    pub bytes: &'a [u8],
    /// How long it was; never less than what was kept.
    pub length: usize,
}

impl<'a> Frame<'a> {
    #[must_use]
    pub fn captured(&self) -> Captured<'a> {
        Captured::new(self.bytes, self.length)
    }
}
