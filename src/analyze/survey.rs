//! Explains why nothing was counted in a capture: what its frames contain, and which options would
//! count them.

mod names;

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;

use etherparse::EtherType;

use crate::aggregator::FrameCounts;
use crate::capture::Frame;
use crate::report::units::plural;
use crate::report::{self, Explanation};
use crate::wire::{self, Captured, DecodeOptions, LinkType, ListenPorts, Skipped};

/// How many ports, link types and EtherTypes are listed.
const BUSIEST: usize = 5;

/// What the skipped frames contain, counted by port, link type and EtherType.
#[derive(Debug, Default)]
pub(super) struct SkippedContents {
    /// UDP datagrams by destination port: 65,536 ports at most.
    ports: HashMap<u16, Tally>,
    /// Frames that are TZSP without UDP.
    bare: Tally,
    /// Frames that are IPv4 packets themselves, which `--plain` would count.
    ipv4: u64,
    /// Frames that are IPv6 packets themselves.
    ipv6: u64,
    /// Frames of unsupported link types.
    links: FrameTally<LinkType>,
    /// Frames without IP. 0 stands for one without an EtherType, such as LLC.
    not_ip: FrameTally<EtherType>,
    /// Mirrored frames without IP, likewise.
    inner_not_ip: FrameTally<EtherType>,
}

/// How many frames there are of each kind: 65,536 kinds at most.
#[derive(Debug)]
struct FrameTally<K>(HashMap<K, u64>);

impl<K> Default for FrameTally<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Copy + Eq + Hash + Ord> FrameTally<K> {
    fn add(&mut self, kind: K, frames: u64) {
        *self.0.entry(kind).or_default() += frames;
    }

    fn merge(&mut self, other: Self) {
        for (kind, frames) in other.0 {
            self.add(kind, frames);
        }
    }

    /// Writes a line for each of the most frequent kinds, and one for all others.
    fn write(
        &self,
        f: &mut fmt::Formatter<'_>,
        name: impl Fn(K) -> String,
        others: &str,
    ) -> fmt::Result {
        let mut all: Vec<_> = self
            .0
            .iter()
            .map(|(&kind, &frames)| (kind, frames))
            .collect();
        all.sort_unstable_by_key(|&(kind, frames)| (Reverse(frames), kind));
        let (named, rest) = all.split_at(all.len().min(BUSIEST));
        for &(kind, frames) in named {
            let noun = plural(frames, "frame");
            write!(f, "\n  {}: {frames} {noun}", name(kind))?;
        }
        if !rest.is_empty() {
            let frames = rest.iter().map(|(_, frames)| frames).sum();
            let noun = plural(frames, "frame");
            write!(f, "\n  {} other {others}: {frames} {noun}", rest.len())?;
        }
        Ok(())
    }
}

/// How many datagrams there are.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    datagrams: u64,
    /// How many of these begin like TZSP.
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

