//! Simulates the mirrored network: which flow sends the next packet, and its size.

use std::collections::HashSet;

use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::{Rng, SeedableRng};

use super::profile::Profile;
use crate::packet::{ESP, GRE, ICMP, IGMP, OSPF, SCTP, TCP, UDP};

/// An inner packet of a flow.
#[derive(Clone, Copy)]
pub(super) struct InnerPacket {
    pub(super) flow: Flow,
    pub(super) total_length: u16,
}

/// A flow, including the sensor that mirrors it and the port that the sensor streams to.
#[derive(Clone, Copy)]
pub(super) struct Flow {
    pub(super) source: [u8; 4],
    pub(super) destination: [u8; 4],
    pub(super) protocol: u8,
    pub(super) sensor: u8,
    pub(super) listen_port: u16,
    /// The source and destination ports, in TCP and UDP.
    pub(super) ports: [u16; 2],
    pub(super) sizes: Sizes,
}

/// The sizes of a flow's packets.
#[derive(Clone, Copy)]
pub(super) enum Sizes {
    /// Data in one direction: full packets, and sometimes a smaller one.
    Download,
    /// The acknowledgements of a download.
    Acknowledgements,
    /// Requests, answers and keepalives.
    Interactive,
    /// Within an eighth of this many bytes.
    Around(u16),
}

/// The number of sensors that stream to the collector.
const SENSORS: u8 = 3;

/// First octets of /8 networks whose addresses are all public.
pub(super) const PUBLIC_OCTETS: [u8; 12] = [8, 13, 17, 23, 34, 52, 91, 104, 142, 151, 185, 212];

pub(super) struct Traffic {
    random: Random,
    flows: Vec<Flow>,
    /// The number of flows that have sent a packet. They come first in `flows`.
    seen: usize,
    /// The simulated time, in nanoseconds since 1970.
    now: u64,
}

impl Traffic {
    pub(super) fn new(seed: u64, flows: u64, ports: &[u16], profile: Option<Profile>) -> Self {
        let mut random = Random::new(seed);
        let flow = |random: &mut Random| match profile {
            Some(profile) => profile.flow(random, ports),
            None => random.flow(ports),
        };
        let flows = distinct_flows(&mut random, flows, flow);
        Self {
            random,
            flows,
            seen: 0,
            now: 1_700_000_000_000_000_000,
        }
    }

    pub(super) fn flows_seen(&self) -> u64 {
        self.seen as u64
    }

    /// Returns the next of `remaining` packets and its time. The rate is 10,000 packets per second
    /// on average.
    pub(super) fn next(&mut self, remaining: u64) -> (u64, InnerPacket) {
        self.now += 2000 * (1 + self.random.below(99));
        let sender = self.next_flow(remaining);
        let flow = self.flows[sender];
        let total_length = self.random.size(flow.sizes);
        (self.now, InnerPacket { flow, total_length })
    }

    /// Returns the flow that sends the next packet. New flows appear evenly over time, so that all
    /// have appeared at the end. Otherwise an earlier flow sends again, by Zipf's law: the second
    /// most active flow sends half as much as the first.
    fn next_flow(&mut self, remaining: u64) -> usize {
        let unseen = (self.flows.len() - self.seen) as u64;
        if self.seen == 0 || self.random.below(remaining) < unseen {
            self.seen += 1;
            return self.seen - 1;
        }
        self.random.rank_below(self.seen)
    }
}

fn distinct_flows(
    random: &mut Random,
    count: u64,
    next: impl Fn(&mut Random) -> Flow,
) -> Vec<Flow> {
    let mut known = HashSet::new();
    let mut flows = Vec::new();
    while (flows.len() as u64) < count {
        let flow = next(random);
        if known.insert((
            flow.source,
            flow.destination,
            flow.protocol,
            flow.listen_port,
        )) {
            flows.push(flow);
        }
    }
    flows
}

