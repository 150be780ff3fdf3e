//! Datagrams one by one, where there is no call for many.

use std::io::{self, Read};

use socket2::Socket;

use super::LARGEST_DATAGRAM;

#[derive(Debug)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    size: usize,
}

impl Batch {
    pub(super) fn new() -> Self {
        Self {
            bytes: vec![0; LARGEST_DATAGRAM],
            size: 0,
        }
    }

    pub(super) fn receive(&mut self, socket: &Socket) -> io::Result<()> {
        let mut socket = socket;
        self.size = socket.read(&mut self.bytes)?;
        Ok(())
    }

    pub(super) fn datagrams(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.get(..self.size).into_iter()
    }
}
