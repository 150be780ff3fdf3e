//! What decoding a frame yields.

use etherparse::IpNumber;

use super::ip::Ip;

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