/// A source of random integers. It scales them itself instead of using the distributions of a crate,
/// so that a seed gives the same capture on every machine and with every version of such a crate.
pub(super) struct Random(Pcg64Mcg);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(Pcg64Mcg::seed_from_u64(seed))
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        let scaled = (u128::from(self.0.next_u64()) * u128::from(limit)) >> 64;
        u64::try_from(scaled).expect("the product's upper half is below the limit")
    }

    pub(super) fn octet(&mut self) -> u8 {
        self.0.next_u64().to_be_bytes()[0]
    }

    pub(super) fn within(&mut self, from: u16, to: u16) -> u16 {
        let span = u64::from(to - from) + 1;
        from + u16::try_from(self.below(span)).expect("the span fits 16 bits")
    }

    /// Returns a rank by Zipf's law. Rank 0, the next two ranks, the next four and so on are all
    /// equally likely.
    pub(super) fn rank_below(&mut self, count: usize) -> usize {
        loop {
            let doubling = self.below(u64::from(count.ilog2()) + 1);
            let first = 1 << doubling;
            let rank = first - 1 + self.below(first);
            if let Ok(rank) = usize::try_from(rank)
                && rank < count
            {
                return rank;
            }
        }
    }

    fn flow(&mut self, ports: &[u16]) -> Flow {
        let (protocol, sizes) = self.conversation();
        let (source, destination) = match self.below(20) {
            _ if protocol == IGMP || protocol == OSPF => (self.client(), [224, 0, 0, self.octet()]),
            0..10 => (self.client(), self.server()),
            10..18 => (self.server(), self.client()),
            18 => (self.client(), self.client()),
            _ => (self.server(), self.server()),
        };
        let port = self.below(ports.len() as u64);
        let port = usize::try_from(port).expect("an index");
        Flow {
            source,
            destination,
            protocol,
            sensor: self.octet() % SENSORS,
            listen_port: ports[port],
            ports: [51_234, 443],
            sizes,
        }
    }

    fn conversation(&mut self) -> (u8, Sizes) {
        match self.below(100) {
            0..25 => (TCP, Sizes::Download),
            25..45 => (TCP, Sizes::Acknowledgements),
            45..60 => (TCP, Sizes::Interactive),
            // DNS questions and answers, QUIC, calls.
            60..70 => (UDP, Sizes::Around(68)),
            70..76 => (UDP, Sizes::Around(160)),
            76..84 => (UDP, Sizes::Around(1280)),
            84..88 => (UDP, Sizes::Around(200)),
            88..94 => (ICMP, Sizes::Around(84)),
            94 => (IGMP, Sizes::Around(32)),
            95 => (GRE, Sizes::Around(900)),
            96 | 97 => (ESP, Sizes::Around(1100)),
            98 => (OSPF, Sizes::Around(64)),
            _ => (SCTP, Sizes::Around(300)),
        }
    }

    /// A private address, mostly in one of the usual networks.
    fn client(&mut self) -> [u8; 4] {
        let [host, low, high, _] = [(); 4].map(|()| self.octet());
        match self.below(10) {
            0..4 => [192, 168, 88 + low % 4, host],
            4..8 => [10, high % 32, low, host],
            8 => [172, 16 + high % 16, low, host],
            _ => [100, 64 + high % 64, low, host],
        }
    }

    fn server(&mut self) -> [u8; 4] {
        let first = PUBLIC_OCTETS[usize::from(self.octet()) % PUBLIC_OCTETS.len()];
        [first, self.octet(), self.octet(), self.octet()]
    }

    fn size(&mut self, sizes: Sizes) -> u16 {
        match sizes {
            Sizes::Download => match self.below(10) {
                0..7 => 1500,
                7 | 8 => self.within(1400, 1499),
                _ => self.within(52, 1399),
            },
            Sizes::Acknowledgements => match self.below(10) {
                0..8 => 52,
                8 => 64,
                _ => self.within(65, 100),
            },
            Sizes::Interactive => match self.below(10) {
                0..5 => self.within(52, 100),
                5..8 => self.within(101, 700),
                _ => self.within(701, 1500),
            },
            Sizes::Around(size) => self.within(size - size / 8, size + size / 8),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A change of these numbers would change the captures of all seeds.
    #[test]
    fn a_seed_gives_the_same_numbers_in_every_version() {
        let mut random = Random(Pcg64Mcg::seed_from_u64(1));
        let numbers = [(); 4].map(|()| random.below(1_000_000));
        assert_eq!(numbers, [856_717, 137_554, 470_461, 726_249]);
    }

    #[test]
    fn every_rank_is_drawn_and_the_first_most() {
        let mut random = Random(Pcg64Mcg::seed_from_u64(1));
        let mut drawn = [0_u32; 100];
        for _ in 0..100_000 {
            drawn[random.rank_below(100)] += 1;
        }
        assert!(drawn.iter().all(|count| *count > 0), "{drawn:?}");
        assert!(drawn[0] > drawn[1] && drawn[1] > drawn[50], "{drawn:?}");
    }
}
