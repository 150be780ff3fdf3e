//! The records of a pcap capture: <https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-05.html>.
//!
//! ```text
//!  magic | version | - | - | snap length | link type      once
//!  seconds | fraction | captured | original | frame       for each record
//! ```
//!
//! All numbers have the byte order of the machine that wrote them. Records of "modified pcap",
//! which some old versions of libpcap wrote, have 8 more bytes before the frame.
//!
//! The captured lengths form a chain: each one determines where the next record begins. As long as
//! the chain is intact, every record counts, with any times, any original length and any content.
//! Implausible values alone are not damage, because valid captures contain them. Only a broken
//! chain is damage, and [`resync`] finds the place to resume.

mod resync;

use std::time::Duration;

use super::group::FrameGroup;
use super::record::{Item, LOOKAHEAD, Link, MAX_RECORD, Mode, Plausible, Resume, Window};
use super::{signature, zeros};
use crate::capture::Frame;
use crate::wire::LinkType;

/// libpcap's largest snap length. A longer record is damage, unless the capture's header declares a
/// larger snap length. Wireshark does the same.
const LARGEST_SNAP_LENGTH: usize = 262_144;

/// The size of the capture's header, in bytes.
const FILE_HEADER: usize = 24;

/// The usual largest time between two consecutive records, in seconds: one day. If the next record
/// is further away in time, the chain is checked over a longer distance.
const NEAR: u32 = 24 * 60 * 60;

/// The distance after a record over which the chain is checked, in bytes. One record is not enough:
/// bytes read from a wrong position, for example four bytes too late, may look like a chain for a
/// few records.
const FOLLOWED: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Pcap {
    is_big_endian: bool,
    /// Whether the original length may come before the captured length, as in versions before 2.4.
    may_be_swapped: bool,
    units_per_second: u32,
    nanoseconds_per_unit: u32,
    /// The size of a record's header, in bytes.
    header_size: usize,
    link: LinkType,
    /// The largest captured length.
    max_record: usize,
    /// The time of the previous record, in seconds. `None` before the first one.
    before: Option<u32>,
    /// Number of records with unusual times or lengths in an intact chain.
    odd: usize,
    /// The distance over which the chain is known to be intact, in bytes from the current record.
    /// It is kept between records, so that no part of the chain is checked twice.
    followed: usize,
    /// Number of bytes needed to decide about the current record, or 0 if unknown. It is kept so
    /// that the expensive search does not run again after every read.
    awaited: usize,
}

#[derive(Debug, Clone, Copy)]
struct Header {
    seconds: u32,
    fraction: u32,
    captured: u32,
    original: u32,
}

impl Pcap {
    /// Reads the header of a capture and returns its size in bytes, or `None` if this is not a pcap
    /// header.
    pub(super) fn begin(header: &[u8; FILE_HEADER]) -> Option<(usize, Self)> {
        let (words, _) = header.as_chunks::<4>();
        let [magic, version, _, _, snap_length, link] = *words.first_chunk()?;
        let is_big_endian = signature::byte_order(magic)?;
        let word = |word| order(is_big_endian, word);
        let (units_per_second, header_size) = match word(magic) {
            signature::NANOSECONDS => (1_000_000_000, 16),
            signature::MODIFIED => (1_000_000, 24),
            _ => (1_000_000, 16),
        };
        let version = match (is_big_endian, version) {
            (true, [_, major, _, minor]) | (false, [major, _, minor, _]) => (major, minor),
        };
        let snap_length = usize::try_from(word(snap_length)).unwrap_or(MAX_RECORD);
        // The upper half of the field states whether frames end with a frame check sequence. It can
        // be ignored, because no packet length is derived from the frame size.
        let [_, _, high, low] = word(link).to_be_bytes();
        let pcap = Self {
            is_big_endian,
            may_be_swapped: version.0 == 2 && version.1 < 4,
            units_per_second,
            nanoseconds_per_unit: 1_000_000_000 / units_per_second,
            header_size,
            link: LinkType(u16::from_be_bytes([high, low])),
            max_record: snap_length.clamp(LARGEST_SNAP_LENGTH, MAX_RECORD),
            before: None,
            odd: 0,
            followed: 0,
            awaited: 0,
        };
        Some((FILE_HEADER, pcap))
    }

