use std::io;

use flate2::{Decompress, FlushDecompress, Status};

use super::Step;
use super::input::Input;

/// The largest window that the format allows, as a power of two: 32 KiB.
const WINDOW_LOG: u8 = 15;

/// A decoder of one gzip member, including its header and checksum (RFC 1952).
pub(super) struct Gzip(Decompress);

impl Gzip {
    pub(super) fn new() -> Self {
        Self(Decompress::new_gzip(WINDOW_LOG))
    }

    pub(super) fn read(&mut self, input: &mut Input, output: &mut [u8]) -> io::Result<Step> {
        let Self(inflate) = self;
        loop {
            let packed = input.peek(1)?;
            let is_end = packed.is_empty();
            let (read, written) = (inflate.total_in(), inflate.total_out());
            let status = inflate.decompress(packed, output, FlushDecompress::None)?;
            let read = usize::try_from(inflate.total_in() - read).expect("no more than is there");
            let size = usize::try_from(inflate.total_out() - written).expect("no more than fits");
            input.take_peeked(read);
            let is_last = status == Status::StreamEnd;
            if is_last || size > 0 {
                return Ok(Step { size, is_last });
            }
            if is_end {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}
