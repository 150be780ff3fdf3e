//! The blocks of a pcapng capture:
//! <https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-02.html>.
//!
//! The crate pcap-file reads the framing of blocks. The few fields that are needed are read here,
//! because the typed blocks of that crate reject usable frames: for example if a name is not UTF-8,
//! an option has another size, or the original length is below the captured one.

mod search;

use std::borrow::Cow;
use std::time::Duration;

use byteorder_slice::{BigEndian, ByteOrder, LittleEndian};
use pcap_file::Endianness;
use pcap_file::pcapng::blocks::{
    ENHANCED_PACKET_BLOCK, INTERFACE_DESCRIPTION_BLOCK, INTERFACE_STATISTIC_BLOCK, PACKET_BLOCK,
    RawBlock, SECTION_HEADER_BLOCK, SIMPLE_PACKET_BLOCK,
};
use pcap_file::pcapng::{PcapNgFormatError, RawBlockParseError};

use super::group::FrameGroup;
use super::record::{Item, MAX_RECORD, Mode, Plausible, Resume, Window};
use super::signature;
use crate::capture::Frame;
use crate::frame::LinkType;

/// The largest number of interfaces in a section, far above that of real captures. Each interface
/// uses memory until its section ends, so the number must be limited.
const MAX_INTERFACES: usize = 65_536;

/// The size in bytes of the smallest block: the type, the length, and the length again at the end.
const BLOCK_START: usize = 12;

/// The state of the current section.
#[derive(Debug)]
pub(super) struct Pcapng {
    byte_order: Endianness,
    has_section: bool,
    interfaces: Vec<Interface>,
    /// Number of dropped frames reported by earlier sections.
    dropped_before: u64,
}

#[derive(Debug, Clone, Copy)]
struct Interface {
    link: LinkType,
    /// The snap length in bytes; 0 if there is no limit.
    snaplen: u32,
    clock: Clock,
    /// Number of frames dropped on this interface, according to its latest statistics block.
    dropped: u64,
}

/// How the timestamps of an interface are converted to time.
#[derive(Debug, Clone, Copy)]
struct Clock {
    units: Units,
    /// Seconds that are added to every timestamp.
    offset: i64,
}

#[derive(Debug, Clone, Copy)]
enum Units {
    /// Units per second, a power of ten.
    Decimal(u64),
    /// Units per second, as the exponent of a power of two.
    Binary(u32),
    /// Units so small that a 64-bit timestamp covers less than a second.
    Tiny,
}

impl Default for Pcapng {
    fn default() -> Self {
        Self {
            byte_order: Endianness::Big,
            has_section: false,
            interfaces: Vec::new(),
            dropped_before: 0,
        }
    }
}

impl Pcapng {
    /// Whether a section header was read.
    pub(super) fn has_section(&self) -> bool {
        self.has_section
    }

    /// Number of frames dropped on all interfaces, according to the capture.
    pub(super) fn dropped(&self) -> u64 {
        let here = self.interfaces.iter().map(|interface| interface.dropped);
        here.fold(self.dropped_before, u64::saturating_add)
    }

