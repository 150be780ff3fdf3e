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
    reason = "what the usual way of a frame hands on fits registers: through memory it takes longer \
              than all the rest"
)]

mod decapsulate;
mod ether;
mod inner;
mod ip;
mod ipv4;
mod ipv6;
mod link;
mod outer;
mod part;
mod pppoe;
mod skipped;
mod tzsp;
mod usual;
mod wlan;

use std::net::Ipv4Addr;

use etherparse::IpNumber;

pub use decapsulate::{EthernetFrame, NotEthernet, decapsulate};
pub use ip::Ip;
pub use link::LinkType;
pub use part::Part;
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

/// What is taken out of frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
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
    pub payload: Part<'a>,
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
    fn bare(payload: Part<'a>) -> Self {
        Self {
            source: Ipv4Addr::UNSPECIFIED.into(),
            destination_port: 0,
            payload,
            first_fragment: false,
        }
    }
}

/// What is in a captured frame, from its link-layer header to the inner packet.
///
/// # Errors
/// The reason why the frame counts in no flow: the first that it meets.
pub fn decode_frame(
    link: LinkType,
    frame: Part<'_>,
    reading: &Reading,
) -> Result<Observation, Skipped> {
    if matches!(reading.listen_ports, ListenPorts::Plain) {
        return decode_own_packet(link, frame, reading);
    }
    let datagram = datagram(link, frame)?;
    if !reading.listen_ports.contains(datagram.destination_port) {
        return Err(Skipped::OtherPort);
    }
    decode_datagram(&datagram, reading)
}

/// The same as [`decode_frame`], in a fraction of the time, if the frame is as nearly all are;
/// `None` says nothing.
#[must_use]
#[inline(always)]
pub fn decode_usual_frame(
    link: LinkType,
    frame: Part<'_>,
    reading: &Reading,
) -> Option<Observation> {
    if link != LinkType::ETHERNET {
        return None;
    }
    let datagram = usual::datagram(frame.bytes)?;
    let is_wanted = reading.listen_ports.contains(datagram.destination_port);
    is_wanted.then(|| usual::inner(&datagram)).flatten()
}

/// The UDP datagram in a captured frame, whatever its port.
///
/// # Errors
/// The reason why there is none.
pub fn datagram(link: LinkType, frame: Part<'_>) -> Result<Datagram<'_>, Skipped> {
    match link::strip(link, frame.bytes) {
        Ok(packet) => outer::datagram(packet),
        Err(Skipped::UnsupportedLink) if link == LinkType::TZSP => Ok(Datagram::bare(frame)),
        Err(reason) => Err(reason),
    }
}

/// What is in a datagram, from its TZSP header to the inner packet. Its port is not looked at.
///
/// # Errors
/// The reason why the datagram counts in no flow: the first that it meets.
pub fn decode_datagram(datagram: &Datagram<'_>, reading: &Reading) -> Result<Observation, Skipped> {
    let mirrored = tzsp::unwrap(datagram.payload)?;
    inner::packet(mirrored, datagram, reading.ipv6).map(|(seen, _)| seen)
}

/// The same as [`decode_datagram`], in a fraction of the time, if the datagram is as nearly all
/// are; `None` says nothing.
#[must_use]
#[inline(always)]
pub fn decode_usual_datagram(datagram: &Datagram<'_>) -> Option<Observation> {
    usual::inner(datagram)
}

/// A frame that is not mirrored, as if a sensor had mirrored it.
fn decode_own_packet(
    link: LinkType,
    frame: Part<'_>,
    reading: &Reading,
) -> Result<Observation, Skipped> {
    let bare = Datagram::bare(frame);
    if link == LinkType::TZSP {
        return decode_datagram(&bare, reading);
    }
    let tagged = link::own_packet(link, frame.bytes)?;
    inner::in_frame(frame, tagged, &bare, reading.ipv6).map(|(seen, _)| seen)
}

#[cfg(test)]
mod tests;
