//! The two formats of captures, as one.

use super::pcap::Pcap;
use super::pcapng::Pcapng;
use super::record::{Belief, Item, Reading};

#[derive(Debug)]
pub(super) enum Format {
    Pcap(Pcap),
    Pcapng(Pcapng),
}

impl Format {
    pub(super) fn next<'a>(&mut self, bytes: &'a [u8], reading: Reading) -> Item<'a> {
        match self {
            Self::Pcap(pcap) => pcap.next(bytes, reading),
            Self::Pcapng(pcapng) => pcapng.next(bytes, reading),
        }
    }

    pub(super) fn believe(&self, bytes: &[u8], ended: bool) -> Belief {
        match self {
            Self::Pcap(pcap) => pcap.believe(bytes, ended),
            Self::Pcapng(pcapng) => pcapng.believe(bytes, ended),
        }
    }
    pub(super) fn find_inside(&mut self, bytes: &[u8]) -> Option<usize> {
        match self {
            Self::Pcap(pcap) => pcap.find_inside(bytes),
            Self::Pcapng(pcapng) => pcapng.find_inside(bytes),
        }
    }
}
