//! The capture formats pcap and pcapng behind one type.

use super::group::FrameGroup;
use super::pcap::Pcap;
use super::pcapng::Pcapng;
use super::record::{Item, Link, Mode, Plausible, Window};
use super::signature;

/// The size of the largest IP packet. A capture inside a packet cannot be longer.
const LARGEST_PACKET: usize = 65_535;

#[derive(Debug)]
pub(super) enum CaptureFormat {
    Pcap(Pcap),
    Pcapng(Pcapng),
}

/// What is at the beginning of some bytes.
pub(super) enum Begin {
    /// A capture. Its records begin after `size` bytes.
    Capture {
        size: usize,
        format: CaptureFormat,
    },
    Incomplete,
    NotACapture,
}

impl CaptureFormat {
    /// Determines the format of the capture that begins here.
    pub(super) fn begin(bytes: &[u8]) -> Begin {
        if bytes.starts_with(&signature::SECTION) {
            // The section header is itself a block, which is read later, so the size is 0.
            let format = Self::Pcapng(Pcapng::default());
            return Begin::Capture { size: 0, format };
        }
        match bytes.first_chunk().map(Pcap::begin) {
            Some(Some((size, pcap))) => Begin::Capture {
                size,
                format: Self::Pcap(pcap),
            },
            Some(None) => Begin::NotACapture,
            None => Begin::Incomplete,
        }
    }

    /// Whether a capture begins at the start of a window that is not the content of a packet: its
    /// chain of lengths continues for longer than a packet can be, or to the end of the stream.
    ///
    /// A packet may carry a capture, for example in a file transfer. After damage, record
    /// boundaries are unknown, so the reader may be inside such a packet. Without this check, it
    /// would read the carried capture in place of the real one.
    pub(super) fn begins_outside_packets(window: Window<'_>) -> Plausible {
        match signature::begins_capture(window) {
            Plausible::Yes => {}
            Plausible::Unknown if !window.ended => return Plausible::Unknown,
            _ => return Plausible::No,
        }
        let Begin::Capture { size, mut format } = Self::begin(window.bytes) else {
            return Plausible::at_end(window, false);
        };
        let mut at = size;
        let mut records = 0;
        while at <= LARGEST_PACKET {
            let Some(rest) = window.from(at) else {
                // The last record is cut short. One incomplete record alone is not enough evidence
                // of a capture, so at least one complete record is required.
                return Plausible::at_end(window, records > 1);
            };
            match format.link(rest) {
                Link::Next(size) => at += size,
                Link::End => return Plausible::Yes,
                Link::Broken => return Plausible::No,
                Link::Unknown => return Plausible::Unknown,
            }
            records += 1;
        }
        Plausible::Yes
    }

    /// Reads the item at the start of a window.
    pub(super) fn next<'a>(&mut self, window: Window<'a>, mode: Mode) -> Item<'a> {
        match self {
            Self::Pcap(pcap) => pcap.next(window, mode),
            Self::Pcapng(pcapng) => pcapng.next(window, mode),
        }
    }

    /// Fast path: adds frames at the front to `group` until it is full, and returns their size in
    /// bytes.
    pub(super) fn plain_frames<'a>(
        &mut self,
        bytes: &'a [u8],
        mode: Mode,
        group: &mut FrameGroup<'a>,
    ) -> usize {
        match self {
            Self::Pcap(pcap) => pcap.plain_frames(bytes, mode, group),
            Self::Pcapng(pcapng) => pcapng.plain_frames(bytes, group),
        }
    }

    /// Whether a record plausibly begins at the start of a window, during resynchronisation.
    pub(super) fn is_plausible(&self, window: Window<'_>) -> Plausible {
        match self {
            Self::Pcap(pcap) => pcap.is_plausible(window),
            Self::Pcapng(pcapng) => pcapng.is_plausible(window),
        }
    }

    /// Returns where the chain of lengths continues after the record at the start of a window.
    fn link(&mut self, window: Window<'_>) -> Link {
        match self {
            Self::Pcap(pcap) => pcap.link(window),
            Self::Pcapng(pcapng) => pcapng.link(window),
        }
    }

    /// Whether the header of this capture was read.
    pub(super) fn has_header(&self) -> bool {
        match self {
            Self::Pcap(_) => true,
            Self::Pcapng(pcapng) => pcapng.has_section(),
        }
    }

    /// Number of frames that the capturing program dropped, according to the capture.
    pub(super) fn dropped(&self) -> u64 {
        match self {
            Self::Pcap(_) => 0,
            Self::Pcapng(pcapng) => pcapng.dropped(),
        }
    }
}