impl SkippedContents {
    /// Adds a frame that counts in no flow with these options.
    pub(super) fn add(&mut self, frame: &Frame<'_>, decode: &DecodeOptions) {
        if let Err(reason) = wire::decode_full(frame.link, frame.captured(), decode) {
            self.add_skipped(frame, decode, reason);
        }
        let plain = DecodeOptions {
            listen_ports: ListenPorts::Plain,
            ipv6: true,
        };
        if let Ok(packet) = wire::decode_full(frame.link, frame.captured(), &plain) {
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

    fn add_skipped(&mut self, frame: &Frame<'_>, decode: &DecodeOptions, reason: Skipped) {
        let ether_types = match reason {
            Skipped::UnsupportedLink => return self.links.add(frame.link, 1),
            Skipped::NotIp => &mut self.not_ip,
            Skipped::InnerNotIp => &mut self.inner_not_ip,
            _ => return,
        };
        let found = wire::ether_type_of(frame.link, frame.captured(), &decode.listen_ports, reason);
        if let Some(ether_type) = found {
            ether_types.add(ether_type, 1);
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.ipv4 += other.ipv4;
        self.ipv6 += other.ipv6;
        self.links.merge(other.links);
        self.not_ip.merge(other.not_ip);
        self.inner_not_ip.merge(other.inner_not_ip);
        self.bare.merge(other.bare);
        for (port, tally) in other.ports {
            self.ports.entry(port).or_default().merge(tally);
        }
    }

    fn busiest_ports(&self) -> Vec<(u16, Tally)> {
        let mut ports: Vec<_> = self
            .ports
            .iter()
            .map(|(&port, &tally)| (port, tally))
            .collect();
        ports.sort_unstable_by_key(|&(port, tally)| (Reverse(tally.datagrams), port));
        ports.truncate(BUSIEST);
        ports
    }

    fn has_tzsp(&self) -> bool {
        let mut tallies = self.ports.values().chain([&self.bare]);
        tallies.any(|tally| tally.like_tzsp > 0)
    }

    /// Returns the options that would count the frames' own packets, if there are any.
    fn plain_advice(&self, ipv6: bool) -> Option<&'static str> {
        match (self.ipv4, self.ipv6) {
            (0, 0) => None,
            (0, _) if !ipv6 => Some("--plain --ipv6"),
            _ => Some("--plain"),
        }
    }
}

/// Returns whether a payload begins with TZSP version 1, a known type, and a known encapsulation
/// if the type has one.
fn is_like_tzsp(payload: Captured<'_>) -> bool {
    match payload.bytes {
        [1, 4 | 5, ..] => true,
        // Ethernet, token ring, SLIP, PPP, FDDI; raw IP; 802.11, bare or after a Prism, radiotap or AVS header.
        [1, 0..=3, 0, encapsulation, ..] => {
            matches!(encapsulation, 1..=5 | 7 | 18 | 119 | 126 | 127)
        }
        _ => false,
    }
}

/// The explanation for people why nothing was counted.
#[derive(Debug)]
pub struct Survey {
    pub(super) contents: SkippedContents,
    pub(super) frames: FrameCounts,
    pub(super) decode: DecodeOptions,
}

impl fmt::Display for Survey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.frames.received == 0 {
            return write!(f, "nothing was counted: there are no frames");
        }
        let reasons: Vec<_> = report::skipped(&self.frames).collect();
        let counts = reasons
            .iter()
            .map(|(reason, frames)| format!("{frames} {}", reason.label()));
        write!(
            f,
            "nothing was counted; the frames are: {}",
            counts.collect::<Vec<_>>().join(", ")
        )?;
        for (reason, _) in reasons {
            let Explanation { meaning, remedy } = Explanation::of(reason);
            write!(f, "\n  {}: {meaning}", reason.label())?;
            if let Some(remedy) = remedy {
                write!(f, ". Remedy: {remedy}")?;
            }
        }
        self.write_kinds(f)?;
        if self.decode.listen_ports == ListenPorts::Plain {
            return Ok(());
        }
        for (port, tally) in self.contents.busiest_ports() {
            self.write_port(f, port, tally)?;
        }
        let bare = self.contents.bare.datagrams;
        if bare > 0 && matches!(self.decode.listen_ports, ListenPorts::Only(_)) {
            write!(
                f,
                "\n  no UDP port: {bare} {} of TZSP alone; to count them: no --listen-port",
                plural(bare, "frame")
            )?;
        }
        match self.contents.plain_advice(self.decode.ipv6) {
            Some(advice) if !self.contents.has_tzsp() => {
                write!(f, "\n  no TZSP; to count the frames' own packets: {advice}")
            }
            _ => Ok(()),
        }
    }
}

impl Survey {
    /// Writes the link types and EtherTypes of frames that are not decoded.
    fn write_kinds(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SkippedContents {
            links,
            not_ip,
            inner_not_ip,
            ..
        } = &self.contents;
        let is_plain = self.decode.listen_ports == ListenPorts::Plain;
        let inside = if is_plain { "" } else { "mirrored " };
        links.write(f, link_name, "link types")?;
        not_ip.write(f, ether_type_name, "EtherTypes")?;
        inner_not_ip.write(
            f,
            |ether_type| format!("{inside}{}", ether_type_name(ether_type)),
            &format!("{inside}EtherTypes"),
        )
    }

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

fn link_name(link: LinkType) -> String {
    let LinkType(number) = link;
    match names::link_type(link) {
        Some(name) => format!("link type {number} ({name})"),
        None => format!("link type {number}"),
    }
}

fn ether_type_name(ether_type: EtherType) -> String {
    let EtherType(number) = ether_type;
    match names::ether_type(ether_type) {
        _ if number == 0 => "no EtherType (LLC)".to_owned(),
        Some(name) => format!("EtherType 0x{number:04x} ({name})"),
        None => format!("EtherType 0x{number:04x}"),
    }
}
