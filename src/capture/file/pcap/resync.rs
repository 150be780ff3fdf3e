//! Resynchronisation: finds where the chain of lengths continues after damage.
//!
//! This code does not run while the chain is intact. Where it breaks, one of two things is damaged:
//! the length of an earlier record, which led to a wrong position, or the header at the break. pcap
//! has no marker at the start of a record, so the only evidence is plausibility: times, lengths and
//! fractions of a second with values as in nearly all captures. They decide which of the two is
//! damaged, and which of the possible places is the best one to resume at.

use super::{Header, NEAR, Pcap, Undecided};
use crate::capture::file::record::{LOOKAHEAD, MAX_RECORD, Plausible, Resume, Window};
use crate::capture::file::signature;

/// Number of consecutive plausible records that are accepted as real. Random bytes rarely form so
/// many.
const CHAIN: usize = 4;

/// The largest plausible time between two records of one capture, in seconds: ten years.
const FAR: u32 = 10 * 365 * 24 * 60 * 60;

impl Pcap {
    /// Returns where to resume if the length of the record at the start of a window breaks the
    /// chain, or `None` if a later record breaks it.
    pub(super) fn resume_inside(
        &mut self,
        header: Header,
        window: Window<'_>,
    ) -> Result<Option<Resume>, Undecided> {
        if header.captured > header.original
            && let Some(resume) = self.behind_original(header, window)?
        {
            return Ok(Some(resume));
        }
        self.inside(header, window)
    }

    /// Whether unusual times or lengths are normal in this capture. A few of them may be the result
    /// of damage, so several are required.
    fn is_odd(&self) -> bool {
        self.odd >= CHAIN
    }

    /// Whether a header contradicts itself: captured length above the original one, an impossible
    /// original length, or a fraction of more than a second.
    #[inline]
    pub(super) fn is_contradictory(&self, header: Header) -> bool {
        header.captured > header.original
            || header.original as usize > MAX_RECORD
            || header.fraction >= self.units_per_second
    }

    /// Returns where to resume after a header whose captured length is over the limit, or `None` if
    /// more bytes are needed.
    pub(super) fn resume_behind(&self, header: Header, window: Window<'_>) -> Option<Resume> {
        match self.behind_original(header, window) {
            Ok(resume) => Some(resume.unwrap_or(Resume::Search)),
            Err(Undecided) => None,
        }
    }

    /// Whether a record plausibly begins at the start of a window, during resynchronisation.
    pub(in crate::capture::file) fn is_plausible(&self, window: Window<'_>) -> Plausible {
        match self.is_plausible_within(FAR, self.before, window) {
            Plausible::No => self.is_chain(window),
            answer => answer,
        }
    }

    /// Tries the original length in place of a damaged captured length. The two are equal if the
    /// frame was not cut, so the original length gives the start of the next record.
    fn behind_original(
        &self,
        header: Header,
        window: Window<'_>,
    ) -> Result<Option<Resume>, Undecided> {
        let original = header.original as usize;
        if header.captured == header.original
            || !(1..=self.max_record.min(LOOKAHEAD)).contains(&original)
        {
            return Ok(None);
        }
        let behind = self.header_size + original;
        match window.from(behind) {
            Some(rest) => {
                let plausible = match self.follows(header, behind, window) {
                    Plausible::No => self.is_plausible(rest),
                    answer => answer,
                };
                match plausible {
                    Plausible::Yes => Ok(Some(Resume::After(behind))),
                    Plausible::No => Ok(None),
                    Plausible::Unknown => Err(Undecided),
                }
            }
            None if window.ended => Ok(None),
            None => Err(Undecided),
        }
    }

