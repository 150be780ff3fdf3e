//! Extracts the mirrored frame, for programs that read Ethernet but not TZSP.

use super::link;
use super::options::ListenPorts;
use super::outer::{self, Datagram};
use super::payload::LinkError;
use super::tzsp::{self, Mirrored};
use super::{fast, inner, wlan};
use crate::frame::{Captured, LinkType};

/// The size of an Ethernet header without tags, in bytes.
const ETHERNET: usize = 14;

/// A mirrored Ethernet frame, or a mirrored 802.11 frame as a bridge would forward it to Ethernet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EthernetFrame<'a> {
    /// The Ethernet header built from an 802.11 header. If `None`, `rest` is the whole frame.
    pub header: Option<[u8; ETHERNET]>,
    pub rest: &'a [u8],
    /// The original length in bytes, header included, as far as it can be determined; never less
    /// than the bytes that are there.
    pub length: usize,
}

/// Why a mirrored frame cannot be represented as Ethernet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotEthernet {
    /// No byte of it was captured.
    Empty,
    /// It is bare IP, without link-layer addresses.
    RawIp,
    /// An 802.11 frame without data, encrypted, fragmented, or with data that has no EtherType.
    Wlan,
}

/// Returns the mirrored frame in a captured frame; `None` if there is none.
#[must_use]
#[inline]
pub fn decapsulate<'a>(
    link: LinkType,
    frame: Captured<'a>,
    listen_ports: &ListenPorts,
) -> Option<Result<EthernetFrame<'a>, NotEthernet>> {
    match decapsulate_fast(link, frame, listen_ports) {
        Some(inner) => Some(Ok(inner)),
        None => decapsulate_full(link, frame, listen_ports),
    }
}

/// Fast path: the mirrored frame of what [`decode_fast`](super::decode_fast) decodes. Must agree
/// with [`decapsulate_full`], which is left with all else.
#[inline(always)]
pub(super) fn decapsulate_fast<'a>(
    link: LinkType,
    frame: Captured<'a>,
    listen_ports: &ListenPorts,
) -> Option<EthernetFrame<'a>> {
    if link != LinkType::ETHERNET {
        return None;
    }
    let datagram = fast::datagram(frame.bytes)?;
    if !listen_ports.contains(datagram.destination_port) {
        return None;
    }
    let seen = fast::inner(&datagram)?;
    let frame = datagram.payload.skip(fast::TZSP);
    // An Ethernet header without tags, and the packet as its header claims it.
    let claimed = usize::try_from(seen.bytes).ok()?.checked_add(ETHERNET)?;
    Some(EthernetFrame {
        header: None,
        rest: frame.bytes,
        length: frame.length().max(claimed),
    })
}

/// Slow path: the mirrored frame in any captured frame.
#[inline(never)]
pub(super) fn decapsulate_full<'a>(
    link: LinkType,
    frame: Captured<'a>,
    listen_ports: &ListenPorts,
) -> Option<Result<EthernetFrame<'a>, NotEthernet>> {
    let datagram = outer::datagram(link, frame).ok()?;
    if !listen_ports.contains(datagram.destination_port) {
        return None;
    }
    tzsp::unwrap(datagram.payload).ok().map(ethernet)
}

fn ethernet(mirrored: Mirrored<'_>) -> Result<EthernetFrame<'_>, NotEthernet> {
    let frame = mirrored.frame;
    if frame.bytes.is_empty() {
        return Err(NotEthernet::Empty);
    }
    let (header, rest) = match mirrored.link {
        LinkType::ETHERNET => (None, frame),
        link if link::is_wlan(link) => {
            let (header, rest) = bridged(link, frame).map_err(|_| NotEthernet::Wlan)?;
            (Some(header), rest)
        }
        // TZSP carries no other link type.
        _ => return Err(NotEthernet::RawIp),
    };
    let header_length = header.map_or(0, |header| header.len());
    Ok(EthernetFrame {
        header,
        rest: rest.bytes,
        length: length(mirrored, rest).saturating_add(header_length),
    })
}

/// Returns the Ethernet header that a bridge would build for an 802.11 data frame, and what follows
/// it.
fn bridged(
    link: LinkType,
    frame: Captured<'_>,
) -> Result<([u8; ETHERNET], Captured<'_>), LinkError> {
    let data = link::wlan_data(link, frame)?;
    let snap = data.snap()?;
    Ok((header(&data, snap.ether_type.0), snap.packet))
}

/// Returns the original length of `rest`, the end of a mirrored frame: the largest of the length
/// that the outer headers leave for it, the one in TZSP tag 41, and the one that its IP packet
/// claims.
fn length(mirrored: Mirrored<'_>, rest: Captured<'_>) -> usize {
    let frame = mirrored.frame;
    let before_rest = frame.length().saturating_sub(rest.length());
    let stated = mirrored.original_length.map_or(0, usize::from);
    let bare = Datagram::bare(frame);
    let claimed = inner::packet(mirrored.link, frame, &bare, true).map_or(0, |(seen, packet)| {
        let before_packet = rest.length().saturating_sub(packet.length());
        usize::try_from(seen.bytes)
            .unwrap_or(usize::MAX)
            .saturating_add(before_packet)
    });
    rest.length()
        .max(stated.saturating_sub(before_rest))
        .max(claimed)
}

fn header(data: &wlan::Data<'_>, ether_type: u16) -> [u8; ETHERNET] {
    let [d0, d1, d2, d3, d4, d5] = data.destination;
    let [s0, s1, s2, s3, s4, s5] = data.source;
    let [high, low] = ether_type.to_be_bytes();
    [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, high, low]
}
