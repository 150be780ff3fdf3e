//! Decodes one frame: link layer, outer packet, TZSP, inner packet.
//!
//! `outer` finds the datagram in a captured frame, `tzsp` the mirrored frame in a datagram, and
//! `inner` the packet in a mirrored frame. For outer and inner frames alike, `link` finds the
//! payload of each link type. Every protocol has its own file.
//!
//! Everything here is pure: no allocation, no clock, no input or output. Mirrored packets
//! are normally cut short, so each layer uses what is there and takes lengths from the
//! headers. For a frame that counts in no flow, the reason is returned as a [`Skipped`].

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]
#![expect(
    clippy::inline_always,
    reason = "what the functions of the fast path return fits registers; returned through memory it \
              would take longer than all the rest"
)]

mod avs;
mod cooked;
mod decapsulate;
mod ether;
mod ether_type;
mod fast;
mod inner;
mod ip;
mod ipv4;
mod ipv6;
mod link;
mod llc;
mod loopback;
mod mpls;
mod observation;
mod options;
mod outer;
mod payload;
mod ppi;
mod ppp;
mod pppoe;
mod prism;
mod radiotap;
mod skipped;
mod tzsp;
mod udp;
mod wlan;

pub use crate::frame::{Captured, LinkType};
pub use decapsulate::{EthernetFrame, NotEthernet, decapsulate};
pub use ether_type::ether_type_of;
pub use ip::Ip;
pub use observation::{Observation, Truncated};
pub use options::{DecodeOptions, ListenPorts};
pub use outer::{Datagram, datagram};
pub use skipped::Skipped;

/// Slow path: decodes any captured frame, from its link-layer header to the inner packet.
///
/// # Errors
/// The first reason, in the order of the layers, why the frame counts in no flow.
pub fn decode_full(
    link: LinkType,
    frame: Captured<'_>,
    options: &DecodeOptions,
) -> Result<Observation, Skipped> {
    if matches!(options.listen_ports, ListenPorts::Plain) {
        return decode_own_packet(link, frame, options);
    }
    if link == LinkType::ETHERNET && fast::is_later_fragment(frame.bytes) {
        return Err(Skipped::LaterFragment);
    }
    let datagram = datagram(link, frame)?;
    if !options.listen_ports.contains(datagram.destination_port) {
        return Err(Skipped::OtherPort);
    }
    decode_datagram_full(&datagram, options)
}

/// Fast path: decodes a frame as RouterOS sends it in a fraction of the time that [`decode_full`]
/// takes, with the same result. Returns `None` for anything else.
#[must_use]
#[inline(always)]
pub fn decode_fast(
    link: LinkType,
    frame: Captured<'_>,
    options: &DecodeOptions,
) -> Option<Observation> {
    if link != LinkType::ETHERNET {
        return None;
    }
    let datagram = fast::datagram(frame.bytes)?;
    let is_wanted = options.listen_ports.contains(datagram.destination_port);
    is_wanted.then(|| fast::inner(&datagram)).flatten()
}

/// Slow path: decodes any datagram, from its TZSP header to the inner packet. Its port does not
/// matter.
///
/// # Errors
/// The first reason, in the order of the layers, why the datagram counts in no flow.
pub fn decode_datagram_full(
    datagram: &Datagram<'_>,
    options: &DecodeOptions,
) -> Result<Observation, Skipped> {
    let mirrored = tzsp::unwrap(datagram.payload)?;
    inner::packet(mirrored.link, mirrored.frame, datagram, options.ipv6).map(|(seen, _)| seen)
}

/// Fast path: decodes a datagram as RouterOS sends it, with the same result as
/// [`decode_datagram_full`]. Returns `None` for anything else.
#[must_use]
#[inline(always)]
pub fn decode_datagram_fast(datagram: &Datagram<'_>) -> Option<Observation> {
    fast::inner(datagram)
}

/// Slow path: returns the payload of the UDP datagram that a captured frame mirrors, or its
/// beginning if it is cut short. `None` if the frame counts in no flow, or mirrors something else.
#[must_use]
pub fn mirrored_payload<'a>(
    link: LinkType,
    frame: Captured<'a>,
    options: &DecodeOptions,
) -> Option<&'a [u8]> {
    if matches!(options.listen_ports, ListenPorts::Plain) && link != LinkType::TZSP {
        let bare = Datagram::bare(frame);
        let (seen, packet) = inner::packet(link, frame, &bare, options.ipv6).ok()?;
        return udp::payload(&seen, packet);
    }
    payload_in_datagram(&datagram(link, frame).ok()?, options)
}

/// Slow path: returns the payload of the UDP datagram that a datagram mirrors, like
/// [`mirrored_payload`].
#[must_use]
pub fn payload_in_datagram<'a>(
    datagram: &Datagram<'a>,
    options: &DecodeOptions,
) -> Option<&'a [u8]> {
    let mirrored = tzsp::unwrap(datagram.payload).ok()?;
    let packet = inner::packet(mirrored.link, mirrored.frame, datagram, options.ipv6);
    packet
        .ok()
        .and_then(|(seen, packet)| udp::payload(&seen, packet))
}

/// Decodes a frame that is not mirrored as if a sensor had mirrored it.
fn decode_own_packet(
    link: LinkType,
    frame: Captured<'_>,
    options: &DecodeOptions,
) -> Result<Observation, Skipped> {
    let bare = Datagram::bare(frame);
    if link == LinkType::TZSP {
        return decode_datagram_full(&bare, options);
    }
    inner::packet(link, frame, &bare, options.ipv6).map(|(seen, _)| seen)
}

#[cfg(test)]
mod tests;
