//! From one record to the next: appended captures, runs of zeros, and what is damaged.

use std::mem;

use super::damage::Damage;
use super::format::{Begin, CaptureFormat};
use super::record::{Item, Mode, Plausible, Resume, Window};
use super::zeros;
use crate::capture::Frame;

/// The last zeros of a run may be the first bytes of a record's header.
const KEPT_ZEROS: usize = 32;

/// Where a reader stands in a capture.
#[derive(Debug)]
pub(super) struct Walk {
    mode: Mode,
    state: WalkState,
    damage: Option<Damage>,
    /// Frames that earlier captures of the stream say were dropped.
    dropped_before: u64,
    has_header: bool,
}

#[derive(Debug, Clone, Copy)]
enum WalkState {
    /// A record is at the front.
    AtRecord,
    /// In a long run of zeros, which began at this position in the stream.
    InZeros { since: u64 },
    /// Behind damage: what is at the front may be anything.
    Resynchronising,
}

/// What to do with the front of the window.
pub(super) enum Step<'a> {
    /// Take so many bytes, which hold a frame.
    Frame { size: usize, frame: Frame<'a> },
    /// Pass so many bytes.
    Pass(usize),
    /// Wait for more.
    Wait,
    /// Give up: it is damaged since this position in the stream.
    Fail { offset: u64, what: String },
}

impl Walk {
    pub(super) fn new(mode: Mode) -> Self {
        Self {
            mode,
            state: WalkState::AtRecord,
            damage: None,
            dropped_before: 0,
            has_header: false,
        }
    }

    pub(super) fn damage(&self) -> Option<&Damage> {
        self.damage.as_ref()
    }

    /// The mode, if a record is at the front.
    pub(super) fn at_record(&self) -> Option<Mode> {
        matches!(self.state, WalkState::AtRecord).then_some(self.mode)
    }

    /// Frames that earlier captures of the stream say were dropped.
    pub(super) fn dropped_before(&self) -> u64 {
        self.dropped_before
    }

    /// Whether there were earlier captures in the stream.
    pub(super) fn has_header(&self) -> bool {
        self.has_header
    }

    /// Where the zeros began that reach to the front, if there are any.
    pub(super) fn in_zeros_since(&self) -> Option<u64> {
        match self.state {
            WalkState::InZeros { since } => Some(since),
            WalkState::AtRecord | WalkState::Resynchronising => None,
        }
    }

    /// What to do with the front of a window, which is at this position in the stream.
    pub(super) fn step<'a>(
        &mut self,
        format: &mut CaptureFormat,
        window: Window<'a>,
        offset: u64,
    ) -> Step<'a> {
        if window.bytes.is_empty() {
            return Step::Wait;
        }
        match self.state {
            WalkState::AtRecord => self.step_to_record(format, window, offset),
            WalkState::InZeros { since } => self.pass_zeros(window, since, offset),
            WalkState::Resynchronising => self.resynchronise(format, window),
        }
    }

    fn step_to_record<'a>(
        &mut self,
        format: &mut CaptureFormat,
        window: Window<'a>,
        offset: u64,
    ) -> Step<'a> {
        match zeros::is_long_run(window) {
            Plausible::Yes => {
                self.state = WalkState::InZeros { since: offset };
                return self.pass_zeros(window, offset, offset);
            }
            Plausible::Unknown => return Step::Wait,
            Plausible::No => {}
        }
        match format.next(window, self.mode) {
            Item::Frame { size, frame } => Step::Frame { size, frame },
            Item::Other { size } => Step::Pass(size),
            Item::NewCapture => self.begin_capture(format, window),
            Item::Incomplete => Step::Wait,
            Item::Damaged { what, .. } if self.mode == Mode::Strict => Step::Fail { offset, what },
            Item::Damaged { what, resume } => {
                let size = match resume {
                    Resume::After(size) => size,
                    Resume::Search => {
                        self.state = WalkState::Resynchronising;
                        1
                    }
                };
                self.pass_damage(offset, what, size as u64);
                Step::Pass(size)
            }
        }
    }

    fn begin_capture<'a>(&mut self, format: &mut CaptureFormat, window: Window<'a>) -> Step<'a> {
        let Begin::Capture { size, format: new } = CaptureFormat::begin(window.bytes) else {
            return Step::Wait;
        };
        let before = mem::replace(format, new);
        self.dropped_before = self.dropped_before.saturating_add(before.dropped());
        self.has_header |= before.has_header();
        Step::Pass(size)
    }

    /// Passes zeros as they come. They are damage once something else follows.
    fn pass_zeros<'a>(&mut self, window: Window<'a>, since: u64, offset: u64) -> Step<'a> {
        let zeros = zeros::leading(window.bytes, usize::MAX);
        let size = zeros.saturating_sub(KEPT_ZEROS);
        if zeros == window.bytes.len() {
            return if size > 0 {
                Step::Pass(size)
            } else {
                Step::Wait
            };
        }
        let what = "a run of zeros".to_owned();
        if self.mode == Mode::Strict {
            return Step::Fail {
                offset: since,
                what,
            };
        }
        self.state = WalkState::Resynchronising;
        self.pass_damage(since, what, offset - since + size as u64);
        Step::Pass(size)
    }

    /// Passes what no record or capture begins with.
    fn resynchronise<'a>(&mut self, format: &mut CaptureFormat, window: Window<'a>) -> Step<'a> {
        let mut size = 0;
        while let Some(rest) = window.from(size).filter(|rest| !rest.bytes.is_empty()) {
            let plausible = match CaptureFormat::begins_outside_packets(rest) {
                Plausible::No => format.is_plausible(rest),
                answer => answer,
            };
            match plausible {
                Plausible::Yes => {
                    self.state = WalkState::AtRecord;
                    break;
                }
                Plausible::Unknown => break,
                Plausible::No => size += 1,
            }
        }
        if let Some(damage) = &mut self.damage {
            damage.bytes += size as u64;
        }
        match self.state {
            WalkState::Resynchronising if size == 0 => Step::Wait,
            _ => Step::Pass(size),
        }
    }

    fn pass_damage(&mut self, offset: u64, what: String, bytes: u64) {
        let damage = self.damage.get_or_insert(Damage {
            offset,
            what,
            places: 0,
            bytes: 0,
        });
        damage.places += 1;
        damage.bytes += bytes;
    }
}
