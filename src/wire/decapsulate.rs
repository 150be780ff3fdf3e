//! The mirrored frame itself, for programs that read Ethernet but no TZSP.

use super::tzsp::{self, Encapsulation, Mirrored};
use super::{Captured, Datagram, LinkType, ListenPorts, datagram, inner, wlan};

/// A mirrored frame of Ethernet, or one of 802.11 as a bridge would put it on Ethernet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EthernetFrame<'a> {
    /// Made of an 802.11 header. Without one, `rest` is the whole frame.
    pub header: Option<[u8; 14]>,
    pub rest: &'a [u8],
    /// How long the frame was, header included, as far as anything tells; never less than is there.
    pub length: usize,
}

/// Why a mirrored frame cannot be one of Ethernet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotEthernet {
    /// Nothing of it is there.
    Empty,
    /// It has no addresses but those of IP.
    RawIp,
    /// 802.11 without data, encrypted, in parts, or with data that has no EtherType.
    Wlan,
}

/// The mirrored frame in a captured frame; `None` if there is none.
#[must_use]
pub fn decapsulate<'a>(
    link: LinkType,
    frame: Captured<'a>,
    listen_ports: &ListenPorts,
) -> Option<Result<EthernetFrame<'a>, NotEthernet>> {
    let datagram = datagram(link, frame).ok()?;
    if !listen_ports.contains(datagram.destination_port) {
        return None;
    }
    tzsp::unwrap(datagram.payload).ok().map(ethernet)
}

fn ethernet(mirrored: Mirrored<'_>) -> Result<EthernetFrame<'_>, NotEthernet> {
    let bytes = mirrored.frame.bytes;
    if bytes.is_empty() {
        return Err(NotEthernet::Empty);
    }
    let (header, rest) = match mirrored.encapsulation {
        Encapsulation::Ethernet => (None, bytes),
        Encapsulation::RawIp => return Err(NotEthernet::RawIp),
        Encapsulation::Wlan => {
            let data = wlan::parse(bytes).map_err(|_| NotEthernet::Wlan)?;
            let snap = data.snap().map_err(|_| NotEthernet::Wlan)?;
            let header = header(data.destination, data.source, snap.ether_type.0);
            (Some(header), snap.payload)
        }
    };
    let shorter = bytes.len().saturating_sub(rest.len());
    let longer = header.map_or(0, |header| header.len());
    Ok(EthernetFrame {
        header,
        rest,
        length: length(mirrored)
            .saturating_sub(shorter)
            .saturating_add(longer),
    })
}

/// How long the mirrored frame was: at least what the outer headers leave for it, what its tag 41
/// says, and what the IP packet in it claims.
fn length(mirrored: Mirrored<'_>) -> usize {
    let Captured { bytes, .. } = mirrored.frame;
    let stated = mirrored.original_length.map_or(0, usize::from);
    let bare = Datagram::bare(mirrored.frame);
    let claimed = inner::packet(mirrored, &bare, true).map_or(0, |(seen, packet)| {
        let before = bytes.len().saturating_sub(packet.bytes.len());
        usize::try_from(seen.bytes)
            .unwrap_or(usize::MAX)
            .saturating_add(before)
    });
    mirrored.frame.length().max(stated).max(claimed)
}

fn header(destination: [u8; 6], source: [u8; 6], ether_type: u16) -> [u8; 14] {
    let [d0, d1, d2, d3, d4, d5] = destination;
    let [s0, s1, s2, s3, s4, s5] = source;
    let [high, low] = ether_type.to_be_bytes();
    [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, high, low]
}
