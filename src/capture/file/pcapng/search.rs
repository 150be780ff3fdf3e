//! Finding the next block after damage.

use pcap_file::Endianness;
use pcap_file::pcapng::blocks::{
    ENHANCED_PACKET_BLOCK, INTERFACE_DESCRIPTION_BLOCK, INTERFACE_STATISTIC_BLOCK, PACKET_BLOCK,
    SECTION_HEADER_BLOCK, SIMPLE_PACKET_BLOCK,
};

use super::{BIG_ENDIAN, BLOCK_START, LITTLE_ENDIAN, MAGIC, Pcapng};
use crate::capture::file::record::Belief;

/// Where blocks are sought after damage, longer ones are not believed: they would have to be
/// waited for at every step.
const MAX_SOUGHT: usize = 1024 * 1024;

impl Pcapng {
    /// Whether a block begins here: of a known type, and with the same length at both ends.
    pub(in crate::capture::file) fn believe(&self, bytes: &[u8], ended: bool) -> Belief {
        let Some(size) = self.block_size(bytes) else {
            let is_known = bytes.len() >= BLOCK_START;
            return if is_known || ended {
                Belief::No
            } else {
                Belief::Unsure
            };
        };
        match bytes.get(size - 4..size) {
            // The two are equal in whatever byte order.
            Some(trailer) => Belief::from(trailer == &bytes[4..8]),
            None if ended => Belief::No,
            None => Belief::Unsure,
        }
    }

    /// Where the next block begins if this one, which reaches past the end, has a damaged length.
    pub(in crate::capture::file) fn find_inside(&mut self, bytes: &[u8]) -> Option<usize> {
        let had_section = self.has_section;
        if bytes.starts_with(&MAGIC) {
            self.salvage_section(bytes);
        }
        let found = (1..bytes.len()).find(|&at| self.believe(&bytes[at..], true) == Belief::Yes);
        self.has_section = had_section || found.is_some();
        found
    }

    /// Starts the section whose header is damaged, in the byte order that the header still tells.
    pub(super) fn salvage_section(&mut self, bytes: &[u8]) {
        let Some((words, _)) = bytes.get(..BLOCK_START).map(<[u8]>::as_chunks::<4>) else {
            return;
        };
        let byte_order = match words[2] {
            BIG_ENDIAN => Endianness::Big,
            LITTLE_ENDIAN => Endianness::Little,
            // Then the length tells: a section header is much shorter than 64 KiB.
            _ => match words[1] {
                [0, 0, _, _] => Endianness::Big,
                [_, _, 0, 0] => Endianness::Little,
                _ => return,
            },
        };
        self.start_section(byte_order);
    }

    /// The size of the block at the start of these bytes, if it looks like a known one.
    fn block_size(&self, bytes: &[u8]) -> Option<usize> {
        let (words, _) = bytes.get(..BLOCK_START)?.as_chunks::<4>();
        let [block_type, length, magic] = *words.first_chunk()?;
        let byte_order = match (block_type, magic) {
            (MAGIC, BIG_ENDIAN) => Endianness::Big,
            (MAGIC, LITTLE_ENDIAN) => Endianness::Little,
            (MAGIC, _) => return None,
            _ if self.has_section => self.byte_order,
            _ => return None,
        };
        let word = |word| match byte_order {
            Endianness::Big => u32::from_be_bytes(word),
            Endianness::Little => u32::from_le_bytes(word),
        };
        let at_least = match word(block_type) {
            SECTION_HEADER_BLOCK => 28,
            ENHANCED_PACKET_BLOCK | PACKET_BLOCK => 32,
            INTERFACE_DESCRIPTION_BLOCK => 20,
            INTERFACE_STATISTIC_BLOCK => 24,
            SIMPLE_PACKET_BLOCK => 16,
            // Names, the journal of systemd, secrets, custom blocks.
            4 | 9 | 10 | 0x0000_0bad | 0x4000_0bad => BLOCK_START,
            _ => return None,
        };
        let size = usize::try_from(word(length)).ok()?;
        (size.is_multiple_of(4) && (at_least..=MAX_SOUGHT).contains(&size)).then_some(size)
    }
}
