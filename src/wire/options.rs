//! Which packets are decoded.

/// The UDP destination ports whose datagrams are unwrapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenPorts {
    /// Every datagram that starts like TZSP, to any port.
    Any,
    /// Only these ports.
    Only(Vec<u16>),
    /// No datagram is unwrapped: each frame's own packet is counted.
    Plain,
}

/// Which packets are decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeOptions {
    pub listen_ports: ListenPorts,
    /// Whether to count inner IPv6 packets instead of skipping them.
    pub ipv6: bool,
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
