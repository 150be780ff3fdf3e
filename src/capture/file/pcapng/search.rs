//! Resynchronisation: finds the next block after damage.

use pcap_file::Endianness;
use pcap_file::pcapng::blocks::{
    ENHANCED_PACKET_BLOCK, INTERFACE_DESCRIPTION_BLOCK, INTERFACE_STATISTIC_BLOCK, PACKET_BLOCK,
    SIMPLE_PACKET_BLOCK,
};

use super::{BLOCK_START, Pcapng};
use crate::capture::file::record::{Link, MAX_RECORD, Plausible, Resume, Window};
use crate::capture::file::signature::{BIG_ENDIAN, LITTLE_ENDIAN, SECTION};

/// The largest plausible block during resynchronisation, in bytes. A block is checked by its
/// trailer, so the search must wait for all its bytes. Without this limit, random bytes that look
/// like a large block would stop the search at every step.
const MAX_SOUGHT: usize = 1024 * 1024;

/// More bytes are needed to decide.
struct Undecided;

impl Pcapng {
    /// Whether a block plausibly begins at the start of a window: it has a known type and the same
    /// length at both ends.
    pub(in crate::capture::file) fn is_plausible(&self, window: Window<'_>) -> Plausible {
        let Some(size) = self.block_size(window.bytes) else {
            let is_known = window.bytes.len() >= BLOCK_START;
            return if is_known || window.ended {
                Plausible::No
            } else {
                Plausible::Unknown
            };
        };
        match window.bytes.get(size - 4..size) {
            // The two lengths are compared as bytes, so the byte order does not matter.
            Some(trailer) => Plausible::from(trailer == &window.bytes[4..8]),
            None if window.ended => Plausible::No,
            None => Plausible::Unknown,
        }
    }

    /// Returns where the chain leads from the block at the start of a window.
    pub(in crate::capture::file) fn link(&mut self, window: Window<'_>) -> Link {
        let Some((words, _)) = window.bytes.get(..BLOCK_START).map(<[u8]>::as_chunks::<4>) else {
            return if window.ended {
                Link::End
            } else {
                Link::Unknown
            };
        };
        match (words[0], words[2]) {
            (SECTION, BIG_ENDIAN) => self.byte_order = Endianness::Big,
            (SECTION, LITTLE_ENDIAN) => self.byte_order = Endianness::Little,
            _ => {}
        }
        let size = usize::try_from(self.word(words[1])).unwrap_or(usize::MAX);
        if !size.is_multiple_of(4) || !(BLOCK_START..=MAX_RECORD).contains(&size) {
            return Link::Broken;
        }
        match window.bytes.get(size - 4..size) {
            Some(trailer) if trailer != words[1] => Link::Broken,
            None if !window.ended => Link::Unknown,
            _ => Link::Next(size),
        }
    }

    /// Returns where to resume after a block with malformed framing, or `None` if more bytes are
    /// needed.
    ///
    /// A block stores its length twice. If one of the two is intact, it determines where the block
    /// ends. Otherwise the reader resynchronises at the next plausible block.
    pub(super) fn resume_behind(&self, window: Window<'_>) -> Option<Resume> {
        match self.size_by_trailer(window) {
            Ok(Some(size)) => return Some(Resume::After(size)),
            Ok(None) => {}
            Err(Undecided) => return None,
        }
        let Some(size) = self.block_size(window.bytes) else {
            return Some(Resume::Search);
        };
        let plausible = match window.from(size) {
            Some(rest) => self.is_plausible(rest),
            None => Plausible::at_end(window, false),
        };
        match plausible {
            Plausible::Yes => Some(Resume::After(size)),
            Plausible::No => Some(Resume::Search),
            Plausible::Unknown => None,
        }
    }

    /// Returns the size of the enhanced packet block at the start of a window according to its
    /// trailer, for the case that the length at its start is damaged. The captured length gives the
    /// position of the trailer, provided that the block has no options. `None` if the trailer does
    /// not match; `Err` if more bytes are needed.
    fn size_by_trailer(&self, window: Window<'_>) -> Result<Option<usize>, Undecided> {
        /// Number of bytes before the packet.
        const HEADER: usize = 28;

        let missing = if window.ended {
            Ok(None)
        } else {
            Err(Undecided)
        };
        let is_packet = |words: &[[u8; 4]]| self.word(words[0]) == ENHANCED_PACKET_BLOCK;
        let (words, _) = window.bytes.as_chunks::<4>();
        if !words.is_empty() && !is_packet(words) {
            return Ok(None);
        }
        let Some(captured) = words.get(5).filter(|_| window.bytes.len() >= HEADER) else {
            return missing;
        };
        let captured = usize::try_from(self.word(*captured)).unwrap_or(MAX_SOUGHT);
        if captured >= MAX_SOUGHT {
            return Ok(None);
        }
        let size = HEADER + captured.next_multiple_of(4) + 4;
        let Some(trailer) = window.bytes.get(size - 4..size) else {
            return missing;
        };
        let is_size =
            trailer.first_chunk().map(|&word| self.word(word)) == u32::try_from(size).ok();
        Ok(is_size.then_some(size))
    }

    fn word(&self, word: [u8; 4]) -> u32 {
        match self.byte_order {
            Endianness::Big => u32::from_be_bytes(word),
            Endianness::Little => u32::from_le_bytes(word),
        }
    }

    /// Starts a section whose header is damaged, if its byte order can still be determined. Without
    /// the byte order, none of its blocks could be read.
    pub(super) fn salvage_section(&mut self, bytes: &[u8]) {
        let Some((words, _)) = bytes.get(..BLOCK_START).map(<[u8]>::as_chunks::<4>) else {
            return;
        };
        let byte_order = match words[2] {
            BIG_ENDIAN => Endianness::Big,
            LITTLE_ENDIAN => Endianness::Little,
            // The byte-order magic is damaged. A section header is much shorter than 64 KiB, so the
            // zero half of its length shows the byte order.
            _ => match words[1] {
                [0, 0, _, _] => Endianness::Big,
                [_, _, 0, 0] => Endianness::Little,
                _ => return,
            },
        };
        self.start_section(byte_order);
    }

    /// Returns the size of the block at the start of these bytes, if its type is known and its
    /// length is plausible.
    fn block_size(&self, bytes: &[u8]) -> Option<usize> {
        let (words, _) = bytes.get(..BLOCK_START)?.as_chunks::<4>();
        let [block_type, length] = *words.first_chunk()?;
        if !self.has_section {
            return None;
        }
        let at_least = self.least_size(block_type)?;
        let size = usize::try_from(self.word(length)).ok()?;
        (size.is_multiple_of(4) && (at_least..=MAX_SOUGHT).contains(&size)).then_some(size)
    }

    /// Returns the smallest size of a block of a known type. Section headers are not included,
    /// because a packet may carry one: `CaptureFormat::begins_outside_packets` checks them.
    fn least_size(&self, block_type: [u8; 4]) -> Option<usize> {
        let size = match self.word(block_type) {
            ENHANCED_PACKET_BLOCK | PACKET_BLOCK => 32,
            INTERFACE_DESCRIPTION_BLOCK => 20,
            INTERFACE_STATISTIC_BLOCK => 24,
            SIMPLE_PACKET_BLOCK => 16,
            // Name resolution, systemd journal, decryption secrets, custom blocks.
            4 | 9 | 10 | 0x0000_0bad | 0x4000_0bad => BLOCK_START,
            _ => return None,
        };
        Some(size)
    }
}
