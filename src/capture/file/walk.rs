//! Moves from record to record, across appended captures, runs of zeros and damage.

use std::mem;

use super::damage::Damage;
use super::format::{Begin, CaptureFormat};
use super::record::{Item, Mode, Plausible, Resume, Window};
use super::zeros;
use crate::capture::Frame;

/// Number of zeros at the end of a run that are not skipped, because they may be the first bytes of
/// a record header.
const KEPT_ZEROS: usize = 32;

/// The state of a reader between two records.
#[derive(Debug)]
pub(super) struct Walk {
    mode: Mode,
    state: WalkState,
    damage: Option<Damage>,
    /// Number of dropped frames reported by earlier captures of the stream.
    dropped_before: u64,
    /// Whether the header of an earlier capture of the stream was read.
    has_header: bool,
}

#[derive(Debug, Clone, Copy)]
enum WalkState {
    /// The front of the buffer is the beginning of a record.
    AtRecord,
    /// Inside a long run of zeros, which began at position `since` of the stream.
    InZeros { since: u64 },
    /// After damage: the position of the next record is unknown.
    Resynchronising,
}

/// What to do with the front of the window.
pub(super) enum Step<'a> {
    /// Consume `size` bytes, which hold a frame.
    Frame { size: usize, frame: Frame<'a> },
    /// Skip this number of bytes.
    Pass(usize),
    /// Wait for more bytes.
    Wait,
    /// Stop: the capture is damaged at this position of the stream.
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

    /// Returns the mode if the front of the buffer is the beginning of a record, so that the fast
    /// path may run.
    pub(super) fn at_record(&self) -> Option<Mode> {
        matches!(self.state, WalkState::AtRecord).then_some(self.mode)
    }

    /// Number of dropped frames reported by earlier captures of the stream.
    pub(super) fn dropped_before(&self) -> u64 {
        self.dropped_before
    }

    /// Whether the header of an earlier capture of the stream was read.
    pub(super) fn has_header(&self) -> bool {
        self.has_header
    }

    /// Returns the position where the current run of zeros began, if the reader is inside one.
    pub(super) fn in_zeros_since(&self) -> Option<u64> {
        match self.state {
            WalkState::InZeros { since } => Some(since),
            WalkState::AtRecord | WalkState::Resynchronising => None,
        }
    }

    /// Decides what to do with the front of a window. `offset` is its position in the stream.
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

    /// Reads a record, or handles zeros, another capture or damage in its place.
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
                    // The damaged header itself is not a place to resume, so one byte is skipped.
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

    /// Switches to the capture that was appended here.
    fn begin_capture<'a>(&mut self, format: &mut CaptureFormat, window: Window<'a>) -> Step<'a> {
        let Begin::Capture { size, format: new } = CaptureFormat::begin(window.bytes) else {
            return Step::Wait;
        };
        let before = mem::replace(format, new);
        self.dropped_before = self.dropped_before.saturating_add(before.dropped());
        self.has_header |= before.has_header();
        Step::Pass(size)
    }

    /// Skips zeros as they arrive. They become damage only when other bytes follow: zeros up to the
    /// end of the stream are a cut capture.
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

    /// Skips bytes until a record or a capture plausibly begins. An appended capture is tried
    /// first, because its header would otherwise be skipped as damage.
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

    /// Records skipped bytes. Only the first place is described.
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
