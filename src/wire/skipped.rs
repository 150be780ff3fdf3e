/// Why a frame counts in no flow, in the order in which a frame meets the reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skipped {
    /// The capture's link type is not supported.
    UnsupportedLink,
    /// The frame ends, or contradicts itself, before the end of the UDP header.
    OuterMalformed,
    /// The frame carries neither IPv4 nor IPv6.
    NotIp,
    /// The outer packet carries something other than UDP.
    NotUdp,
    /// A fragment other than the first: it has no UDP header.
    LaterFragment,
    /// UDP to a port that is not a listen port.
    OtherPort,
    /// An empty datagram, or one whose first byte is not TZSP version 1.
    NotTzsp,
    /// TZSP types 4 (keepalive) and 5 (port opener), which carry no frame.
    TzspKeepalive,
    /// A TZSP type other than 0, 1, 4 and 5.
    TzspUnsupportedType,
    /// A TZSP encapsulation other than 1 (Ethernet), 7 (raw IP), 18 (802.11), and 119, 126 and 127
    /// (802.11 behind Prism, radiotap and AVS).
    TzspUnsupportedEncapsulation,
    /// The TZSP header has no end tag, or a tag reaches past the end.
    TzspMalformed,
    /// The sensor reports that it received the 802.11 frame with a wrong check sequence.
    TzspFcsError,
    /// The inner frame ends, or contradicts itself, before the end of the IP header.
    InnerMalformed,
    /// An 802.11 management or control frame, or one of the data frames that carry no data.
    InnerWlanNoData,
    /// An 802.11 data frame that is encrypted.
    InnerWlanEncrypted,
    /// A fragment of an 802.11 data frame other than the first.
    InnerWlanLaterFragment,
    /// An 802.11 data frame that holds several frames (A-MSDU).
    InnerWlanAggregate,
    /// The inner frame carries something other than IP.
    InnerNotIp,
    /// The inner frame carries IPv6.
    InnerIpv6,
}

impl Skipped {
    pub const ALL: [Self; 19] = [
        Self::UnsupportedLink,
        Self::OuterMalformed,
        Self::NotIp,
        Self::NotUdp,
        Self::LaterFragment,
        Self::OtherPort,
        Self::NotTzsp,
        Self::TzspKeepalive,
        Self::TzspUnsupportedType,
        Self::TzspUnsupportedEncapsulation,
        Self::TzspMalformed,
        Self::TzspFcsError,
        Self::InnerMalformed,
        Self::InnerWlanNoData,
        Self::InnerWlanEncrypted,
        Self::InnerWlanLaterFragment,
        Self::InnerWlanAggregate,
        Self::InnerNotIp,
        Self::InnerIpv6,
    ];

    /// Whether the frame is a datagram to a listen port, so that it has a sensor.
    #[must_use]
    pub fn has_sensor(self) -> bool {
        !matches!(
            self,
            Self::UnsupportedLink
                | Self::OuterMalformed
                | Self::NotIp
                | Self::NotUdp
                | Self::LaterFragment
                | Self::OtherPort
        )
    }

    /// The value of the label `reason`.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::UnsupportedLink => "unsupported_link",
            Self::OuterMalformed => "outer_malformed",
            Self::NotIp => "not_ip",
            Self::NotUdp => "not_udp",
            Self::LaterFragment => "later_fragment",
            Self::OtherPort => "other_port",
            Self::NotTzsp => "not_tzsp",
            Self::TzspKeepalive => "tzsp_keepalive",
            Self::TzspUnsupportedType => "tzsp_unsupported_type",
            Self::TzspUnsupportedEncapsulation => "tzsp_unsupported_encapsulation",
            Self::TzspMalformed => "tzsp_malformed",
            Self::TzspFcsError => "tzsp_fcs_error",
            Self::InnerMalformed => "inner_malformed",
            Self::InnerWlanNoData => "inner_wlan_no_data",
            Self::InnerWlanEncrypted => "inner_wlan_encrypted",
            Self::InnerWlanLaterFragment => "inner_wlan_later_fragment",
            Self::InnerWlanAggregate => "inner_wlan_aggregate",
            Self::InnerNotIp => "inner_not_ip",
            Self::InnerIpv6 => "inner_ipv6",
        }
    }
}
