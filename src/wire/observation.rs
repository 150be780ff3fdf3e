//! The result of decoding a frame.

use etherparse::IpNumber;

use super::ip::Ip;

/// One decoded inner packet, as it is counted in its flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Observation {
    /// Both addresses are IPv4, or both are IPv6.
    pub source: Ip,
    pub destination: Ip,
    pub protocol: IpNumber,
    /// UDP destination port of the datagram; 0 if the packet came without one.
    pub listen_port: u16,
    /// Source address of the datagram; unspecified if the packet came
    /// without one.
    pub sensor: Ip,
    /// Source and destination port, if the protocol has ports and they are there.
    pub ports: Option<(u16, u16)>,
    /// VLAN identifier of the outermost tag inside.
    pub vlan: Option<u16>,
    /// Six bits: RFC 2474.
    pub dscp: u8,
    /// Length of the inner packet, header included, as its header claims it.
    pub bytes: u64,
    /// Why the inner packet is incomplete, if it is.
    pub truncated: Option<Truncated>,
}

impl Observation {
    /// Returns source and destination port of a UDP datagram, if they are there.
    #[must_use]
    #[inline]
    pub fn udp_ports(&self) -> Option<(u16, u16)> {
        self.ports.filter(|_| self.protocol == IpNumber::UDP)
    }
}

/// Why a counted inner packet is incomplete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truncated {
    /// The inner packet claims more than the datagram carries.
    Sensor,
    /// The frame has only the first fragment of the datagram.
    Fragment,
    /// The capture kept fewer bytes than were sent.
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
