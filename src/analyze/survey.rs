//! What a capture holds in which nothing was counted.

use std::collections::HashMap;
use std::fmt;

use crate::aggregator::FrameCounts;
use crate::capture::Frame;
use crate::wire::{self, ListenPorts, Part, Skipped};

/// How many ports are named.
const BUSIEST: usize = 5;

/// The UDP datagrams of frames that count in no flow, by destination port.
#[derive(Debug, Default)]
pub(super) struct Ports(HashMap<u16, Tally>);

#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    datagrams: u64,
    /// How many of them start like TZSP.
    like_tzsp: u64,
}

impl Ports {
    pub(super) fn add(&mut self, frame: &Frame<'_>) {
        let Ok(datagram) = wire::datagram(frame.link, frame.bytes) else {
            return;
        };
        let tally = self.0.entry(datagram.destination_port).or_default();
        tally.datagrams += 1;
        tally.like_tzsp += u64::from(is_like_tzsp(datagram.payload));
    }

    pub(super) fn merge(&mut self, other: Self) {
        for (port, more) in other.0 {
            let tally = self.0.entry(port).or_default();
            tally.datagrams += more.datagrams;
            tally.like_tzsp += more.like_tzsp;
        }
    }

    fn busiest(&self) -> Vec<(u16, Tally)> {
        let mut ports: Vec<_> = self.0.iter().map(|(&port, &tally)| (port, tally)).collect();
        ports.sort_unstable_by_key(|&(port, tally)| (std::cmp::Reverse(tally.datagrams), port));
        ports.truncate(BUSIEST);
        ports
    }
}

/// Version 1, a known type, and a known encapsulation unless the type carries nothing.
fn is_like_tzsp(payload: Part<'_>) -> bool {
    match payload.bytes {
        [1, 4 | 5, ..] => true,
        // Ethernet, token ring, SLIP, PPP, FDDI, raw IP, 802.11, with Prism and AVS headers.
        [1, 0..=3, 0, encapsulation, ..] => {
            matches!(encapsulation, 1..=5 | 7 | 0x12 | 0x77 | 0x7f)
        }
        _ => false,
    }
}

/// Why nothing was counted, for people to read.
#[derive(Debug)]
pub struct Survey {
    pub(super) ports: Ports,
    pub(super) frames: FrameCounts,
    pub(super) listen_ports: ListenPorts,
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
        for (port, tally) in self.ports.busiest() {
            let Tally {
                datagrams,
                like_tzsp,
            } = tally;
            let advice = match &self.listen_ports {
                _ if like_tzsp == 0 => String::new(),
                ListenPorts::Only(ports) if !ports.contains(&port) => {
                    format!("; to count them: --listen-port {port}")
                }
                _ => "; what they carry counts in no flow".to_owned(),
            };
            let noun = if datagrams == 1 {
                "datagram"
            } else {
                "datagrams"
            };
            write!(
                f,
                "\n  UDP port {port}: {datagrams} {noun}, {like_tzsp} like TZSP{advice}"
            )?;
        }
        Ok(())
    }
}
