//! Finds where the chain of lengths goes on after damage.
//!
//! Nothing here is asked while the chain holds. Where it breaks, either the length of one of the
//! records before the break is damaged, or the header that cannot be one. Times, lengths and
//! fractions of a second that are as in nearly all captures tell which, and rank the places to go
//! on.

use super::{Header, NEAR, Pcap, Undecided};
use crate::capture::file::record::{LOOKAHEAD, MAX_RECORD, Plausible, Resume, Window};
use crate::capture::file::signature;

/// So many records in a row are no accident.
const CHAIN: usize = 4;

/// Records of one capture are no further apart in time, in seconds: ten years.
const FAR: u32 = 10 * 365 * 24 * 60 * 60;

impl Pcap {
    /// Where to go on if the length of the record at the start of a window is what breaks the
    /// chain behind it; `None` if it is that of a later record.
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

    /// Whether odd times or lengths are what this capture is like. A few may come of damage.
    fn is_odd(&self) -> bool {
        self.odd >= CHAIN
    }

    /// Whether a header's numbers other than its time are not as in nearly all captures.
    #[inline]
    pub(super) fn is_contradictory(&self, header: Header) -> bool {
        header.captured > header.original
            || header.original as usize > MAX_RECORD
            || header.fraction >= self.units_per_second
    }

    /// Where to go on behind a header whose captured length is over the limit.
    pub(super) fn resume_behind(&self, header: Header, window: Window<'_>) -> Option<Resume> {
        match self.behind_original(header, window) {
            Ok(resume) => Some(resume.unwrap_or(Resume::Search)),
            Err(Undecided) => None,
        }
    }

    /// Whether a record begins at the start of a window, while the place to go on is sought.
    pub(in crate::capture::file) fn is_plausible(&self, window: Window<'_>) -> Plausible {
        match self.is_plausible_within(FAR, self.before, window) {
            Plausible::No => self.is_chain(window),
            answer => answer,
        }
    }

    /// If the captured length is damaged and nothing was cut, the original length tells where the
    /// next record begins.
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

    /// Where another record begins inside a record and ends behind it, followed by one more. What
    /// a packet carries ends inside the packet, so then the length is damaged.
    ///
    /// Goes backwards, so that each chain inside is followed once.
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

    /// Whether a record soon after this one, another capture or the end is there.
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

    /// Whether a record begins here whose numbers make sense, and so do those of the record that
    /// follows, if it is not the last.
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

    /// Whether several records begin here, whatever their times: that of the one before them may
    /// have been damaged, and clocks are wrong. At the end, one is enough that ends there.
    ///
    /// In a capture whose times and lengths were odd before, captured lengths alone must do, and it
    /// takes two at the end.
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

    /// Whether a header's numbers are as in nearly all captures, behind such a one. It may be that
    /// of an empty record, but not zeros.
    fn may_follow(&self, next: Header, distance: u32, header: Header) -> bool {
        (next.captured > 0 || next.is_dated())
            && self.is_usual(next, distance, Some(header.seconds))
    }

    /// Whether a header's numbers are as in nearly all captures, and its record is not empty.
    pub(super) fn is_sane(&self, header: Header, distance: u32, before: Option<u32>) -> bool {
        header.captured > 0 && self.is_usual(header, distance, before)
    }

    fn is_usual(&self, header: Header, distance: u32, before: Option<u32>) -> bool {
        !self.exceeds_limit(header)
            && !self.is_contradictory(header)
            && header.is_within(distance, before)
    }
}
