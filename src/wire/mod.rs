//! What the bytes of one frame mean: link layer, outer packet, TZSP, inner packet.
//!
//! Everything here is pure: no allocation, no clock, no input or output. Mirrored packets
//! are normally cut short, so each layer uses what is there and takes lengths from the
//! headers. A frame that counts in no flow says why, as a [`Skipped`].

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]
#![expect(
    clippy::inline_always,
    reason = "what the functions of the fast path return fits registers; returned through memory it \
              would take longer than all the rest"
)]

mod captured;
mod decapsulate;
mod ether;
mod ether_type;
mod fast;
mod inner;
mod ip;
mod ipv4;
mod ipv6;
mod link;
mod outer;
mod skipped;
mod tzsp;
mod wlan;

use std::net::Ipv4Addr;

use etherparse::IpNumber;

pub use captured::Captured;
pub use decapsulate::{EthernetFrame, NotEthernet, decapsulate};
pub use ether_type::ether_type_of;
pub use ip::Ip;
pub use link::LinkType;
pub use skipped::Skipped;

/// The UDP destination ports whose datagrams are unwrapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenPorts {
    /// Every datagram that starts like TZSP, whatever its port.
    Any,
    /// These ports alone.
    Only(Vec<u16>),
    /// No datagram is unwrapped: each frame's own packet counts.
    Plain,
}

/// Which packets are decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeOptions {
    pub listen_ports: ListenPorts,
    /// Count inner IPv6 packets too, rather than skip them.
    pub ipv6: bool,
}

/// A UDP datagram that may carry TZSP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Who sent it: the sensor.
    pub source: Ip,
    pub destination_port: u16,
    /// What stands behind the UDP header, with the length that this header claims for it.
    pub payload: Captured<'a>,
    /// The datagram's other fragments are not here.
    pub first_fragment: bool,
}

/// What one inner packet adds to its flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Observation {
    /// Both addresses are IPv4, or both are IPv6.
    pub source: Ip,
    pub destination: Ip,
    pub protocol: IpNumber,
    /// UDP destination port of the datagram; 0 where none carried the packet.
    pub listen_port: u16,
    /// Source address of the datagram; unspecified where none carried the packet.
    pub sensor: Ip,
    /// Source and destination port, if the protocol has ports and they are there.
    pub ports: Option<(u16, u16)>,
    /// VLAN identifier of the outermost tag inside.
    pub vlan: Option<u16>,
    /// Six bits: RFC 2474.
    pub dscp: u8,
    /// Length of the inner packet, header included, as its header claims it.
    pub bytes: u64,
    /// Why the inner packet is not there whole, if it is not.
    pub truncated: Option<Truncated>,
}

/// What kept a counted inner packet from being there whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truncated {
    /// The inner packet claims more than the datagram carries.
    Sensor,
    /// Only the first fragment of the datagram is here.
    Fragment,
    /// The capture kept less than was sent.
    Snaplen,
}

impl Truncated {
    pub const ALL: [Self; 3] = [Self::Sensor, Self::Fragment, Self::Snaplen];

    /// The value of the label `cause`.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Sensor => "sensor",
            Self::Fragment => "fragment",
            Self::Snaplen => "snaplen",
        }
    }
}

impl ListenPorts {
    #[must_use]
    #[inline(always)]
    pub fn contains(&self, port: u16) -> bool {
        match self {
            Self::Any => true,
            Self::Only(ports) => ports.contains(&port),
            Self::Plain => false,
        }
    }
}

impl<'a> Datagram<'a> {
    /// TZSP that stands in a capture without the datagram that carried it.
    fn bare(payload: Captured<'a>) -> Self {
        Self {
            source: Ipv4Addr::UNSPECIFIED.into(),
            destination_port: 0,
            payload,
            first_fragment: false,
        }
    }
}

/// Slow path: decodes any captured frame, from its link-layer header to the inner packet.
///
/// # Errors
/// The reason why the frame counts in no flow: the first that it meets.
pub fn decode_full(
    link: LinkType,
    frame: Captured<'_>,
    options: &DecodeOptions,
) -> Result<Observation, Skipped> {
    if matches!(options.listen_ports, ListenPorts::Plain) {
        return decode_own_packet(link, frame, options);
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

/// The UDP datagram in a captured frame, whatever its port.
///
/// # Errors
/// The reason why there is none.
pub fn datagram(link: LinkType, frame: Captured<'_>) -> Result<Datagram<'_>, Skipped> {
    match link::strip(link, frame.bytes) {
        Ok(packet) => outer::datagram(packet),
        Err(Skipped::UnsupportedLink) if link == LinkType::TZSP => Ok(Datagram::bare(frame)),
        Err(reason) => Err(reason),
    }
}

/// Slow path: decodes any datagram, from its TZSP header to the inner packet. Its port does not
/// matter.
///
/// # Errors
/// The reason why the datagram counts in no flow: the first that it meets.
pub fn decode_datagram_full(
    datagram: &Datagram<'_>,
    options: &DecodeOptions,
) -> Result<Observation, Skipped> {
    let mirrored = tzsp::unwrap(datagram.payload)?;
    inner::packet(mirrored, datagram, options.ipv6).map(|(seen, _)| seen)
}

/// Fast path: decodes a datagram as RouterOS sends it, with the same result as
/// [`decode_datagram_full`]. Returns `None` for anything else.
#[must_use]
#[inline(always)]
pub fn decode_datagram_fast(datagram: &Datagram<'_>) -> Option<Observation> {
    fast::inner(datagram)
}

/// A frame that is not mirrored, as if a sensor had mirrored it.
fn decode_own_packet(
    link: LinkType,
    frame: Captured<'_>,
    options: &DecodeOptions,
) -> Result<Observation, Skipped> {
    let bare = Datagram::bare(frame);
    if link == LinkType::TZSP {
        return decode_datagram_full(&bare, options);
    }
    let tagged = link::own_packet(link, frame.bytes)?;
    inner::in_frame(frame, tagged, &bare, options.ipv6).map(|(seen, _)| seen)
}

#[cfg(test)]
mod tests;
