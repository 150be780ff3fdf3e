//! The records of a pcap capture: <https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-05.html>.
//!
//! ```text
//!  magic | version | - | - | snap length | link type      once
//!  seconds | fraction | captured | original | frame       for each record
//! ```
//!
//! All numbers have the byte order of the machine that wrote them. The records of modified pcap, as
//! some old libpcap wrote it, have 8 more bytes before the frame.

use std::mem;
use std::time::Duration;

use super::record::{Belief, Item, MAX_RECORD, Onward, Reading};
use crate::capture::Frame;
use crate::frame::LinkType;

/// libpcap's largest snap length. Wireshark, too, takes a longer record for damage, unless
/// the header announces longer ones.
const USUAL_MAX_RECORD: usize = 262_144;

const FILE_HEADER: usize = 24;

/// Records of one capture are no further apart in time, in seconds: ten years.
const MAX_DISTANCE: u32 = 10 * 365 * 24 * 60 * 60;

/// Neighbours that are further apart, in seconds, are looked at twice: a day. What is read a byte
/// too early or too late has a time that is years off, and still often within [`MAX_DISTANCE`].
const USUAL_DISTANCE: u32 = 24 * 60 * 60;

/// So many records in a row are believed whatever the time of the one before them, which may have
/// been damaged.
const CHAIN: usize = 4;

#[derive(Debug)]
pub(super) struct Pcap {
    is_big_endian: bool,
    units_per_second: u32,
    nanoseconds_per_unit: u32,
    /// Size of a record's header.
    header_size: usize,
    link: LinkType,
    max_record: usize,
    /// What the header says is the longest record, if that is usual.
    usual_record: usize,
    /// When the record before was captured, in seconds.
    before: Option<u32>,
    /// How far into the record at hand no other record begins.
    looked: usize,
}

#[derive(Debug, Clone, Copy)]
struct Header {
    seconds: u32,
    fraction: u32,
    captured: u32,
    original: u32,
}

/// What the start of a file is.
pub(super) enum Start {
    Pcap { size: usize, pcap: Pcap },
    Incomplete,
    NotPcap,
}

impl Pcap {
    pub(super) fn start(bytes: &[u8]) -> Start {
        let Some(header) = bytes.first_chunk::<FILE_HEADER>() else {
            return Start::Incomplete;
        };
        let word = |at: usize| {
            let word = [header[at], header[at + 1], header[at + 2], header[at + 3]];
            u32::from_be_bytes(word)
        };
        let (is_big_endian, magic) = match word(0) {
            magic @ (0xa1b2_c3d4 | 0xa1b2_3c4d | 0xa1b2_cd34) => (true, magic),
            magic => (false, magic.swap_bytes()),
        };
        let (units_per_second, header_size) = match magic {
            0xa1b2_c3d4 => (1_000_000, 16),
            0xa1b2_3c4d => (1_000_000_000, 16),
            0xa1b2_cd34 => (1_000_000, 24),
            _ => return Start::NotPcap,
        };
        let word = |at| {
            if is_big_endian {
                word(at)
            } else {
                word(at).swap_bytes()
            }
        };
        let snaplen = usize::try_from(word(16)).unwrap_or(MAX_RECORD);
        // The upper half of the field says whether frames end with a check sequence, which
        // makes no difference: no length is taken from the size of a frame.
        let [_, _, high, low] = word(20).to_be_bytes();
        Start::Pcap {
            size: FILE_HEADER,
            pcap: Self {
                is_big_endian,
                units_per_second,
                nanoseconds_per_unit: 1_000_000_000 / units_per_second,
                header_size,
                link: LinkType(u16::from_be_bytes([high, low])),
                max_record: snaplen.clamp(USUAL_MAX_RECORD, MAX_RECORD),
                usual_record: match snaplen {
                    0 => USUAL_MAX_RECORD,
                    _ => snaplen.min(USUAL_MAX_RECORD),
                },
                before: None,
                looked: 1,
            },
        }
    }

