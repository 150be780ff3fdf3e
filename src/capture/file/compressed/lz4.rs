//! LZ4 frames: <https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md>.

use std::io::{self, Read};
use std::mem;

use lz4_flex::frame::FrameDecoder;

use super::Step;
use super::input::Input;

/// A decoder of one frame.
pub(super) struct Lz4 {
    decoder: FrameDecoder<Lent>,
    descriptor: [u8; 2],
}

impl Lz4 {
    pub(super) fn for_frame(input: &mut Input) -> io::Result<Self> {
        let descriptor = descriptor(input)?;
        Ok(Self {
            decoder: FrameDecoder::new(Lent::for_frame(descriptor)),
            descriptor,
        })
    }

    /// Returns a decoder for the frame after this one, and reuses the buffers if both frames have
    /// the same descriptor. lz4_flex needs buffers of exactly the block size, and allocating them
    /// takes longer than reading an empty frame, so a stream of many empty frames would be slow.
    pub(super) fn for_next(mut self, input: &mut Input) -> io::Result<Self> {
        if descriptor(input)? != self.descriptor {
            return Self::for_frame(input);
        }
        *self.decoder.get_mut() = Lent::for_frame(self.descriptor);
        Ok(self)
    }

    pub(super) fn read(&mut self, input: &mut Input, output: &mut [u8]) -> io::Result<Step> {
        loop {
            mem::swap(&mut self.decoder.get_mut().input, input);
            let result = self.decoder.read(output);
            let lent = self.decoder.get_mut();
            mem::swap(&mut lent.input, input);
            let size = result?;
            if size > 0 {
                lent.expect_block();
                return Ok(Step {
                    size,
                    is_last: false,
                });
            }
            // The decoder returns 0 in three cases: at the end of the frame, after an empty block,
            // and where the stream ends between two blocks. `Lent` distinguishes them.
            if lent.has_ended {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if lent.block_size == [0; 4] {
                return Ok(Step {
                    size: 0,
                    is_last: true,
                });
            }
            lent.expect_block();
        }
    }
}

/// Returns the flags and the block descriptor of the frame that comes next.
fn descriptor(input: &mut Input) -> io::Result<[u8; 2]> {
    match input.peek(6)? {
        [_, _, _, _, flags, block, ..] => Ok([*flags, *block]),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Holds the input while the decoder reads from it, and records the size field before each block.
/// A size of 0 marks the end of the frame.
struct Lent {
    input: Input,
    /// Number of bytes before the next block's size field.
    before: usize,
    block_size: [u8; 4],
    /// Number of bytes of `block_size` that were read.
    seen: usize,
    has_ended: bool,
}

impl Lent {
    fn for_frame([flags, _]: [u8; 2]) -> Self {
        const CONTENT_SIZE: u8 = 0x08;
        const DICTIONARY: u8 = 0x01;

        let has = |flag| usize::from(flags & flag != 0);
        Self {
            input: Input::nothing(),
            // Magic number, flags, block descriptor and checksum, with two optional fields.
            before: 7 + 8 * has(CONTENT_SIZE) + 4 * has(DICTIONARY),
            block_size: [0; 4],
            seen: 0,
            has_ended: false,
        }
    }

    /// Notes that the decoder's next read begins with a block's size field.
    fn expect_block(&mut self) {
        self.before = 0;
        self.seen = 0;
    }
}

impl Read for Lent {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = self.input.read(buffer)?;
        self.has_ended |= size == 0 && !buffer.is_empty();
        let before = self.before.min(size);
        self.before -= before;
        let missing = self.block_size.iter_mut().skip(self.seen);
        for (byte, read) in missing.zip(&buffer[before..size]) {
            *byte = *read;
            self.seen += 1;
        }
        Ok(size)
    }
}
