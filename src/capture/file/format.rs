//! The two formats of captures, as one.

use super::pcap::Pcap;
use super::pcapng::Pcapng;
use super::record::{Item, Link, Mode, Plausible, Window};
use super::signature;
use crate::capture::Frame;

/// No packet that carries a capture is longer: the largest IP packet.
const LARGEST_PACKET: usize = 65_535;

#[derive(Debug)]
pub(super) enum CaptureFormat {
    Pcap(Pcap),
    Pcapng(Pcapng),
}

/// What some bytes begin with.
pub(super) enum Begin {
    /// A capture, whose records begin so many bytes later.
    Capture {
        size: usize,
        format: CaptureFormat,
    },
    Incomplete,
    NotACapture,
}

impl CaptureFormat {
    pub(super) fn begin(bytes: &[u8]) -> Begin {
        if bytes.starts_with(&signature::SECTION) {
            // The section header is a block like others.
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

    /// Whether a capture begins at the start of a window that no packet carries: its chain leads
    /// further than a packet can be long, or to the end.
    ///
    /// Behind damage, packets are not known for what they are, and what they carry must not be
    /// read in place of the capture.
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
                // The last record is cut short, and more than that there must be.
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

    pub(super) fn next<'a>(&mut self, window: Window<'a>, mode: Mode) -> Item<'a> {
        match self {
            Self::Pcap(pcap) => pcap.next(window, mode),
            Self::Pcapng(pcapng) => pcapng.next(window, mode),
        }
    }

    /// Fast path: hands over frames at the front, and returns how many bytes they are.
    #[inline]
    pub(super) fn each_plain<'a>(
        &mut self,
        bytes: &'a [u8],
        mode: Mode,
        take: impl FnMut(&Frame<'a>),
    ) -> usize {
        match self {
            Self::Pcap(pcap) => pcap.each_plain(bytes, mode, take),
            Self::Pcapng(pcapng) => pcapng.each_plain(bytes, take),
        }
    }

    pub(super) fn is_plausible(&self, window: Window<'_>) -> Plausible {
        match self {
            Self::Pcap(pcap) => pcap.is_plausible(window),
            Self::Pcapng(pcapng) => pcapng.is_plausible(window),
        }
    }

    fn link(&mut self, window: Window<'_>) -> Link {
        match self {
            Self::Pcap(pcap) => pcap.link(window),
            Self::Pcapng(pcapng) => pcapng.link(window),
        }
    }

    /// Whether its header was read.
    pub(super) fn has_header(&self) -> bool {
        match self {
            Self::Pcap(_) => true,
            Self::Pcapng(pcapng) => pcapng.has_section(),
        }
    }

    /// Frames that the capture itself says were dropped.
    pub(super) fn dropped(&self) -> u64 {
        match self {
            Self::Pcap(_) => 0,
            Self::Pcapng(pcapng) => pcapng.dropped(),
        }
    }
}
