use std::io;

use zstd::stream::raw::{DParameter, Decoder, Operation};

use super::Step;
use super::input::Input;

/// The largest zstd window, as a power of two: 32 MiB. It is what `zstd -20` needs; `--long` and
/// `--ultra -22` may ask for more, up to 2 GiB.
pub(super) const MAX_WINDOW_LOG: u32 = 25;

/// One zstd frame after the other: RFC 8878.
pub(super) struct Zstd(Decoder<'static>);

impl Zstd {
    pub(super) fn new() -> io::Result<Self> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(MAX_WINDOW_LOG))?;
        Ok(Self(decoder))
    }

    pub(super) fn read(&mut self, input: &mut Input, output: &mut [u8]) -> io::Result<Step> {
        loop {
            let packed = input.peek(1)?;
            let is_end = packed.is_empty();
            let status = self.0.run_on_buffers(packed, output)?;
            input.take_peeked(status.bytes_read);
            let size = status.bytes_written;
            let is_last = status.remaining == 0;
            if is_last || size > 0 {
                return Ok(Step { size, is_last });
            }
            if is_end {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

pub(super) fn is_window_too_large(error: &io::Error) -> bool {
    error.to_string().contains("requires too much memory")
}