    /// Fast path: adds the enhanced packet blocks at the front to `group` until it is full, and
    /// returns their size in bytes. Nearly all blocks are of this type. Stops at the first block that
    /// is of another type, incomplete or malformed. Must agree with [`next`](Self::next), which
    /// handles those.
    pub(super) fn plain_frames<'a>(&self, bytes: &'a [u8], group: &mut FrameGroup<'a>) -> usize {
        match self.byte_order {
            Endianness::Big => self.plain_frames_of::<BigEndian>(bytes, group),
            Endianness::Little => self.plain_frames_of::<LittleEndian>(bytes, group),
        }
    }

    fn plain_frames_of<'a, B: ByteOrder>(
        &self,
        bytes: &'a [u8],
        group: &mut FrameGroup<'a>,
    ) -> usize {
        let mut rest = bytes;
        while !group.is_full()
            && let Some((frame, tail)) = self.plain::<B>(rest)
        {
            group.push(frame);
            rest = tail;
        }
        bytes.len() - rest.len()
    }

    /// Returns the packet at the front and the bytes after it.
    #[inline]
    fn plain<'a, B: ByteOrder>(&self, bytes: &'a [u8]) -> Option<(Frame<'a>, &'a [u8])> {
        let mut fields = Fields::<B>::new(bytes);
        let block_type = fields.u32()?;
        let size = fields.u32()?;
        let body_size = usize::try_from(size).ok()?.checked_sub(BLOCK_START)?;
        let body = fields.bytes(body_size)?;
        let is_sound = block_type == ENHANCED_PACKET_BLOCK
            && size.is_multiple_of(4)
            && body_size + BLOCK_START <= MAX_RECORD
            && fields.u32()? == size;
        if !is_sound {
            return None;
        }
        let mut packet = Fields::<B>::new(body);
        let id = packet.u32()?;
        Some((self.packet(id, packet)?, fields.rest))
    }

    /// Reads the item at the start of a window.
    pub(super) fn next<'a>(&mut self, window: Window<'a>, mode: Mode) -> Item<'a> {
        let bytes = window.bytes;
        match signature::begins_pcap(bytes) {
            Plausible::Yes => return Item::NewCapture,
            Plausible::Unknown => return Item::Incomplete,
            Plausible::No => {}
        }
        let parsed = match self.byte_order {
            Endianness::Big => RawBlock::from_slice::<BigEndian>(bytes),
            Endianness::Little => RawBlock::from_slice::<LittleEndian>(bytes),
        };
        let (rest, block) = match parsed {
            // The limit holds for a block that is in the buffer already, or else the result would
            // depend on the sizes of reads.
            Ok((rest, _)) if bytes.len() - rest.len() > MAX_RECORD => {
                let size = bytes.len() - rest.len();
                let error = RawBlockParseError::IncompleteBuffer(size - 8, bytes.len());
                return self.bad_framing(&error, window, mode);
            }
            Ok(parsed) => parsed,
            Err(RawBlockParseError::IncompleteBuffer(needed, _)) if needed + 8 <= MAX_RECORD => {
                return Item::Incomplete;
            }
            Err(error) => return self.bad_framing(&error, window, mode),
        };
        let size = bytes.len() - rest.len();
        let Cow::Borrowed(body) = block.body else {
            unreachable!("a block is borrowed from the buffer");
        };
        if block.type_ == SECTION_HEADER_BLOCK {
            // pcap-file has checked that the byte-order magic is one of the two.
            self.start_section(match body {
                [0x4d, ..] => Endianness::Little,
                _ => Endianness::Big,
            });
            return Item::Other { size };
        }
        let frame = match self.byte_order {
            Endianness::Big => self.block::<BigEndian>(block.type_, body),
            Endianness::Little => self.block::<LittleEndian>(block.type_, body),
        };
        match frame {
            Ok(Some(frame)) => Item::Frame { size, frame },
            Ok(None) => Item::Other { size },
            Err(what) => Item::damaged(what, Resume::After(size)),
        }
    }

    /// Describes a block whose framing is malformed, and finds the place to resume.
    fn bad_framing<'a>(
        &mut self,
        error: &RawBlockParseError,
        window: Window<'_>,
        mode: Mode,
    ) -> Item<'a> {
        let what = match error {
            RawBlockParseError::IncompleteBuffer(needed, _) => {
                format!("a block of {} bytes", needed + 8)
            }
            RawBlockParseError::InvalidFormat(error) => describe(error),
        };
        if mode == Mode::Strict {
            return Item::damaged(what, Resume::Search);
        }
        if window.bytes.starts_with(&signature::SECTION) {
            self.salvage_section(window.bytes);
        }
        match self.resume_behind(window) {
            Some(resume) => Item::damaged(what, resume),
            None => Item::Incomplete,
        }
    }

    fn start_section(&mut self, byte_order: Endianness) {
        self.byte_order = byte_order;
        self.has_section = true;
        self.dropped_before = self.dropped();
        self.interfaces.clear();
    }

    /// Reads a block and returns its frame, if it has one. Skips blocks of unknown types, which
    /// hold names, secrets or data of other programs.
    fn block<'a, B: ByteOrder>(
        &mut self,
        block_type: u32,
        body: &'a [u8],
    ) -> Result<Option<Frame<'a>>, String> {
        let mut fields = Fields::<B>::new(body);
        let frame = match block_type {
            INTERFACE_DESCRIPTION_BLOCK => {
                if self.interfaces.len() == MAX_INTERFACES {
                    return Err(format!("more than {MAX_INTERFACES} interfaces"));
                }
                let interface = interface(&mut fields);
                // Packets refer to interfaces by number. A damaged description still takes a
                // number, so that the interfaces after it keep theirs.
                self.interfaces
                    .push(interface.unwrap_or(Interface::UNDESCRIBED));
                interface.ok_or("an interface cut short")?;
                return Ok(None);
            }
            ENHANCED_PACKET_BLOCK => {
                let id = fields.u32();
                id.and_then(|id| self.packet(id, fields))
            }
            PACKET_BLOCK => {
                let id = fields.u16();
                let _drops = fields.u16();
                id.and_then(|id| self.packet(u32::from(id), fields))
            }
            SIMPLE_PACKET_BLOCK => self.simple_packet(fields),
            INTERFACE_STATISTIC_BLOCK => {
                self.statistics(&mut fields);
                return Ok(None);
            }
            _ => return Ok(None),
        };
        frame
            .map(Some)
            .ok_or_else(|| "a packet cut short".to_owned())
    }

    fn packet<'a, B: ByteOrder>(&self, id: u32, mut fields: Fields<'a, B>) -> Option<Frame<'a>> {
        let timestamp = u64::from(fields.u32()?) << 32 | u64::from(fields.u32()?);
        let captured = usize::try_from(fields.u32()?).ok()?;
        let original = usize::try_from(fields.u32()?).ok()?;
        let interface = self.interface(id);
        Some(Frame {
            at: interface.clock.time(timestamp),
            link: interface.link,
            bytes: fields.bytes(captured)?,
            length: captured.max(original),
        })
    }

    /// Reads a simple packet block. It belongs to the first interface, and has no timestamp and no
    /// captured length.
    fn simple_packet<'a, B: ByteOrder>(&self, mut fields: Fields<'a, B>) -> Option<Frame<'a>> {
        let original = fields.u32()?;
        let interface = self.interface(0);
        let captured = match interface.snaplen {
            0 => original,
            snaplen => original.min(snaplen),
        };
        Some(Frame {
            at: Duration::ZERO,
            link: interface.link,
            bytes: fields.bytes(usize::try_from(captured).ok()?)?,
            length: usize::try_from(original).ok()?,
        })
    }

    /// Reads the drop counts of an interface. They are totals since the start of the capture, so a
    /// later block replaces an earlier one.
    fn statistics<B: ByteOrder>(&mut self, fields: &mut Fields<'_, B>) -> Option<()> {
        const ISB_IFDROP: u16 = 5;
        const ISB_OSDROP: u16 = 7;

        let id = usize::try_from(fields.u32()?).ok()?;
        let _timestamp = fields.bytes(8)?;
        let mut dropped = 0_u64;
        while let Some((code, value)) = fields.option() {
            if matches!(code, ISB_IFDROP | ISB_OSDROP) {
                dropped = dropped.saturating_add(Fields::<B>::new(value).u64()?);
            }
        }
        self.interfaces.get_mut(id)?.dropped = dropped;
        Some(())
    }

    fn interface(&self, id: u32) -> &Interface {
        usize::try_from(id)
            .ok()
            .and_then(|id| self.interfaces.get(id))
            .unwrap_or(&Interface::UNDESCRIBED)
    }
}