    /// Reads the item at the start of a window.
    ///
    /// A recovering reader waits until the chain after a record is checked. A strict reader does
    /// not, so it returns a live frame immediately.
    pub(super) fn next<'a>(&mut self, window: Window<'a>, mode: Mode) -> Item<'a> {
        match signature::begins_capture(window) {
            Plausible::Yes => return Item::NewCapture,
            Plausible::Unknown => return Item::Incomplete,
            Plausible::No => {}
        }
        let Some(header) = self.header(window.bytes) else {
            return Item::Incomplete;
        };
        if self.exceeds_limit(header) {
            let what = format!("a record of {} bytes", header.captured);
            return match mode {
                Mode::Strict => Item::damaged(what, Resume::Search),
                Mode::Recovering => self
                    .resume_behind(header, window)
                    .map_or(Item::Incomplete, |resume| Item::damaged(what, resume)),
            };
        }
        if mode == Mode::Recovering {
            match self.validate(header, window) {
                Ok(None) => {}
                Ok(Some(resume)) => {
                    (self.followed, self.awaited) = (0, 0);
                    let captured = header.captured;
                    let what =
                        format!("a record of {captured} bytes without another record after it");
                    return Item::damaged(what, resume);
                }
                Err(Undecided) => return Item::Incomplete,
            }
        }
        let size = self.size(header);
        let Some(bytes) = window.bytes.get(self.header_size..size) else {
            return Item::Incomplete;
        };
        self.followed = self.followed.saturating_sub(size);
        self.remember(header, window.bytes.get(size..).unwrap_or_default());
        Item::Frame {
            size,
            frame: self.frame(header, bytes),
        }
    }

    /// Fast path: adds records at the front to `group` until it is full, and returns their size in
    /// bytes.
    ///
    /// Takes records that are complete, not empty, and captured within a day of the previous
    /// record. A recovering reader also requires that the header of the next record meets these
    /// conditions.
    ///
    /// Must agree with [`next`](Self::next), which handles all other records. An empty record is
    /// left to it, because it may be the header of another capture or the beginning of a run of
    /// zeros. Captures of old versions are left to it too.
    // Not inlined: this loop needs all registers.
    #[inline(never)]
    pub(super) fn plain_frames<'a>(
        &mut self,
        bytes: &'a [u8],
        mode: Mode,
        group: &mut FrameGroup<'a>,
    ) -> usize {
        if self.may_be_swapped {
            return 0;
        }
        let mut rest = bytes;
        let mut before = self.before;
        let mut next = self.plain_header(rest, before);
        while !group.is_full()
            && let Some((header, behind)) = next
        {
            let Some((frame, tail)) = behind.split_at_checked(header.captured as usize) else {
                break;
            };
            next = self.plain_header(tail, Some(header.seconds));
            if mode == Mode::Recovering && next.is_none() {
                break;
            }
            group.push(if self.is_contradictory(header) {
                self.odd += 1;
                self.frame(header, frame)
            } else {
                let nanoseconds = header.fraction * self.nanoseconds_per_unit;
                Frame {
                    at: Duration::new(header.seconds.into(), nanoseconds),
                    link: self.link,
                    bytes: frame,
                    length: header.original as usize,
                }
            });
            before = Some(header.seconds);
            rest = tail;
        }
        let size = bytes.len() - rest.len();
        if size > 0 {
            self.before = before;
            self.awaited = 0;
            self.followed = self.followed.saturating_sub(size);
        }
        size
    }

    /// Returns the header at the front and the bytes after it, if the fast path can take the
    /// record.
    #[inline]
    fn plain_header<'a>(&self, bytes: &'a [u8], before: Option<u32>) -> Option<(Header, &'a [u8])> {
        let header = self.header_as_written(bytes.first_chunk()?);
        let is_plain =
            header.captured > 0 && !self.exceeds_limit(header) && header.is_within(NEAR, before);
        let behind = bytes.get(self.header_size..)?;
        is_plain.then_some((header, behind))
    }

    /// Checks the record at the start of a window. Returns `None` if it is valid. Returns the place
    /// to resume if the chain breaks after it because its own length is damaged.
    fn validate(
        &mut self,
        header: Header,
        window: Window<'_>,
    ) -> Result<Option<Resume>, Undecided> {
        if self.chain_holds(header, window)? {
            Ok(None)
        } else {
            self.resume_inside(header, window)
        }
    }

    /// Whether the chain is intact after the record at the start of a window, over the distance
    /// that is checked.
    ///
    /// A next record within a day of this one is sufficient evidence: bytes read from a wrong
    /// position rarely have such a time. Otherwise, the lengths of the records after it decide.
    fn chain_holds(&mut self, header: Header, window: Window<'_>) -> Result<bool, Undecided> {
        let size = self.size(header);
        let next = window.from(size).and_then(|rest| self.header(rest.bytes));
        let is_near = |next: Header| {
            next.captured > 0
                && !self.exceeds_limit(next)
                && next.is_within(NEAR, Some(header.seconds))
        };
        if next.is_some_and(is_near) {
            return Ok(true);
        }
        let mut at = self.followed.max(size);
        while at - size < FOLLOWED {
            let Some(rest) = window.from(at) else {
                break;
            };
            match self.link(rest) {
                Link::Next(next) if at - size + next > LOOKAHEAD => break,
                Link::Next(next) if rest.bytes.len() < next && !rest.ended => {
                    return Err(Undecided);
                }
                Link::Next(next) => at += next,
                Link::End => break,
                Link::Broken => return Ok(false),
                Link::Unknown => return Err(Undecided),
            }
            self.followed = at;
        }
        Ok(true)
    }

    /// Returns where the chain leads from the record at the start of a window.
    pub(super) fn link(&self, window: Window<'_>) -> Link {
        if signature::begins_capture(window) == Plausible::Yes {
            return Link::End;
        }
        match zeros::is_long_run(window) {
            Plausible::Yes => return zeros::link(window),
            Plausible::Unknown => return Link::Unknown,
            Plausible::No => {}
        }
        match self.header(window.bytes) {
            Some(header) if self.exceeds_limit(header) => Link::Broken,
            Some(header) => Link::Next(self.size(header)),
            None if window.ended => Link::End,
            None => Link::Unknown,
        }
    }

    #[inline]
    fn frame<'a>(&self, header: Header, bytes: &'a [u8]) -> Frame<'a> {
        let at = if header.fraction < self.units_per_second {
            let nanoseconds = header.fraction * self.nanoseconds_per_unit;
            Duration::new(header.seconds.into(), nanoseconds)
        } else {
            let fraction = u64::from(header.fraction) * u64::from(self.nanoseconds_per_unit);
            Duration::from_secs(header.seconds.into()) + Duration::from_nanos(fraction)
        };
        Frame {
            at,
            link: self.link,
            bytes,
            length: header.captured.max(header.original) as usize,
        }
    }

    /// Stores the time of a record for comparison with later ones, unless the next record shows
    /// that this time is damaged. A damaged time must not make all later records look implausible.
    fn remember(&mut self, header: Header, rest: &[u8]) {
        self.awaited = 0;
        if header.captured == 0 && !header.is_dated() {
            // A header of zeros has no time.
            return;
        }
        let is_near = |header: Header| header.is_within(NEAR, self.before);
        if !self.is_sane(header, NEAR, self.before) {
            self.odd += 1;
        }
        if is_near(header) || !self.header(rest).is_some_and(is_near) {
            self.before = Some(header.seconds);
        }
    }

    #[inline]
    fn exceeds_limit(&self, header: Header) -> bool {
        header.captured as usize > self.max_record
    }

    fn size(&self, header: Header) -> usize {
        self.header_size + header.captured as usize
    }

    fn header(&self, bytes: &[u8]) -> Option<Header> {
        bytes.get(self.header_size..)?;
        Some(self.words(bytes.first_chunk()?))
    }

    #[inline]
    fn words(&self, bytes: &[u8; 16]) -> Header {
        let header = self.header_as_written(bytes);
        // libpcap always swaps the lengths of version 2.2 and earlier, and those of version 2.3
        // under this condition. Some writers declare version 2.2 but use the order of 2.4, so the
        // lengths are swapped only if the captured one would otherwise exceed the original one.
        let is_swapped = self.may_be_swapped
            && header.captured > header.original
            && !signature::is_section_order(header.captured.to_be_bytes());
        if is_swapped {
            Header {
                captured: header.original,
                original: header.captured,
                ..header
            }
        } else {
            header
        }
    }

    /// Reads a header with its lengths in the order of version 2.4.
    #[inline]
    fn header_as_written(&self, bytes: &[u8; 16]) -> Header {
        let (words, _) = bytes.as_chunks::<4>();
        let words = *words.first_chunk::<4>().expect("there are four");
        let [seconds, fraction, captured, original] = if self.is_big_endian {
            words.map(u32::from_be_bytes)
        } else {
            words.map(u32::from_le_bytes)
        };
        Header {
            seconds,
            fraction,
            captured,
            original,
        }
    }
}

/// More bytes are needed to decide.
struct Undecided;

impl Header {
    /// Whether the time is meaningful. Zeros read as a time give 1970, and so does a clock that was
    /// never set.
    fn is_dated(self) -> bool {
        self.seconds > NEAR
    }

    #[inline]
    fn is_within(self, distance: u32, seconds: Option<u32>) -> bool {
        seconds.is_none_or(|seconds| self.seconds.abs_diff(seconds) <= distance)
    }
}

#[inline]
fn order(is_big_endian: bool, word: [u8; 4]) -> u32 {
    if is_big_endian {
        u32::from_be_bytes(word)
    } else {
        u32::from_le_bytes(word)
    }
}
