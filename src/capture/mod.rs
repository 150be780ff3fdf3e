//! Where frames come from.
//!
//! [`unpack`] takes off compression. [`CaptureReader`] takes pcap and pcapng apart, from files
//! and from streams alike.
//! [`tshark`] runs the capture program, whose output such a reader takes.
//! [`udp`] receives datagrams without any capture program.

mod ahead;
mod compressed;
mod content;
mod damage;
pub mod leash;
mod pcap;
mod pcapng;
pub mod quiet;
mod reader;
pub mod tshark;
pub mod udp;

use std::time::Duration;

use crate::wire::{LinkType, Part};

pub use compressed::unpack;
pub use content::Content;
pub use damage::Damage;
pub use reader::{CaptureError, CaptureReader};

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
    pub fn part(&self) -> Part<'a> {
        Part::new(self.bytes, self.length)
    }
}
