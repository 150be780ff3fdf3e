//! Validates the chain of records, and finds where it goes on after damage.
//!
//! Nothing here doubts a chain that holds. Where it breaks, either the length of one of the last
//! records is damaged, or the header that cannot be one. Times, lengths and fractions of a second
//! that are as in nearly all captures tell which, and rank the places to go on.

use super::{Header, NEAR, Pcap, Undecided};
use crate::capture::file::record::{LOOKAHEAD, Link, MAX_RECORD, Plausible, Resume, Window};

/// So many records in a row are no accident.
const CHAIN: usize = 4;

/// Records of one capture are no further apart in time, in seconds: ten years.
const FAR: u32 = 10 * 365 * 24 * 60 * 60;

/// What is known of the chain behind a record.
enum Chain {
    Holds,
    /// It breaks; or, in a capture without odd numbers so far, it ends in a record with odd numbers
    /// that reaches past the end.
    Doubtful,
}

impl Pcap {
    /// Whether the chain holds behind the record at the start of a window, and where the capture
    /// goes on if the record's own length is what breaks it.
    pub(super) fn validate(
        &mut self,
        header: Header,
        window: Window<'_>,
    ) -> Result<Option<Resume>, Undecided> {
        let size = self.size(header);
        let Some(rest) = window.from(size) else {
            // It is not there whole.
            return Ok(if window.ended {
                self.beside_cut(header, window)
            } else {
                None
            });
        };
        let next = self
            .header(rest.bytes)
            .filter(|&next| !self.exceeds_limit(next));
        let is_near = |next: &Header| next.is_within(NEAR, Some(header.seconds));
        if next.is_some_and(|next| next.captured > 0 && is_near(&next)) {
            return Ok(None);
        }
        let is_strange = !self.is_odd()
            && next.is_some_and(|next| !is_near(&next) && self.is_contradictory(next));
        if !is_strange && let Chain::Holds = self.chain(header, rest)? {
            return Ok(None);
        }
        if header.captured > header.original
            && let Some(resume) = self.behind_original(header, window)?
        {
            return Ok(Some(resume));
        }
        self.inside(header, window)
    }

    /// Where to go on if the last record reaches past the end because of damage: its own numbers
    /// contradict each other, which none did before, and soon after begins a record that is as
    /// those before. Otherwise, what is in it is not looked at: that is how captures end that were
    /// cut short.
    fn beside_cut(&self, header: Header, window: Window<'_>) -> Option<Resume> {
        self.before?;
        if self.is_odd() || !self.is_contradictory(header) {
            return None;
        }
        let found = (1..window.bytes.len()).find(|&at| {
            window.from(at).is_some_and(|rest| {
                self.header(rest.bytes).is_some_and(Header::is_dated)
                    && self.is_plausible_within(NEAR, self.before, rest) == Plausible::Yes
            })
        });
        found.map(Resume::After)
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

    /// Follows the chain behind a record for some records.
    fn chain(&self, header: Header, window: Window<'_>) -> Result<Chain, Undecided> {
        let mut at = 0;
        let mut before = header.seconds;
        for _ in 0..CHAIN {
            let Some(rest) = window.from(at) else {
                break;
            };
            match self.link(rest) {
                Link::Next(size) if at + size > LOOKAHEAD => break,
                Link::Next(size) => {
                    let header = self.header(rest.bytes);
                    if rest.bytes.len() < size {
                        if !rest.ended {
                            return Err(Undecided);
                        }
                        let is_sane =
                            header.is_some_and(|header| self.is_sane(header, NEAR, Some(before)));
                        return Ok(if self.is_odd() || is_sane {
                            Chain::Holds
                        } else {
                            Chain::Doubtful
                        });
                    }
                    before = header.map_or(before, |header| header.seconds);
                    at += size;
                }
                Link::End => break,
                Link::Broken => return Ok(Chain::Doubtful),
                Link::Unknown => return Err(Undecided),
            }
        }
        Ok(Chain::Holds)
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
            Some(rest) => match self.is_plausible(rest) {
                Plausible::Yes => Ok(Some(Resume::After(behind))),
                Plausible::No => Ok(None),
                Plausible::Unknown => Err(Undecided),
            },
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

    /// Whether a record soon after this one, or the end, is there.
    fn follows(&self, header: Header, at: usize, window: Window<'_>) -> Plausible {
        match window.from(at) {
            Some(Window {
                bytes: [],
                ended: true,
            }) => Plausible::Yes,
            Some(rest) => match self.header(rest.bytes) {
                Some(next) => Plausible::from(self.is_sane(next, NEAR, Some(header.seconds))),
                None => Plausible::at_end(window, false),
            },
            None => Plausible::at_end(window, false),
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
                        Plausible::from(self.is_sane(next, distance, Some(header.seconds)))
                    }
                    _ => Plausible::at_end(window, false),
                }
            }
            Some(_) => Plausible::No,
            None => Plausible::at_end(window, false),
        }
    }

    /// Whether several records begin here, each soon after the other, whatever the time of the one
    /// before them, which may have been damaged. Two are enough at the end.
    ///
    /// In a capture whose times and lengths were odd before, lengths alone must do.
    fn is_chain(&self, window: Window<'_>) -> Plausible {
        let mut at = 0;
        let mut before = None;
        for length in 0..CHAIN {
            if at > MAX_RECORD {
                return Plausible::from(length >= 2);
            }
            let rest = window.from(at);
            let Some(header) = rest.and_then(|rest| self.header(rest.bytes)) else {
                if !window.ended {
                    return Plausible::Unknown;
                }
                let is_end = rest.is_some_and(|rest| rest.bytes.is_empty());
                return Plausible::from(length >= 2 && is_end);
            };
            let is_link = if self.is_odd() {
                header.captured > 0 && !self.exceeds_limit(header)
            } else {
                self.is_sane(header, NEAR, before)
            };
            if !is_link {
                return Plausible::No;
            }
            at += self.size(header);
            before = Some(header.seconds);
        }
        Plausible::Yes
    }

    /// Whether a header's numbers are as in nearly all captures.
    pub(super) fn is_sane(&self, header: Header, distance: u32, before: Option<u32>) -> bool {
        header.captured > 0
            && !self.exceeds_limit(header)
            && !self.is_contradictory(header)
            && header.is_within(distance, before)
    }
}