impl Interface {
    /// The interface of packets that refer to an interface without a description. The format of
    /// their bytes is unknown, so they count as frames of an unsupported link type.
    const UNDESCRIBED: Self = Self {
        link: LinkType(u16::MAX),
        snaplen: 0,
        clock: Clock::DEFAULT,
        dropped: 0,
    };
}

fn interface<B: ByteOrder>(fields: &mut Fields<'_, B>) -> Option<Interface> {
    const IF_TSRESOL: u16 = 9;
    const IF_TSOFFSET: u16 = 14;

    let link = LinkType(fields.u16()?);
    let _reserved = fields.u16()?;
    let snaplen = fields.u32()?;
    let mut clock = Clock::DEFAULT;
    while let Some((code, value)) = fields.option() {
        match (code, value) {
            (IF_TSRESOL, [resolution]) => clock.units = Units::from_option(*resolution),
            (IF_TSOFFSET, value) => clock.offset = Fields::<B>::new(value).i64().unwrap_or(0),
            _ => {}
        }
    }
    Some(Interface {
        link,
        snaplen,
        clock,
        dropped: 0,
    })
}

impl Clock {
    const DEFAULT: Self = Self {
        units: Units::Decimal(1_000_000),
        offset: 0,
    };

    /// Returns the time since the Unix epoch. A time before the epoch becomes the epoch.
    fn time(self, timestamp: u64) -> Duration {
        let (seconds, nanoseconds) = match self.units {
            Units::Decimal(units) => (timestamp / units, decimal_nanos(timestamp % units, units)),
            Units::Binary(shift) => {
                let fraction = timestamp & ((1 << shift) - 1);
                let nanoseconds = (u128::from(fraction) * u128::from(NANOS)) >> shift;
                (timestamp >> shift, u64::try_from(nanoseconds).unwrap_or(0))
            }
            Units::Tiny => (0, 0),
        };
        let time = Duration::from_secs(seconds) + Duration::from_nanos(nanoseconds);
        let offset = Duration::from_secs(self.offset.unsigned_abs());
        if self.offset >= 0 {
            time.saturating_add(offset)
        } else {
            time.saturating_sub(offset)
        }
    }
}

