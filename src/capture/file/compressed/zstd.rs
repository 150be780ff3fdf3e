use std::io;

use zstd::stream::raw::{DParameter, Decoder, Operation};

use super::Step;
use super::input::Input;

/// The largest accepted zstd window, as a power of two: 32 MiB, which limits memory. `zstd -20`
/// needs this much; `--long` and `--ultra -22` may need more, up to 2 GiB.
pub(super) const MAX_WINDOW_LOG: u32 = 25;

/// A decoder of zstd frames (RFC 8878). It can be reused for the next frame.
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

/// Whether the decoder refused a frame because of [`MAX_WINDOW_LOG`]. The library has no error code
/// for this, so the message is compared.
pub(super) fn is_window_too_large(error: &io::Error) -> bool {
    error.to_string().contains("requires too much memory")
}
