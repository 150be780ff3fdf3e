//! Stands in for `socket.rs` and `receiver.rs` on systems without packet sockets.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use super::{OpenError, ReceiveError};
use crate::capture::{DropCounter, Frame, PacketCapture};

/// Has no values, because sockets cannot be opened.
#[derive(Debug)]
pub struct PacketSocket(Infallible);

/// Has no values, because sockets cannot be opened.
#[derive(Debug)]
pub struct Receiver(Infallible);

/// Has no values, because sockets cannot be opened.
#[derive(Debug)]
pub struct Drops(Infallible);

/// Fails.
///
/// # Errors
/// Always: packet sockets exist on Linux only.
pub fn open(_options: &PacketCapture) -> Result<Vec<PacketSocket>, OpenError> {
    let error = io::Error::new(
        io::ErrorKind::Unsupported,
        "only Linux has them; choose --capture tshark, or leave out --interface",
    );
    Err(OpenError::System(error))
}

pub(super) fn interfaces() -> Option<Vec<String>> {
    None
}

impl PacketSocket {
    #[must_use]
    pub fn name(&self) -> &str {
        match self.0 {}
    }

    /// # Errors
    /// None: there is no socket.
    pub fn raise_buffer(&self, _bytes: usize) -> io::Result<usize> {
        match self.0 {}
    }

    /// # Errors
    /// None: there is no socket.
    pub fn begin(&self) -> Result<(), OpenError> {
        match self.0 {}
    }

    #[must_use]
    pub fn drops(&self) -> Drops {
        match self.0 {}
    }
}

impl Receiver {
    /// # Errors
    /// None: there is no socket.
    pub fn new(socket: PacketSocket) -> io::Result<Self> {
        match socket.0 {}
    }

    /// # Errors
    /// None: there is no socket.
    pub fn fill(&mut self) -> Result<bool, ReceiveError> {
        match self.0 {}
    }

    /// # Errors
    /// None: there is no socket.
    pub fn fill_at_once(&mut self) -> Result<bool, ReceiveError> {
        match self.0 {}
    }

    pub fn pause(&mut self) {
        match self.0 {}
    }

    /// # Errors
    /// None: there is no socket.
    pub fn close(&self) -> io::Result<()> {
        match self.0 {}
    }

    pub fn frames(&self, _at: Duration) -> impl Iterator<Item = Frame<'_>> {
        let never = &self.0;
        std::iter::from_fn(move || match *never {})
    }
}

impl DropCounter for Drops {
    fn read(&mut self) -> io::Result<()> {
        match self.0 {}
    }

    fn total(&self) -> u64 {
        match self.0 {}
    }
}