/// Nanoseconds per second.
const NANOS: u64 = 1_000_000_000;

fn decimal_nanos(fraction: u64, units: u64) -> u64 {
    if units <= NANOS {
        fraction * (NANOS / units)
    } else {
        fraction / (units / NANOS)
    }
}

impl Units {
    /// Reads the option `if_tsresol`: the top bit selects powers of two or of ten, the other bits
    /// are the exponent.
    fn from_option(resolution: u8) -> Self {
        let exponent = u32::from(resolution & 0x7f);
        if resolution & 0x80 == 0 {
            10_u64
                .checked_pow(exponent)
                .map_or(Self::Tiny, Self::Decimal)
        } else if exponent < u64::BITS {
            Self::Binary(exponent)
        } else {
            Self::Tiny
        }
    }
}

/// Takes fields off the front of a block's body.
struct Fields<'a, B> {
    rest: &'a [u8],
    byte_order: std::marker::PhantomData<B>,
}

impl<'a, B: ByteOrder> Fields<'a, B> {
    fn new(body: &'a [u8]) -> Self {
        Self {
            rest: body,
            byte_order: std::marker::PhantomData,
        }
    }

    fn bytes(&mut self, size: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(size)?;
        self.rest = rest;
        Some(bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.bytes(2).map(B::read_u16)
    }

    fn u32(&mut self) -> Option<u32> {
        self.bytes(4).map(B::read_u32)
    }

    fn u64(&mut self) -> Option<u64> {
        self.bytes(8).map(B::read_u64)
    }

    fn i64(&mut self) -> Option<i64> {
        self.bytes(8).map(B::read_i64)
    }

    /// Returns the code and value of the next option, or `None` at the end of the list. Some
    /// writers omit the end marker.
    fn option(&mut self) -> Option<(u16, &'a [u8])> {
        const OPT_ENDOFOPT: u16 = 0;

        let code = self.u16().filter(|&code| code != OPT_ENDOFOPT)?;
        let size = usize::from(self.u16()?);
        let value = self.bytes(size)?;
        // Values are padded to 32 bits. The padding of the last value may be missing.
        let padding = size.next_multiple_of(4) - size;
        self.rest = self.rest.get(padding..).unwrap_or_default();
        Some((code, value))
    }
}

/// Words the error of pcap-file for the user.
fn describe(error: &PcapNgFormatError) -> String {
    match error {
        PcapNgFormatError::BlockLengthMismatch(first, last) => {
            format!("a block of {first} bytes that ends as one of {last} bytes")
        }
        other => other.to_string(),
    }
}
