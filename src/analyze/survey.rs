//! What a capture holds in which nothing was counted.

use std::collections::HashMap;
use std::fmt;

use crate::aggregator::FrameCounts;
use crate::capture::Frame;
use crate::wire::{self, Captured, DecodeOptions, LinkType, ListenPorts, Skipped};

/// How many ports are named.
const BUSIEST: usize = 5;

/// What frames hold that count in no flow.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    /// UDP datagrams by destination port.
    ports: HashMap<u16, Tally>,
    /// TZSP that no datagram carries.
    bare: Tally,
    /// Frames with a packet of their own.
    ipv4: u64,
    ipv6: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    datagrams: u64,
    /// How many of them start like TZSP.
    like_tzsp: u64,
}

impl Tally {
    fn add(&mut self, payload: Captured<'_>) {
        self.datagrams += 1;
        self.like_tzsp += u64::from(is_like_tzsp(payload));
    }

    fn merge(&mut self, other: Self) {
        self.datagrams += other.datagrams;
        self.like_tzsp += other.like_tzsp;
    }
}

impl Holdings {
    pub(super) fn add(&mut self, frame: &Frame<'_>) {
        let own = DecodeOptions {
            listen_ports: ListenPorts::Plain,
            ipv6: true,
        };
        if let Ok(packet) = wire::decode_full(frame.link, frame.captured(), &own) {
            if packet.source.ipv4().is_some() {
                self.ipv4 += 1;
            } else {
                self.ipv6 += 1;
            }
        }
        let Ok(datagram) = wire::datagram(frame.link, frame.captured()) else {
            return;
        };
        if frame.link == LinkType::TZSP {
            self.bare.add(datagram.payload);
        } else {
            let tally = self.ports.entry(datagram.destination_port).or_default();
            tally.add(datagram.payload);
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.ipv4 += other.ipv4;
        self.ipv6 += other.ipv6;
        self.bare.merge(other.bare);
        for (port, tally) in other.ports {
            self.ports.entry(port).or_default().merge(tally);
        }
    }

    fn busiest(&self) -> Vec<(u16, Tally)> {
        let mut ports: Vec<_> = self
            .ports
            .iter()
            .map(|(&port, &tally)| (port, tally))
            .collect();
        ports.sort_unstable_by_key(|&(port, tally)| (std::cmp::Reverse(tally.datagrams), port));
        ports.truncate(BUSIEST);
        ports
    }

    fn has_tzsp(&self) -> bool {
        let mut tallies = self.ports.values().chain([&self.bare]);
        tallies.any(|tally| tally.like_tzsp > 0)
    }

    /// What would count the frames' own packets, if any.
    fn plain_advice(&self, ipv6: bool) -> Option<&'static str> {
        match (self.ipv4, self.ipv6) {
            (0, 0) => None,
            (0, _) if !ipv6 => Some("--plain --ipv6"),
            _ => Some("--plain"),
        }
    }
}

/// Version 1, a known type, and a known encapsulation unless the type carries nothing.
fn is_like_tzsp(payload: Captured<'_>) -> bool {
    match payload.bytes {
        [1, 4 | 5, ..] => true,
        // Ethernet, token ring, SLIP, PPP, FDDI, raw IP, 802.11, also behind Prism, radiotap and AVS.
        [1, 0..=3, 0, encapsulation, ..] => {
            matches!(encapsulation, 1..=5 | 7 | 18 | 119 | 126 | 127)
        }
        _ => false,
    }
}

/// Why nothing was counted, for people to read.
#[derive(Debug)]
pub struct Survey {
    pub(super) holdings: Holdings,
    pub(super) frames: FrameCounts,
    pub(super) decode: DecodeOptions,
}

impl fmt::Display for Survey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.frames.received == 0 {
            return write!(f, "nothing was counted: there are no frames");
        }
        let reasons: Vec<_> = Skipped::ALL
            .into_iter()
            .map(|reason| (reason.label(), self.frames.skipped(reason)))
            .filter(|&(_, frames)| frames > 0)
            .map(|(label, frames)| format!("{frames} {label}"))
            .collect();
        write!(
            f,
            "nothing was counted; the frames are: {}",
            reasons.join(", ")
        )?;
        if self.decode.listen_ports == ListenPorts::Plain {
            return match self.holdings.ipv6 {
                0 => Ok(()),
                _ => write!(f, "\n  to count IPv6: --ipv6"),
            };
        }
        for (port, tally) in self.holdings.busiest() {
            self.write_port(f, port, tally)?;
        }
        let bare = self.holdings.bare.datagrams;
        if bare > 0 && matches!(self.decode.listen_ports, ListenPorts::Only(_)) {
            write!(
                f,
                "\n  no UDP port: {bare} {} of TZSP alone; to count them: no --listen-port",
                plural(bare, "frame")
            )?;
        }
        match self.holdings.plain_advice(self.decode.ipv6) {
            Some(advice) if !self.holdings.has_tzsp() => {
                write!(f, "\n  no TZSP; to count the frames' own packets: {advice}")
            }
            _ => Ok(()),
        }
    }
}

impl Survey {
    fn write_port(&self, f: &mut fmt::Formatter<'_>, port: u16, tally: Tally) -> fmt::Result {
        let Tally {
            datagrams,
            like_tzsp,
        } = tally;
        let advice = match &self.decode.listen_ports {
            _ if like_tzsp == 0 => String::new(),
            ListenPorts::Only(ports) if !ports.contains(&port) => {
                format!("; to count them: --listen-port {port}")
            }
            _ => "; what they carry counts in no flow".to_owned(),
        };
        let noun = plural(datagrams, "datagram");
        write!(
            f,
            "\n  UDP port {port}: {datagrams} {noun}, {like_tzsp} like TZSP{advice}"
        )
    }
}

fn plural(number: u64, noun: &str) -> String {
    if number == 1 {
        noun.to_owned()
    } else {
        format!("{noun}s")
    }
}
