//! Sources of frames.
//!
//! - Capture files and streams: [`unpack`] decompresses them, [`CaptureReader`] reads the records of
//!   pcap and pcapng.
//! - [`tshark`] runs tshark as a child process; a [`CaptureReader`] reads its output.
//! - [`native`] captures packets with packet sockets, on Linux only.
//! - [`udp`] receives the TZSP datagrams on ordinary UDP sockets, without any capture.
//!
//! Both kinds of sockets use [`Pause`] to decide how long packets may gather in the kernel's
//! [`ReceiveBuffer`] between two reads, and [`DropCounter`] to report what the kernel dropped.

mod file;
pub mod native;
mod pause;
mod receive_buffer;
pub mod tshark;
pub mod udp;

use std::fmt;
use std::io;

pub use crate::frame::Frame;
pub use file::{
    Block, BlockReader, CaptureError, CaptureReader, Content, Damage, is_compressed, unpack,
};
pub use pause::Pause;
pub use receive_buffer::ReceiveBuffer;
use receive_buffer::{gather, raise_receive_buffer};

/// What to capture on network interfaces, and how.
#[derive(Debug, Clone)]
pub struct PacketCapture {
    pub interfaces: Vec<String>,
    pub listen_ports: Vec<u16>,
    /// Size of the kernel's capture buffer for each interface, in MiB.
    pub buffer: u32,
    /// Number of bytes to keep of each frame.
    pub snaplen: u32,
    /// Also capture frames that are addressed to other hosts.
    pub promiscuous: bool,
}

/// Counts the frames that the kernel dropped for one source of frames.
pub trait DropCounter: fmt::Debug + Send {
    /// Reads the current number from the kernel.
    ///
    /// # Errors
    /// The number cannot be read; the total keeps its value.
    fn read(&mut self) -> io::Result<()>;

    /// Returns all frames dropped up to the last successful [`read`](Self::read).
    fn total(&self) -> u64;
}
