//! Where frames come from.
//!
//! [`unpack`] takes off compression. [`CaptureReader`] takes pcap and pcapng apart, from files
//! and from streams alike.
//! [`tshark`] runs the capture program, whose output such a reader takes.
//! [`native`] captures packets without any capture program, where there is Linux.
//! [`udp`] receives datagrams without any capture program. [`Pause`] decides how long they gather in
//! the kernel's [`ReceiveBuffer`] between two reads.

mod file;
pub mod leash;
pub mod native;
mod pause;
pub mod quiet;
mod receive_buffer;
pub mod tshark;
pub mod udp;

use std::fmt;
use std::io;
use std::time::Duration;

use crate::wire::{Captured, LinkType};

pub use file::{CaptureError, CaptureReader, Content, Damage, unpack};
pub use pause::Pause;
pub use receive_buffer::ReceiveBuffer;
use receive_buffer::{gather, raise_receive_buffer};

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

/// What to capture on network interfaces, and how.
#[derive(Debug, Clone)]
pub struct PacketCapture {
    pub interfaces: Vec<String>,
    pub listen_ports: Vec<u16>,
    /// The kernel's capture buffer for each interface, in MiB.
    pub buffer: u32,
    /// How many bytes of each frame are kept.
    pub snaplen: u32,
    /// Capture frames for other hosts too.
    pub promiscuous: bool,
}

/// Counts the frames that the kernel dropped for one source of frames.
pub trait DropCounter: fmt::Debug + Send {
    /// Asks the kernel how many it dropped until now.
    ///
    /// # Errors
    /// The kernel does not tell: the total stays what it was.
    fn read(&mut self) -> io::Result<()>;

    /// All that were dropped until the last successful [`read`](Self::read).
    fn total(&self) -> u64;
}

impl<'a> Frame<'a> {
    #[must_use]
    pub fn captured(&self) -> Captured<'a> {
        Captured::new(self.bytes, self.length)
    }
}
