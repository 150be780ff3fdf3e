//! The types that [`capture`](crate::capture) hands to [`wire`](crate::wire): a frame, its link
//! type, and its bytes with the length that they claim.
//!
//! They carry bytes and interpret none.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]
#![expect(
    clippy::inline_always,
    reason = "the fast path of `wire` cuts captured bytes several times for each frame; returned \
              through memory, a `Captured` would cost more than all the rest"
)]

use std::time::Duration;

/// One record of a capture, link-layer header included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// When it was captured, since the Unix epoch.
    pub at: Duration,
    pub link: LinkType,
    /// The bytes that were captured: all of the frame, or its beginning.
    pub bytes: &'a [u8],
    /// The original length in bytes; never less than `bytes.len()`.
    pub length: usize,
}

impl<'a> Frame<'a> {
    /// Returns the frame's bytes with its original length.
    #[must_use]
    pub fn captured(&self) -> Captured<'a> {
        Captured::new(self.bytes, self.length)
    }
}

/// A link type as captures number them: <https://www.tcpdump.org/linktypes.html>.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkType(pub u16);

impl LinkType {
    pub const NULL: Self = Self(0);
    pub const ETHERNET: Self = Self(1);
    /// PPP, with address and control fields or without.
    pub const PPP: Self = Self(9);
    /// Raw IP, as some systems number it in files.
    pub const RAW_BSD: Self = Self(12);
    /// Raw IP, as OpenBSD numbers it.
    pub const RAW_OPENBSD: Self = Self(14);
    /// PPP in HDLC-like framing, or Cisco's HDLC.
    pub const PPP_HDLC: Self = Self(50);
    /// PPPoE sessions, without Ethernet.
    pub const PPPOE: Self = Self(51);
    pub const RAW: Self = Self(101);
    pub const WLAN: Self = Self(105);
    pub const LOOP: Self = Self(108);
    pub const LINUX_SLL: Self = Self(113);
    /// 802.11 behind a Prism header, or one of AVS.
    pub const WLAN_PRISM: Self = Self(119);
    pub const WLAN_RADIOTAP: Self = Self(127);
    /// TZSP itself, without the datagram that carried it.
    pub const TZSP: Self = Self(128);
    pub const WLAN_AVS: Self = Self(163);
    pub const PPI: Self = Self(192);
    pub const IPV4: Self = Self(228);
    pub const IPV6: Self = Self(229);
    pub const LINUX_SLL2: Self = Self(276);
}

/// Captured bytes of a frame or packet, and the length that it claims.
///
/// The two differ when it was cut short, by a snap length or a missing fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Captured<'a> {
    pub bytes: &'a [u8],
    /// How many claimed bytes were not captured. Removing a header does not change this number.
    missing: usize,
}

impl<'a> Captured<'a> {
    /// Creates a value whose bytes are complete.
    #[must_use]
    pub fn whole(bytes: &'a [u8]) -> Self {
        Self { bytes, missing: 0 }
    }

    /// Creates a value of `bytes` that were captured out of `length` that are claimed.
    #[must_use]
    #[inline]
    pub fn new(bytes: &'a [u8], length: usize) -> Self {
        Self {
            bytes,
            missing: length.saturating_sub(bytes.len()),
        }
    }

    /// Returns the claimed length in bytes.
    #[must_use]
    #[inline]
    pub fn length(self) -> usize {
        self.bytes.len().saturating_add(self.missing)
    }

    /// Returns the first `length` of `bytes`, which may be fewer. What follows them is padding.
    #[inline(always)]
    pub(crate) fn claimed(bytes: &'a [u8], length: usize) -> Self {
        match bytes.get(..length) {
            Some(bytes) => Self::whole(bytes),
            None => Self::new(bytes, length),
        }
    }

    /// Returns what follows a header, where `rest` is what follows it in `bytes`.
    #[inline(always)]
    pub(crate) fn behind_header(self, rest: &'a [u8]) -> Self {
        Self {
            bytes: rest,
            ..self
        }
    }

    /// Returns what follows a header of `size` bytes, which may itself be cut short.
    #[inline(always)]
    pub(crate) fn skip(self, size: usize) -> Self {
        match self.bytes.get(size..) {
            Some(rest) => self.behind_header(rest),
            None => Self::new(&[], self.length().saturating_sub(size)),
        }
    }

    /// Returns what follows a header of `length` bytes; `None` if the header is cut short.
    pub(crate) fn behind_length(self, length: u32) -> Option<Self> {
        let length = usize::try_from(length).ok()?;
        self.bytes
            .get(length..)
            .map(|rest| self.behind_header(rest))
    }

    /// Returns the same without the frame check sequence, the last 4 bytes of the claimed length.
    pub(crate) fn without_fcs(self) -> Self {
        Self::claimed(self.bytes, self.length().saturating_sub(4))
    }
}