    /// Finds a record that begins inside this record and ends after its end, followed by another
    /// record. A capture carried in a packet ends inside that packet. So a chain that crosses the
    /// end proves that the length of the outer record is damaged: it covers real records.
    ///
    /// Scans backwards and remembers which positions lead across the end, so that each inner chain
    /// is followed once and the cost stays linear.
    fn inside(&mut self, header: Header, window: Window<'_>) -> Result<Option<Resume>, Undecided> {
        if window.bytes.len() < self.awaited && !window.ended {
            return Err(Undecided);
        }
        let size = self.size(header);
        let before = self.before.or(Some(header.seconds));
        let mut crosses = vec![false; size];
        let mut first = None;
        let mut awaited = 0;
        for at in (1..size).rev() {
            let Some(found) = window.from(at).and_then(|rest| self.header(rest.bytes)) else {
                continue;
            };
            if !found.is_dated() || !self.is_sane(found, NEAR, before) {
                continue;
            }
            let end = at + self.size(found);
            let is_crossing = match end.checked_sub(size) {
                None => crosses[end],
                Some(0) => false,
                Some(past) if past > LOOKAHEAD => false,
                Some(_) => match self.follows(found, end, window) {
                    Plausible::Yes => true,
                    Plausible::No => false,
                    Plausible::Unknown => {
                        awaited = awaited.max(end + self.header_size);
                        false
                    }
                },
            };
            if is_crossing {
                crosses[at] = true;
                first = Some(at);
            }
        }
        if awaited > 0 {
            self.awaited = awaited;
            return Err(Undecided);
        }
        Ok(first.map(Resume::After))
    }

    /// Whether one of these is at position `at`: a record with a time near that of `header`,
    /// another capture, or the end of the stream.
    fn follows(&self, header: Header, at: usize, window: Window<'_>) -> Plausible {
        let Some(rest) = window.from(at) else {
            return Plausible::at_end(window, false);
        };
        match signature::begins_capture(rest) {
            Plausible::Yes => return Plausible::Yes,
            Plausible::Unknown if !rest.bytes.is_empty() && !rest.ended => {
                return Plausible::Unknown;
            }
            _ => {}
        }
        match self.header(rest.bytes) {
            Some(next) => Plausible::from(self.may_follow(next, NEAR, header)),
            None => Plausible::at_end(window, rest.bytes.is_empty()),
        }
    }

    /// Whether a record with plausible values begins here, followed by another such record or by
    /// the end of the stream.
    fn is_plausible_within(
        &self,
        distance: u32,
        before: Option<u32>,
        window: Window<'_>,
    ) -> Plausible {
        match self.header(window.bytes) {
            Some(header) if self.is_sane(header, distance, before) => {
                match window.from(self.size(header)) {
                    Some(Window {
                        bytes: [],
                        ended: true,
                    }) => Plausible::Yes,
                    Some(rest) if let Some(next) = self.header(rest.bytes) => {
                        Plausible::from(self.may_follow(next, distance, header))
                    }
                    _ => Plausible::at_end(window, false),
                }
            }
            Some(_) => Plausible::No,
            None => Plausible::at_end(window, false),
        }
    }

    /// Whether several consecutive records begin here, with any times. Times are ignored because
    /// the time of the previous record may be damaged, and clocks may be wrong. Before the end of
    /// the stream, one record is enough if it ends exactly there.
    ///
    /// In a capture with unusual times and lengths, only the captured lengths are checked. Because
    /// that is weaker evidence, two records are required before the end.
    fn is_chain(&self, window: Window<'_>) -> Plausible {
        let at_least = if self.is_odd() { 2 } else { 1 };
        let mut at = 0;
        for length in 0..CHAIN {
            if at > MAX_RECORD {
                return Plausible::from(length >= at_least);
            }
            let rest = window.from(at);
            let Some(header) = rest.and_then(|rest| self.header(rest.bytes)) else {
                let is_end = rest.is_some_and(|rest| rest.bytes.is_empty());
                return Plausible::at_end(window, length >= at_least && is_end);
            };
            let is_link = header.captured > 0
                && !self.exceeds_limit(header)
                && (self.is_odd() || !self.is_contradictory(header));
            if !is_link {
                return Plausible::No;
            }
            at += self.size(header);
        }
        Plausible::Yes
    }

    /// Whether `next` is a plausible header after `header`. It may belong to an empty record, but
    /// must not be zeros, which are common inside packets.
    fn may_follow(&self, next: Header, distance: u32, header: Header) -> bool {
        (next.captured > 0 || next.is_dated())
            && self.is_usual(next, distance, Some(header.seconds))
    }

    /// Whether a header's values are as in nearly all captures, and its record is not empty.
    pub(super) fn is_sane(&self, header: Header, distance: u32, before: Option<u32>) -> bool {
        header.captured > 0 && self.is_usual(header, distance, before)
    }

    /// Whether a header's values are as in nearly all captures.
    fn is_usual(&self, header: Header, distance: u32, before: Option<u32>) -> bool {
        !self.exceeds_limit(header)
            && !self.is_contradictory(header)
            && header.is_within(distance, before)
    }
}