    /// Reads leniently: a record may be longer than the header's snap length, or than its own
    /// original length, and its timestamp may be odd. All that counts is what is there.
    pub(super) fn next<'a>(&mut self, bytes: &'a [u8], reading: Reading) -> Item<'a> {
        let Some(header) = self.header(bytes) else {
            return Item::Incomplete;
        };
        let captured = header.captured as usize;
        if captured > self.max_record {
            return Item::Damaged {
                what: format!("a record of {captured} bytes"),
                onward: Onward::Search,
            };
        }
        let size = self.header_size + captured;
        let Some(frame) = bytes.get(self.header_size..size) else {
            return Item::Incomplete;
        };
        if let Reading::Recovering { ended } = reading {
            match self.doubt(header, bytes, ended) {
                Ok(None) => {}
                Ok(Some(onward)) => {
                    return Item::Damaged {
                        what: format!("a record of {captured} bytes that no other follows"),
                        onward,
                    };
                }
                Err(Unsure) => return Item::Incomplete,
            }
        }
        self.remember(header, &bytes[size..]);
        let fraction =
            Duration::from_nanos(u64::from(header.fraction) * u64::from(self.nanoseconds_per_unit));
        Item::Frame {
            size,
            frame: Frame {
                at: Duration::from_secs(u64::from(header.seconds)) + fraction,
                link: self.link,
                bytes: frame,
                length: captured.max(header.original as usize),
            },
        }
    }

    /// Hands over the records at the front that are as nearly all are: whole, and nothing speaks
    /// against them; when recovering, neither against the header that follows. Returns how many
    /// bytes they are. [`next`](Self::next) looks closer.
    #[inline]
    pub(super) fn each_plain<'a>(
        &mut self,
        bytes: &'a [u8],
        is_recovering: bool,
        mut take: impl FnMut(&Frame<'a>),
    ) -> usize {
        let mut rest = bytes;
        let mut next = self.plain_header(rest, self.before);
        while let Some((header, behind)) = next {
            let Some((frame, tail)) = behind.split_at_checked(header.captured as usize) else {
                break;
            };
            next = self.plain_header(tail, Some(header.seconds));
            if is_recovering && next.is_none() {
                break;
            }
            let nanoseconds = header.fraction * self.nanoseconds_per_unit;
            take(&Frame {
                at: Duration::new(header.seconds.into(), nanoseconds),
                link: self.link,
                bytes: frame,
                length: header.original as usize,
            });
            self.before = Some(header.seconds);
            self.looked = 1;
            rest = tail;
        }
        bytes.len() - rest.len()
    }

    /// The header at the front if it is as nearly all are, and what stands behind it.
    #[inline]
    fn plain_header<'a>(&self, bytes: &'a [u8], before: Option<u32>) -> Option<(Header, &'a [u8])> {
        let header = self.words(bytes.first_chunk()?);
        let is_plain = header.captured as usize <= self.usual_record
            && header.captured <= header.original
            && (1..=MAX_RECORD).contains(&(header.original as usize))
            && header.fraction < self.units_per_second
            && header.is_within(USUAL_DISTANCE, before);
        let behind = bytes.get(self.header_size..)?;
        is_plain.then_some((header, behind))
    }

    /// Whether a record begins here: its numbers make sense, and so do those of the record that
    /// follows, if it is not the last.
    pub(super) fn believe(&self, bytes: &[u8], ended: bool) -> Belief {
        self.believe_after(self.before, bytes, ended)
    }

    /// Where the next record begins if this one, which reaches past the end, has a damaged length.
    pub(super) fn find_inside(&self, bytes: &[u8]) -> Option<usize> {
        let before = self.before.or(Some(self.header(bytes)?.seconds));
        (1..bytes.len()).find(|&at| self.believe_after(before, &bytes[at..], true) == Belief::Yes)
    }

    fn believe_after(&self, before: Option<u32>, bytes: &[u8], ended: bool) -> Belief {
        match self.believe_within(MAX_DISTANCE, before, bytes, ended) {
            Belief::No => self.believe_chain(bytes, ended),
            belief => belief,
        }
    }

    fn believe_within(
        &self,
        distance: u32,
        before: Option<u32>,
        bytes: &[u8],
        ended: bool,
    ) -> Belief {
        match self.header(bytes) {
            Some(header) if header.captured > 0 && self.makes_sense(header, distance, before) => {
                let is_next = |next: Header| {
                    self.makes_sense(next, distance, Some(header.seconds)) && !next.is_blank()
                };
                self.is_followed(header, bytes, ended, is_next)
            }
            None if !ended => Belief::Unsure,
            _ => Belief::No,
        }
    }

    /// Whether several records begin here, each soon after the other. Two are enough at the end.
    fn believe_chain(&self, bytes: &[u8], ended: bool) -> Belief {
        let mut rest = Some(bytes);
        let mut before = None;
        for length in 0..CHAIN {
            let Some(header) = rest.and_then(|rest| self.header(rest)) else {
                let is_end = length >= 2 && rest.is_some_and(<[u8]>::is_empty);
                return if ended {
                    Belief::from(is_end)
                } else {
                    Belief::Unsure
                };
            };
            if header.captured == 0 || !self.makes_sense(header, USUAL_DISTANCE, before) {
                return Belief::No;
            }
            let size = self.header_size + header.captured as usize;
            rest = rest.and_then(|rest| rest.get(size..));
            before = Some(header.seconds);
        }
        Belief::Yes
    }

    fn makes_sense(&self, header: Header, distance: u32, before: Option<u32>) -> bool {
        header.captured as usize <= USUAL_MAX_RECORD
            && header.captured <= header.original
            && header.original as usize <= MAX_RECORD
            && header.fraction < self.units_per_second
            && header.is_within(distance, before)
    }

    /// What is wrong with a record that is there whole: a damaged length shows in what follows.
    /// Fewer things are asked of records here, because writers have their ways.
    fn doubt(
        &mut self,
        header: Header,
        bytes: &[u8],
        ended: bool,
    ) -> Result<Option<Onward>, Unsure> {
        let is_next = |next: Header| {
            next.captured as usize <= self.max_record
                && !next.is_blank()
                && (next.is_near(Some(header.seconds))
                    || self.before.is_some_and(|_| next.is_near(self.before)))
        };
        let is_followed = match self.is_followed(header, bytes, ended, is_next) {
            Belief::Yes if self.is_usual(header) => return Ok(None),
            Belief::Unsure => return Err(Unsure),
            belief => belief == Belief::Yes,
        };
        // Either its length is damaged, and the next record begins inside; or the next is; or it
        // is none, and what is read began too early or too late.
        let size = self.header_size + header.captured as usize;
        let before = self.before.or(Some(header.seconds));
        while self.looked < size {
            let rest = &bytes[self.looked..];
            let belief = if is_followed {
                self.believe_within(USUAL_DISTANCE, before, rest, ended)
            } else {
                self.believe_after(before, rest, ended)
            };
            match belief {
                Belief::Yes => return Ok(Some(Onward::Behind(mem::replace(&mut self.looked, 1)))),
                Belief::Unsure => return Err(Unsure),
                Belief::No => self.looked += 1,
            }
        }
        self.looked = 1;
        let is_odd = header.is_blank() || !header.is_near(self.before);
        Ok((!is_followed && is_odd).then_some(Onward::Search))
    }

    /// Whether nothing speaks against a record, as [`each_plain`](Self::each_plain) asks too: were
    /// the two at odds, what is read would depend on how much of the stream is there at a time.
    #[inline]
    fn is_usual(&self, header: Header) -> bool {
        header.captured as usize <= self.usual_record
            && self.makes_sense(header, USUAL_DISTANCE, self.before)
    }

    /// Keeps the time, unless that of the next record shows that it is damaged.
    fn remember(&mut self, header: Header, rest: &[u8]) {
        let is_usual = |header: Header| header.is_within(USUAL_DISTANCE, self.before);
        if is_usual(header) || !self.header(rest).is_some_and(is_usual) {
            self.before = Some(header.seconds);
        }
        self.looked = 1;
    }

    /// Whether such a record, or the end, stands behind this one.
    fn is_followed(
        &self,
        header: Header,
        bytes: &[u8],
        ended: bool,
        is_next: impl Fn(Header) -> bool,
    ) -> Belief {
        let size = self.header_size + header.captured as usize;
        match bytes.get(size..) {
            Some([]) if ended => Belief::Yes,
            Some(rest) if let Some(next) = self.header(rest) => Belief::from(is_next(next)),
            _ if ended => Belief::No,
            _ => Belief::Unsure,
        }
    }

    fn header(&self, bytes: &[u8]) -> Option<Header> {
        bytes.get(self.header_size..)?;
        Some(self.words(bytes.first_chunk()?))
    }

    #[inline]
    fn words(&self, bytes: &[u8; 16]) -> Header {
        let (words, _) = bytes.as_chunks::<4>();
        let mut words = words.iter().map(|&word| {
            if self.is_big_endian {
                u32::from_be_bytes(word)
            } else {
                u32::from_le_bytes(word)
            }
        });
        let mut next = || words.next().expect("there are four");
        Header {
            seconds: next(),
            fraction: next(),
            captured: next(),
            original: next(),
        }
    }
}

/// More bytes are needed.
struct Unsure;

impl Header {
    /// Whether it belongs to the same capture as a record of that time.
    fn is_near(self, seconds: Option<u32>) -> bool {
        self.is_within(MAX_DISTANCE, seconds)
    }

    fn is_within(self, distance: u32, seconds: Option<u32>) -> bool {
        seconds.is_none_or(|seconds| self.seconds.abs_diff(seconds) <= distance)
    }

    /// Zeros are what a crash leaves in a file, not a record.
    fn is_blank(self) -> bool {
        (self.seconds, self.fraction, self.captured, self.original) == (0, 0, 0, 0)
    }
}
